package flow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpauth/pkg/token"
)

// pushRequest sends the authorization request directly to the authorization server if the server supports pushed requests (RFC 9126). The
// result contains the parameters of the authorization URL: a reference to the pushed request, or the parameters in params. If openedLater
// is true, pushRequest pushes the request only to a server that requires pushed requests, because a pushed request expires after about a
// minute. The client authentication method that worked is stored in cred.
func (c *Client) pushRequest(ctx context.Context, d loginDraft, cred *credential, params url.Values, openedLater bool) (url.Values, error) {
	s := d.found.Server
	if s.PushedAuthorizationRequestURL == "" || openedLater && !s.RequirePushedAuthorizationRequests {
		return params, nil
	}
	var unbound error // why the secrets of the request could not be bound, for example an error of the store
	bind := func(ctx context.Context, cred credential, form url.Values) (func(), error) {
		unsent, err := d.bind(ctx, cred, form)
		unbound = err
		return unsent, err
	}
	pushed, err := withEitherAuthMethod(ctx, c, cred, s.TokenEndpointAuthMethodsSupported, d.notes, bind, func(e token.Endpoint) (token.Pushed, error) {
		return e.Push(ctx, s.PushedAuthorizationRequestURL, params)
	})
	var refused *token.Error
	switch {
	case errors.Is(err, token.ErrSecretRepeated), unbound != nil, err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil && !s.RequirePushedAuthorizationRequests && !(errors.As(err, &refused) && refused.Code != ""):
		c.progress(fmt.Sprintf("the authorization request could not be pushed: %v", err))
		return params, nil
	case err != nil:
		return nil, err
	}
	if openedLater && !pushed.Expires.IsZero() {
		c.warn(fmt.Sprintf("the server accepts this URL only until %s", pushed.Expires.Format(time.RFC3339)))
	}
	return url.Values{"client_id": {cred.Client.ID}, "request_uri": {pushed.RequestURI}}, nil
}

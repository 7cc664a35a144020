package flow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpauth/pkg/token"
)

// push sends the authorization request directly to the authorization server if the server supports pushed requests (RFC 9126). push returns
// the parameters of the authorization URL: a reference to the pushed request, or params. If later is true, push sends the request only if
// the server requires pushed requests, because a pushed request expires after about a minute. push stores the client authentication method
// that worked in cred.
func (c *Client) push(ctx context.Context, d draft, cred *credential, params url.Values, later bool) (url.Values, error) {
	s := d.found.Server
	if s.PushedAuthorizationRequestURL == "" || later && !s.RequirePushedAuthorizationRequests {
		return params, nil
	}
	pushed, err := eitherMethod(c, cred, s.TokenEndpointAuthMethodsSupported, d.notes, func(e token.Endpoint) (token.Pushed, error) {
		return e.Push(ctx, s.PushedAuthorizationRequestURL, params)
	})
	var refused *token.Error
	switch {
	case err != nil && !s.RequirePushedAuthorizationRequests && !(errors.As(err, &refused) && refused.Code != ""):
		c.progress(fmt.Sprintf("the authorization request could not be pushed: %v", err))
		return params, nil
	case err != nil:
		return nil, err
	}
	if later && !pushed.Expires.IsZero() {
		c.warn(fmt.Sprintf("the server accepts this URL only until %s", pushed.Expires.Format(time.RFC3339)))
	}
	return url.Values{"client_id": {cred.Client.ID}, "request_uri": {pushed.RequestURI}}, nil
}

package flow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpauth/pkg/token"
)

// push sends the authorization request directly to the authorization server (RFC 9126), if the server supports that, and returns the URL
// for the browser. If later is true, it does so only if the server requires it, because a pushed request expires after about a minute and
// the user may open the URL later. push stores in cred the client authentication method that worked.
func (c *Client) push(ctx context.Context, d draft, cred *Credential, address string, later bool) (string, error) {
	s := d.found.Server
	if s.PushedAuthorizationRequestURL == "" || later && !s.RequirePushedAuthorizationRequests {
		return address, nil
	}
	endpoint, err := url.Parse(s.AuthorizationEndpoint)
	if err != nil {
		return "", err
	}
	whole, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	request, query := whole.Query(), endpoint.Query()
	for name := range query {
		request.Del(name) // part of the endpoint, not of the request
	}
	var pushed token.Pushed
	err = c.eitherMethod(cred, s.TokenEndpointAuthMethodsSupported, d.notes, func(e token.Endpoint) (err error) {
		pushed, err = e.Push(ctx, s.PushedAuthorizationRequestURL, request)
		return err
	})
	var refused *token.Error
	switch {
	case err != nil && !s.RequirePushedAuthorizationRequests && !(errors.As(err, &refused) && refused.Code != ""):
		c.progress(fmt.Sprintf("the authorization request could not be pushed: %v", err))
		return address, nil
	case err != nil:
		return "", err
	}
	if later && !pushed.Expires.IsZero() {
		c.warn(fmt.Sprintf("the server accepts this URL only until %s", pushed.Expires.Format(time.RFC3339)))
	}
	query.Set("client_id", cred.Client.ID)
	query.Set("request_uri", pushed.RequestURI)
	endpoint.RawQuery = query.Encode()
	return endpoint.String(), nil
}

// This file finds the way in which a server takes the secret of a client that was registered beforehand (RFC 6749 §2.3.1): the metadata says
// what the server can, not what this client was registered for.

package flow

import (
	"errors"
	"slices"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// byEitherMethod makes a request, and once more with the secret in the other place, header or body, where the server refuses the client
// by the first. What worked is part of the credential. A code is not lost by that: a server knows its client before it looks at the code.
func (a *attempt) byEitherMethod(e token.Endpoint, request func(token.Endpoint) (token.Token, error)) (token.Token, error) {
	tok, err := request(e)
	other := otherMethod(a.cred.Client, a.found.Server.TokenEndpointAuthMethodsSupported)
	var refused *token.Error
	if a.o.Strict || other == "" || !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return tok, err
	}
	e.Client.Method = other
	tok, second := request(e)
	if errors.As(second, &refused) && refused.Code == "invalid_client" {
		return tok, err // the client is unknown, or the secret wrong: it is not the method
	}
	a.cred.Client.AuthMethod = other
	a.stray("other_auth_method")
	return tok, second
}

// otherMethod is the other of the two methods with a secret; empty: there is none to try.
func otherMethod(c dcr.Client, supported []string) string {
	other := map[string]string{"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[c.AuthMethod]
	if c.Kind != dcr.Preregistered || c.Secret == "" || len(supported) > 0 && !slices.Contains(supported, other) {
		return ""
	}
	return other
}

// This file finds the way in which a server takes a client's secret (RFC 6749 §2.3.1) where nobody says it: the metadata tells what the server
// can, not what this client was registered for.

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
	if a.cred.Strict || other == "" || !errors.As(err, &refused) || refused.Code != "invalid_client" {
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

// otherMethod is the method to try where the first one is refused: of a client registered beforehand, the other one with a secret; of one that
// registered and got a secret without a word of how to send it, the default of RFC 7591 §2, which package dcr does not guess. Empty: there is none to try.
func otherMethod(c dcr.Client, supported []string) string {
	other := ""
	switch {
	case c.Secret == "":
		return ""
	case c.Kind == dcr.Preregistered:
		other = map[string]string{"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[c.AuthMethod]
	case c.AuthMethod == "none", c.AuthMethod == "client_secret_post" && len(supported) == 0:
		other = "client_secret_basic"
	}
	if len(supported) > 0 && !slices.Contains(supported, other) {
		return ""
	}
	return other
}

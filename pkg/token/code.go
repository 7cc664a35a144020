package token

import (
	"context"
	"errors"
)

// Code redeems an authorization code (RFC 6749 §4.1.3) with its code verifier (RFC 7636 §4.5). It sends the code only once, because a
// strict server revokes the tokens of a code that the server receives twice. redirectURI must be exactly the redirect URI of the
// authorization request.
func (e Endpoint) Code(ctx context.Context, code, verifier, redirectURI string) (Token, error) {
	if code == "" || verifier == "" {
		return Token{}, errors.New("authorization code: the code or the code verifier is missing (OAuth 2.1 §4.1.3)")
	}
	return e.grant(ctx, "authorization_code", map[string]string{"code": code, "code_verifier": verifier, "redirect_uri": redirectURI})
}

package token

import "context"

// Code exchanges an authorization code and its code verifier for a token (RFC 6749 §4.1.3, RFC 7636 §4.5). redirectURI must be exactly the
// redirect URI of the authorization request. Code does not retry a failed request, because a server that receives a code twice may revoke
// the tokens of this code (RFC 6749 §4.1.2).
func (e Endpoint) Code(ctx context.Context, code, verifier, redirectURI string) (Token, error) {
	return e.grant(ctx, "authorization_code", map[string]string{"code": code, "code_verifier": verifier, "redirect_uri": redirectURI})
}

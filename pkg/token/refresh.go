package token

import "context"

// Refresh redeems a refresh token (RFC 6749 §6), for the same scopes. If the answer has no refresh token, Token.RefreshToken is empty, and
// Merge keeps the old one.
func (e Endpoint) Refresh(ctx context.Context, refreshToken Secret) (Token, error) {
	return e.grant(ctx, "refresh_token", map[string]string{"refresh_token": string(refreshToken)})
}

// Merge returns fresh with the refresh token (RFC 6749 §6) and the granted scope (§5.1) of old, if fresh lacks them.
func Merge(old, fresh Token) Token {
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = old.RefreshToken
	}
	if !fresh.ScopeGiven {
		fresh.Scope, fresh.ScopeGiven = old.Scope, old.ScopeGiven
	}
	fresh.IDToken = "" // not needed again, and large
	return fresh
}

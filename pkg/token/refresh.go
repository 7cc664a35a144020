package token

import "context"

// Refresh exchanges a refresh token for a new token with the same scopes (RFC 6749 §6). If the response has no refresh token,
// Token.RefreshToken is empty, and Merge keeps the old one.
func (e Endpoint) Refresh(ctx context.Context, refreshToken Secret) (Token, error) {
	return e.grant(ctx, "refresh_token", map[string]string{"refresh_token": string(refreshToken)})
}

// Merge returns the fresh token. If the fresh token has no refresh token or no scope, Merge adds that of the old token (RFC 6749 §5.1, §6).
func Merge(old, fresh Token) Token {
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = old.RefreshToken
	}
	if !fresh.ScopeGiven {
		fresh.Scope, fresh.ScopeGiven = old.Scope, old.ScopeGiven
	}
	fresh.IDToken = "" // the ID token is large and not needed again
	return fresh
}

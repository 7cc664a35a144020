package token

import "context"

// Refresh redeems a refresh token (RFC 6749 §6), for the same scopes. If the answer has no refresh token, Token.RefreshToken is empty, and
// the caller keeps the old one.
func (e Endpoint) Refresh(ctx context.Context, refreshToken Secret) (Token, error) {
	return e.grant(ctx, "refresh_token", map[string]string{"refresh_token": string(refreshToken)})
}

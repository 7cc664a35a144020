package token

import (
	"context"
	"errors"
)

// Refresh redeems a refresh token (RFC 6749 §6). scope can request fewer scopes than were granted; it is usually empty, which means the
// same scopes. If the answer has no refresh token, Token.RefreshToken is empty, and the caller keeps the old one.
func (e Endpoint) Refresh(ctx context.Context, refreshToken Secret, scope string) (Token, error) {
	if refreshToken == "" {
		return Token{}, errors.New("refresh: there is no refresh token")
	}
	return e.grant(ctx, "refresh_token", map[string]string{"refresh_token": string(refreshToken), "scope": scope})
}

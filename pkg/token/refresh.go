package token

import (
	"context"
	"errors"
)

// Refresh redeems a refresh token (RFC 6749 §6). scope asks for less than was granted; empty, as is usual, for the same. An answer without
// a refresh token leaves Token.RefreshToken empty: the caller keeps the old one.
func (e Endpoint) Refresh(ctx context.Context, refreshToken Secret, scope string) (Token, error) {
	if refreshToken == "" {
		return Token{}, errors.New("refresh: there is no refresh token")
	}
	return e.grant(ctx, "refresh_token", map[string]string{"refresh_token": string(refreshToken), "scope": scope})
}

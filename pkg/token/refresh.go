// This file renews a token (RFC 6749 §6).

package token

import (
	"context"
	"errors"
	"net/url"

	"golang.org/x/oauth2"
)

// Refresh redeems a refresh token. scope asks for less than was granted; empty, as is usual, for the same. It keeps nothing: when the
// answer has no refresh token, neither has the Token, and the old one stays good. The resource goes along, which x/oauth2 alone would not
// send: strict servers give a token for nobody without it.
func (e Endpoint) Refresh(ctx context.Context, refreshToken, scope string) (Token, error) {
	if refreshToken == "" {
		return Token{}, errors.New("refresh: there is no refresh token")
	}
	extra := url.Values{}
	if scope != "" {
		extra.Set("scope", scope)
	}
	return e.grant(ctx, extra, func(ctx context.Context, c *oauth2.Config) error {
		_, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
		return err
	})
}

package token

import (
	"context"
	"net/url"
)

// Revoke asks the server to revoke a token (RFC 7009). hint is "refresh_token", "access_token" or empty. Revoke succeeds if the server does
// not know the token (§2.2). A refusal is an *Error. Its Code is unsupported_token_type if the server cannot revoke this kind of token.
func (e Endpoint) Revoke(ctx context.Context, revocationURL string, token Secret, hint string) error {
	form := url.Values{"token": {string(token)}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	a, err := request{e: e, stage: atRevoke, url: revocationURL, form: form}.send(ctx)
	if err != nil {
		return err
	}
	if m, err := readMembers(a.Body); a.StatusCode/100 != 2 || err == nil && m.refused() {
		return a.refusal(e.now())
	}
	return nil
}

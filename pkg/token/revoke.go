package token

import (
	"context"
	"net/url"
)

// Revoke revokes a token (RFC 7009). The hint is "refresh_token" or "access_token". Revoke returns nil if the server does not know the token
// (RFC 7009 §2.2). If the server cannot revoke this type of token, the error is an *Error with Code unsupported_token_type.
func (e Endpoint) Revoke(ctx context.Context, revocationURL string, token Secret, hint string) error {
	form := url.Values{"token": {string(token)}, "token_type_hint": {hint}}
	a, err := formRequest{e: e, stage: atRevoke, url: revocationURL, form: form}.sendForm(ctx)
	if err != nil {
		return err
	}
	if m, err := decodeObject(a.Body); a.StatusCode/100 != 2 || err == nil && m.isRefusal() {
		return a.refusalError(e.now())
	}
	return nil
}

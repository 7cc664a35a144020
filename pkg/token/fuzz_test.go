package token

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

const canary = "canary.Fq8/zR+w5=xT2"

// FuzzAnswer checks two properties for any answer. A returned token is valid in a header and can be stored. A returned error is an error of
// this package, and contains no control characters and no secret that was sent. The text SECRET in an answer stands for such a secret.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{okBody, bound, codeBody, ``, `null`, `{"access_token":"SECRET"}`, `{"access_token":"a\nb","x":"SECRET"}`,
		`{"error":"SECRET","error_description":"\u001b[31mSECRET","error_uri":"https://SECRET/"}`, `{"error":{"code":"SECRET","message":"SECRET"}}`,
		`{"ok":false,"error":"x","msg":"SECRET"}`, `{"SECRET":1,"SECRET":2}`, `{"authed_user":{"access_token":"a","scope":"b,c"}}`,
		`{"access_token":"a","expires_in":"1e400","scope":["a","SECRET"],"refresh_token":null,"token_type":"SECRET","issued_token_type":"SECRET"}`,
		`{"device_code":"d","user_code":"SECRET","verification_uri":"ssh://SECRET","interval":-1,"expires_in":1e18}`, "\ufeff{}", "<html>SECRET",
		strings.Repeat("[", 100)} {
		for _, status := range []int{200, 400, 503} {
			f.Add(body, status, "application/json", "https://as.example/SECRET?SECRET", "60", byte(status))
		}
	}
	var secrets httpx.Secrets
	secrets.Learn(canary)
	prover := newTestProver(f)
	f.Fuzz(func(t *testing.T, body string, status int, contentType, location, retry string, mode byte) {
		fill := func(s string) string { return strings.ReplaceAll(s, "SECRET", canary) }
		e := Endpoint{URL: "https://as.example/token", Strict: mode&1 != 0, Local: mode&4 != 0, Now: func() time.Time { return noon }}
		if mode&2 != 0 {
			e.DPoP = prover
		}
		a := &formResponse{stage: atToken, url: e.URL, sent: noon, exchange: mode&8 != 0, Response: httpx.Response{StatusCode: status, Body: secrets.CleanRefusal([]byte(fill(body))),
			Header: secrets.CleanHeader(http.Header{"Content-Type": {contentType + "; x=" + canary}, "Location": {fill(location)}, "Retry-After": {retry}})}}
		if mode&8 != 0 {
			a.requested = TypeIDJAG
		}
		tok, err := e.parseToken(a)
		checkError(t, err)
		if err == nil {
			checkToken(t, tok)
		} else if tok != (Token{}) {
			t.Errorf("a token with an error: %s", dump(tok))
		}
		code, d, err := e.parseDevice(a)
		var address *httpx.AddressError
		if !errors.As(err, &address) { // an AddressError is not checked, because it quotes the address that the server sent
			checkError(t, err)
		}
		if err == nil {
			_, bad := httpx.Check(d.VerificationURI, e.Local)
			if bad != nil || code == "" || d.Interval < time.Second || !d.Expires.After(noon) || !isUserCode(d.UserCode) {
				t.Errorf("got %+v: %v", d, bad)
			}
		}
	})
}

func checkToken(t *testing.T, tok Token) {
	var back Token
	if err := json.Unmarshal([]byte(dump(tok)), &back); err != nil || back != tok {
		t.Errorf("stored %s, read %s: %v", dump(tok), dump(back), err)
	}
	if !isPrintable(string(tok.AccessToken), '!') || tok.AccessToken == "" || !isPrintable(string(tok.RefreshToken), ' ') || !isPrintable(tok.Scope, ' ') || tok.Lifetime < 0 || tok.Lifetime > maxLifetime {
		t.Errorf("got %s", dump(tok))
	}
	if tok.Expiry.IsZero() != (tok.Lifetime == 0) || tok.TokenType != "Bearer" && tok.TokenType != "DPoP" && tok.TokenType != "N_A" {
		t.Errorf("got %s", dump(tok))
	}
}

func checkError(t *testing.T, err error) {
	var refused *Error
	switch {
	case err == nil:
		return
	case !errors.As(err, &refused) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrDowngrade):
		t.Errorf("got %T %v", err, err)
	case errors.As(err, &refused) && (refused.RetryAfter < 0 || refused.RetryAfter > httpx.MaxRetryAfter):
		t.Errorf("retry after %v", refused.RetryAfter)
	}
	text := err.Error()
	for _, s := range []string{text, unescaped(text)} {
		if httpx.HoldsSecret(s, canary) {
			t.Errorf("the error shows the secret: %q", text)
		}
	}
	if httpx.Text(text, len(text)+1) != text || len(text) > 4000 {
		t.Errorf("the error is not safe to print: %q", text)
	}
}

func unescaped(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// FuzzKey checks that an accepted key has an algorithm, and that an error contains nothing of the text.
func FuzzKey(f *testing.F) {
	f.Add("-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n")
	f.Add(`{"kty":"EC","crv":"P-256","d":"canary","x":"canary","y":"canary"}`)
	f.Add(`{"kty":"OKP","crv":"Ed25519","d":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA"}`)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := LoadKey([]byte(text))
		switch {
		case err == nil && len(k.algs) == 0:
			t.Error("a key without an algorithm")
		case err != nil && !strings.HasPrefix(err.Error(), "private key: "):
			t.Errorf("got %v", err)
		case err != nil && httpx.Text(err.Error(), 1000) != err.Error():
			t.Errorf("not safe to print: %q", err)
		}
	})
}

package mcphttp

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

// Clean masks credentials that a server repeats, also in other encodings, and leaves other text unchanged.
func TestCredentialsAreTakenOut(t *testing.T) {
	const token, key = "token/token+token=1", "key-key-key-key-1"
	l := &Link{URL: "https://mcp.example.com", Header: http.Header{"X-Key": {key}}}
	l.prepare()
	if s := "nothing was sent yet: " + token; l.Clean(s) != s {
		t.Error("words were changed before anything was sent")
	}
	l.LoginSecrets().Learn(token)
	for _, s := range []string{token, "x=" + url.QueryEscape(token), base64.StdEncoding.EncodeToString([]byte("a:" + token)), "the key " + key} {
		got := l.Clean("it came as " + s)
		if !strings.Contains(got, "[redacted]") || strings.Contains(got, "oken/token") || strings.Contains(got, "key-key") {
			t.Errorf("%q became %q", s, got)
		}
	}
	if s := "some-long-agent runs fast"; l.Clean(s) != s {
		t.Errorf("%q became %q", s, l.Clean(s))
	}
}

// The message of an error is cut before secrets are searched in it.
func TestLongErrorMessage(t *testing.T) {
	l := &Link{}
	l.LoginSecrets().Learn("tok0")
	m, _ := Parse([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"` + strings.Repeat("tok0 ", 1<<20) + `"}}`))
	var e *RPCError
	if err := l.Failure(Outcome{Answer: m}); !errors.As(err, &e) || !strings.HasPrefix(e.Message, "[redacted] ") || len(e.Message) > 4*maxText {
		t.Errorf("%T with %d bytes", err, len(e.Message))
	}
}

// A secret is removed from a URL before the URL is shortened. The message and the body of an error are shortened first, so that a part of a
// secret at the end is removed too, even if it would move into the visible text because the white space before it is removed.
func TestCutTextsShowNoSecret(t *testing.T) {
	const key = "sk-live+0123456789abcdefghij-KLMNOPQR=="
	l := &Link{URL: "https://mcp.example.com", Header: http.Header{"X-Api-Key": {key}}}
	l.prepare()
	for n := range 530 {
		address := "https://evil.example/" + strings.Repeat("p", n) + key
		u, _ := url.Parse(address)
		if shown := l.plainURL(u) + l.foreignAddress(address).Error(); strings.Contains(shown, "sk") {
			t.Fatalf("after %d bytes: %s", n, shown)
		}
	}
	for n := partOfKey; n < len(key); n++ {
		message := "a" + strings.Repeat(" ", maxText-1-n) + key
		m, _ := Parse([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"` + message + `"}}`))
		if err := l.Failure(Outcome{Answer: m}); strings.Contains(err.Error(), "sk") {
			t.Fatalf("%d bytes at the end of the message: %v", n, err)
		}
		res := &http.Response{StatusCode: 500, Request: &http.Request{URL: l.server}, Body: io.NopCloser(strings.NewReader("a" + strings.Repeat(" ", httpx.MaxBody-1-n) + key))}
		text, _ := readText(res, httpx.MaxBody)
		if err := l.newStatusError(res, text, ""); strings.Contains(err.Error(), "sk") {
			t.Fatalf("%d bytes at the end of the body: %v", n, err)
		}
	}
}

const partOfKey = 12 // a shorter part of a secret is not masked

func TestRetryGap(t *testing.T) {
	for retry, want := range map[string]string{"": "1s", "250": "250ms", "0": "100ms", "99": "100ms", "-1": "1s", "x": "1s", "99999999": "1s"} {
		if got := retryGap(retry).String(); got != want {
			t.Errorf("retry %q: %s, expected %s", retry, got, want)
		}
	}
}

// Wait never returns nil after its context has ended, so that retry loops end.
func TestWaitEnds(t *testing.T) {
	over := errors.New("over")
	ctx, end := context.WithCancelCause(t.Context())
	end(over)
	for _, pause := range []func(context.Context, time.Duration) error{nil, func(context.Context, time.Duration) error { return nil }} {
		if err := (&Link{Pause: pause}).Wait(ctx, 0); !errors.Is(err, over) {
			t.Errorf("waiting after the end: %v", err)
		}
	}
}

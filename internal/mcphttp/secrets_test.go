package mcphttp

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Clean masks credentials that a server repeats, also in other encodings, and leaves other text unchanged.
func TestCredentialsAreTakenOut(t *testing.T) {
	const token, key = "token/token+token=1", "key-key-key-key-1"
	l := &Link{URL: "https://mcp.example.com", Header: http.Header{"X-Key": {key}}}
	l.prepare()
	if s := "nothing was sent yet: " + token; l.Clean(s) != s {
		t.Error("words were changed before anything was sent")
	}
	l.secrets().Learn(token)
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
	l.secrets().Learn("tok0")
	m, _ := Parse([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"` + strings.Repeat("tok0 ", 1<<20) + `"}}`))
	var e *RPCError
	if err := l.Failure(Outcome{Answer: m}); !errors.As(err, &e) || !strings.HasPrefix(e.Message, "[redacted] ") || len(e.Message) > 4*maxErrorText {
		t.Errorf("%T with %d bytes", err, len(e.Message))
	}
}

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

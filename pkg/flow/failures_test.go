package flow

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// A failed token request drops nothing unless the authorization server says that the grant is dead. If the access token is still valid,
// Token returns the access token with a warning. If the access token has expired, Token returns the error. As soon as the token endpoint
// works again, Token succeeds again. A refusal with another code is stored: the login is then not renewable, and only a Refresh by the user
// sends the token again.
func TestFailuresAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	json := func(status, body string) string {
		return "token:status=" + status + `,type=application/json,body="` + strings.ReplaceAll(body, `"`, `\"`) + `"`
	}
	for _, tt := range []struct {
		name  string
		fault string
		words []string // words that the error text must contain
	}{
		{"refused with another code", "token:refused-code", []string{"token_revoked", "the session has ended"}},
		{"reset before anything", "token:drop=before", []string{"EOF"}},
		{"reset in mid-answer", "token:drop=mid", []string{"unexpected EOF"}},
		{"429 with Retry-After", "token:status=429,retry=7,type=application/json,body={}", []string{"429", "7"}},
		{"500", "token:status=500", []string{"500"}},
		{"503 with Retry-After", "token:status=503,retry=9", []string{"503", "9"}},
		{"HTML with 200", "token:html", []string{"200", "text/html"}},
		{"truncated JSON", "token:truncated", []string{"JSON"}},
		{"an empty answer", `token:status=200,type=application/json,body=" "`, []string{"200"}},
		{"ok false", json("200", `{"ok":false}`), []string{"200"}},
		{"ok false with a reason", json("200", `{"ok":false,"error":"ratelimited"}`), []string{"ratelimited"}},
		{"an unknown error", json("400", `{"error":"unheard_of","error_description":"the moon"}`), []string{"unheard_of", "the moon"}},
		{"a firewall", "token:forbidden", []string{"403"}},
		{"invalid_client", "token:invalid_client", []string{"invalid_client"}},
		{"unauthorized_client", json("400", `{"error":"unauthorized_client"}`), []string{"unauthorized_client"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{Settings: demo.Settings{Grace: time.Hour}}) // the server accepts the old refresh token again after a lost answer
			b.login(t)
			b.set(t, tt.fault)
			b.keepsAll(t, tt.words, func() { b.set(t, "clear") })
		})
	}
}

// A token request that gets no answer drops nothing.
func TestTokenEndpointUnreachable(t *testing.T) {
	t.Parallel()
	t.Run("connection refused", func(t *testing.T) {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.c.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return new(net.Dialer).Dial("tcp", "127.0.0.1:1")
		}}}
		b.keepsAll(t, []string{"refused"}, func() { b.c.HTTP = nil })
	})
	t.Run("timeout", func(t *testing.T) {
		b := newBench(t, demo.Options{Settings: demo.Settings{Grace: time.Hour}})
		b.login(t)
		b.c.HTTP = &http.Client{Timeout: 30 * time.Millisecond}
		b.set(t, "token:delay=1m")
		b.keepsAll(t, []string{"exceeded"}, func() { b.c.HTTP = nil; b.set(t, "clear") })
	})
}

// keepsAll renews three times: before the token expires and after it, while the token endpoint fails, and finally when the endpoint works
// again.
func (b *bench) keepsAll(t *testing.T, words []string, heal func()) {
	t.Helper()
	says := func(when string, text string) {
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q does not say %q", when, text, w)
			}
		}
	}
	var warnings []string
	b.c.Report = func(e Event) {
		if e.Kind == EventWarning {
			warnings = append(warnings, e.Message)
		}
	}
	before := b.stored(t)
	b.later(time.Hour - 30*time.Second)
	tok, err := b.c.Token(ctx, b.t, time.Minute)
	if err != nil || tok.AccessToken != before.Token.AccessToken {
		t.Fatalf("the token that is still good is not given: %v", err)
	}
	says("warning", strings.Join(warnings, "\n"))
	b.later(time.Hour)
	_, err = b.c.Token(ctx, b.t, time.Minute)
	if err == nil || errors.Is(err, ErrMaybeSpent) {
		t.Fatalf("got %v", err)
	}
	says("error", err.Error())
	refused := errors.Is(err, ErrGrantRejected) || errors.Is(err, ErrClientRejected)
	after := b.stored(t)
	if after.Token != before.Token || after.Client.ID != before.Client.ID || (after.generation != before.generation) != refused {
		t.Error("the failure changed what is stored")
	}
	if s, err := b.c.Status(ctx, b.t); err != nil || s.Refreshable == refused || after.isRenewable() == refused {
		t.Errorf("renewable: %t, %v", s.Refreshable, err)
	}
	if refused {
		sent := len(b.Requests("token"))
		if _, err := b.c.Token(ctx, b.t, time.Minute); err == nil || len(b.Requests("token")) != sent {
			t.Errorf("the refused token was sent again: %v", err)
		}
	}
	heal()
	if refused {
		if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
			t.Errorf("after it is well again: %v", err)
		}
	}
	if _, err := b.c.Token(ctx, b.t, time.Minute); err != nil {
		t.Errorf("after it is well again: %v", err)
	}
	b.counts(t, map[string]int{"login": 1, "registered": 1, "reuse": 0})
}

// If the server no longer knows the dynamic registration, a login with a browser registers again once. Without a browser, everything stays
// stored.
func TestForgottenRegistration(t *testing.T) {
	for _, code := range []string{"invalid_client", "unauthorized_client"} {
		t.Run(code, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.login(t)
			before := b.stored(t)
			b.set(t, "expire")
			b.set(t, `token:grant=refresh_token,status=401,type=application/json,body="{\"error\":\"`+code+`\"}",has=client_id=`+before.Client.ID)
			if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); !errors.Is(err, ErrClientRejected) {
				t.Fatalf("got %v, want ErrClientRejected", err)
			}
			if after := b.stored(t); after.Token.RefreshToken != before.Token.RefreshToken || after.Client.ID != before.Client.ID {
				t.Error("without a browser something was given up")
			}
			if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{})); err != nil {
				t.Fatal(err)
			}
			if after := b.stored(t); after.Client.ID == before.Client.ID {
				t.Error("the forgotten client is still used")
			}
			b.counts(t, map[string]int{"registered": 2, "login": 2})
		})
	}
}

// An interrupt while the refresh request is on its way does not prevent the new refresh token from being stored.
func TestInterruptAfterSending(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	first := b.stored(t).Token
	interrupted, interrupt := context.WithCancel(ctx)
	b.c.HTTP = before(http.MethodPost, "/token", interrupt)
	if _, err := b.c.Refresh(interrupted, b.t, 0); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if interrupted.Err() == nil {
		t.Fatal("nothing was sent")
	}
	if now := b.stored(t).Token; now.RefreshToken == first.RefreshToken {
		t.Error("the new refresh token is lost")
	}
	b.c.HTTP = nil
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Error(err)
	}
	b.counts(t, map[string]int{"refresh": 2, "reuse": 0})
}

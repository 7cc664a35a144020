package flow

import (
	"net/http"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/token"
)

// Whatever expires_in the server sends, the token is used while it works, and renewed once when it expires or is refused.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		fault     string
		state     State
		refreshes int // number of refreshes during a call right after the login
	}{
		{"not told", "token:no-expires-in", StateUnknown, 0},
		{"text", `token:set.expires_in="7200"`, StateValid, 0},
		{"text that is no number", `token:set.expires_in=soon`, StateUnknown, 0},
		{"a fraction", "token:set.expires_in=7200.5", StateValid, 0},
		{"zero", "token:set.expires_in=0", StateUnknown, 0},
		{"negative", "token:set.expires_in=-3600", StateUnknown, 0},
		{"huge", "token:set.expires_in=1e30", StateValid, 0},
		{"over at once", "token:set.expires_in=0.000001", StateExpired, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.set(t, tt.fault)
			b.login(t)
			if s, err := b.c.Status(ctx, b.t); err != nil || s.State != tt.state || !s.Usable() {
				t.Errorf("state %s, %v; want %s", s.State, err, tt.state)
			}
			h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
			if err := b.echo(t, h); err != nil {
				t.Fatal(err)
			}
			b.counts(t, map[string]int{"refresh": tt.refreshes, "401": 1}) // the only 401 is the one from which discovery started
			b.set(t, "expire")
			if err := b.echo(t, h); err != nil {
				t.Fatal(err)
			}
			b.counts(t, map[string]int{"refresh": tt.refreshes + 1, "reuse": 0, "login": 1})
		})
	}
}

// A token with a lifetime of ten seconds is not renewed at each request.
func TestTenSeconds(t *testing.T) {
	start := time.Now() // the clocks of server and client stand still, so that the test does not depend on the speed of the machine
	b := newBench(t, demo.Options{Settings: demo.Settings{TTL: 10 * time.Second}, Now: func() time.Time { return start }})
	b.c.Now = func() time.Time { return start.Add(time.Duration(b.clock.Load())) }
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
	for _, tt := range []struct {
		later     time.Duration
		refreshes int
	}{{0, 0}, {0, 0}, {9500 * time.Millisecond, 1}, {0, 1}} {
		b.later(tt.later)
		if err := b.echo(t, h); err != nil {
			t.Fatal(err)
		}
		b.counts(t, map[string]int{"refresh": tt.refreshes, "401": 1})
	}
}

// A server issues tokens with a lifetime of 50 ms, and the program sends ten requests a second. The program renews the token every five
// seconds at most. If the server refuses the token earlier, the program renews the token at once.
func TestFiftyMilliseconds(t *testing.T) {
	t.Parallel()
	start := time.Now()
	b := newBench(t, demo.Options{Now: func() time.Time { return start }})
	b.c.Now = func() time.Time { return start.Add(time.Duration(b.clock.Load())) }
	b.set(t, "token:set.expires_in=0.05")
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
	for range 300 {
		b.later(100 * time.Millisecond)
		if _, err := h.TokenSource(ctx); err != nil {
			t.Fatal(err)
		}
	}
	b.counts(t, map[string]int{"refresh": 6})
	for refreshes := 7; refreshes < 10; refreshes++ {
		b.later(time.Second)
		b.set(t, "expire")
		if err := b.echo(t, h); err != nil {
			t.Fatal(err)
		}
		b.counts(t, map[string]int{"refresh": refreshes, "login": 1, "reuse": 0})
	}
}

// A server refuses each token that it issues, and says that the token has a lifetime of 50 ms. However often the program sends requests, it
// opens the browser only once, and only if there is no refresh token.
func TestExpiredTokensAreRefused(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]int32{"token:set.expires_in=0.05": 0, "token:set.expires_in=0.05,del=refresh_token": 1} {
		b := newBench(t, demo.Options{})
		b.set(t, fault)
		b.login(t)
		b.opened.Store(0)
		b.set(t, "mcp:wrong-audience")
		h := b.c.Handler(b.t, HandlerOptions{})
		for range 4 {
			b.later(100 * time.Millisecond)
			if status, err := b.ask(ctx, h, "echo", 3); status != http.StatusUnauthorized {
				t.Errorf("%s: %d, %v", fault, status, err)
			}
		}
		if n := b.opened.Load(); n != want {
			t.Errorf("%s: the browser was opened %d times, want %d", fault, n, want)
		}
	}
}

// If the client's clock jumps, no token is lost. If the remaining lifetime is then unknown, the token is renewed.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		jump    time.Duration
		renewed bool
	}{
		{"a day ahead: the token seems to have expired", 24 * time.Hour, true},
		{"ten years ahead", 10 * 365 * 24 * time.Hour, true},
		{"a day back: more seems to be left than the token ever had", -24 * time.Hour, true},
		{"back by what clocks are corrected by", -time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.login(t)
			first := b.stored(t).Token.AccessToken
			b.later(tt.jump)
			tok, err := b.client(t).Token(ctx, b.t, time.Minute)
			if err != nil || tok.AccessToken == first == tt.renewed {
				t.Fatalf("renewed: %v, want %v; %v", tok.AccessToken != first, tt.renewed, err)
			}
			if again, err := b.client(t).Token(ctx, b.t, time.Minute); err != nil || again.AccessToken != tok.AccessToken {
				t.Errorf("the token of the new time is not kept: %v", err)
			}
			b.later(-tt.jump)
			if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
				t.Errorf("back in time: %v", err)
			}
			b.counts(t, map[string]int{"reuse": 0, "login": 1})
		})
	}
}

// After a login, the clock is set back or forward. A pending login that begins then can be finished, and a parallel login is still adopted.
func TestLoginAfterAClockJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-10 * 365 * 24 * time.Hour, -time.Hour, time.Hour, 10 * 365 * 24 * time.Hour} {
		b := newBench(t, demo.Options{})
		b.login(t)
		before := b.stored(t)
		b.later(jump)
		address, err := b.c.Pending(ctx, b.t, LoginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := b.client(t).Finish(ctx, b.t, landing(t, address)); err != nil || s.State != StateValid {
			t.Errorf("%s: the login cannot be finished: %v, %v", jump, s.State, err)
		}
		if after := b.stored(t); !b.c.isServedBy(after, before, Settings{}, LoginOptions{}, loginReason{}) {
			t.Errorf("%s: a login that waited for another process opens the browser again", jump)
		}
	}
}

// If the clock was set back and the token endpoint fails, Token returns the stored token.
func TestClockWentBackOffline(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	first := b.stored(t).Token
	b.later(-24 * time.Hour)
	b.set(t, "token:status=503")
	if tok, err := b.c.Token(ctx, b.t, time.Minute); err != nil || tok.AccessToken != first.AccessToken {
		t.Errorf("the stored token was not given: %v", err)
	}
	if after := b.stored(t).Token; after.RefreshToken != first.RefreshToken {
		t.Error("the failure cost the refresh token")
	}
}

// If a server renews only expired tokens, a refused early refresh changes nothing, and the token stays in use.
func TestTooEarly(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Early: time.Second}})
	b.login(t)
	before := b.stored(t).Token
	b.later(time.Hour - 30*time.Second) // 30 s before the expiry, the client wants to refresh and the server still refuses
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
		t.Fatal(err)
	}
	if tok, err := b.c.Token(ctx, b.t, time.Minute); err != nil || tok.AccessToken != before.AccessToken {
		t.Errorf("the token that is still good was not given: %v", err)
	}
	if after := b.stored(t).Token; after != before {
		t.Error("the refusal changed what is stored")
	}
	b.set(t, "expire")
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
		t.Fatal(err)
	}
	b.counts(t, map[string]int{"refresh": 1, "reuse": 0, "login": 1})
}

func TestEnough(t *testing.T) {
	for _, tt := range []struct {
		name string
		tok  token.Token
		want bool
	}{
		{"just enough", tok("a", time.Minute, time.Hour), true},
		{"too little", tok("a", time.Minute-1, time.Hour), false},
		{"all of it", tok("a", time.Hour, time.Hour), true},
		{"more than all, by less than a minute", tok("a", time.Hour+59*time.Second, time.Hour), true},
		{"more than all: the clock went back", tok("a", time.Hour+61*time.Second, time.Hour), false},
		{"lifetime unknown", tok("a", 0, 0), true},
		{"no token", token.Token{}, false},
	} {
		if got := hasTTL(tt.tok, noon, time.Minute); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

package flow

import (
	"context"
	"errors"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/token"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// tok returns a token with the given remaining time and lifetime. A lifetime of zero is unknown.
func tok(access Secret, left, lifetime time.Duration) token.Token {
	t := token.Token{AccessToken: access, RefreshToken: "r-" + access, Lifetime: lifetime}
	if lifetime != 0 {
		t.Expiry = noon.Add(left)
	}
	return t
}

func TestDue(t *testing.T) {
	for _, tt := range []struct {
		name string
		tok  token.Token
		want bool
	}{
		{"an hour's token with two minutes left", tok("a", 2*time.Minute, time.Hour), false},
		{"an hour's token with a minute and a bit left", tok("a", 61*time.Second, time.Hour), false},
		{"an hour's token with less than a minute left", tok("a", 59*time.Second, time.Hour), true},
		{"a ten-second token with two seconds left", tok("a", 2*time.Second, 10*time.Second), false},
		{"a ten-second token with half a second left", tok("a", time.Second/2, 10*time.Second), true},
		{"expired", tok("a", -time.Second, time.Hour), true},
		{"unknown lifetime: used until the server refuses it", tok("a", 0, 0), false},
		{"no token", token.Token{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := needsRefresh(tt.tok, noon); got != tt.want {
				t.Errorf("due = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAdoptable(t *testing.T) {
	stored := credential{Token: tok("new", time.Hour, time.Hour)}
	for _, tt := range []struct {
		name string
		cred credential
		why  renewalReason
		want bool
	}{
		{"a peer renewed", stored, renewalReason{oldToken: "old", rejected: true}, true},
		{"nobody renewed a rejected token", stored, renewalReason{oldToken: "new", rejected: true}, false},
		{"a rejected token is not kept for its time left", stored, renewalReason{oldToken: "new", rejected: true, minTTL: time.Minute}, false},
		{"nobody renewed, and refresh was asked for", stored, renewalReason{oldToken: "new"}, false},
		{"enough is left after all", stored, renewalReason{oldToken: "new", minTTL: time.Minute}, true},
		{"a peer renewed, and less is left than was wanted", stored, renewalReason{oldToken: "old", minTTL: 2 * time.Hour}, true},
		{"a peer's token that has expired since", credential{Token: tok("new", -time.Second, time.Hour)}, renewalReason{oldToken: "old", rejected: true}, false},
		{"a peer dropped the tokens", credential{}, renewalReason{oldToken: "old", rejected: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := canUseStored(tt.cred, tt.why, noon); got != tt.want {
				t.Errorf("adoptable = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	old := token.Token{AccessToken: "a1", RefreshToken: "r1", Scope: "read", ScopeGiven: true}
	for _, tt := range []struct {
		name  string
		fresh token.Token
		want  token.Token
	}{
		{"an answer without a refresh token keeps the old one", token.Token{AccessToken: "a2"}, token.Token{AccessToken: "a2", RefreshToken: "r1", Scope: "read", ScopeGiven: true}},
		{"a rotated one replaces it", token.Token{AccessToken: "a2", RefreshToken: "r2"}, token.Token{AccessToken: "a2", RefreshToken: "r2", Scope: "read", ScopeGiven: true}},
		{"a narrowed scope is believed", token.Token{AccessToken: "a2", Scope: "", ScopeGiven: true}, token.Token{AccessToken: "a2", RefreshToken: "r1", ScopeGiven: true}},
		{"an ID token is not kept", token.Token{AccessToken: "a2", IDToken: "i"}, token.Token{AccessToken: "a2", RefreshToken: "r1", Scope: "read", ScopeGiven: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := token.Merge(old, tt.fresh); got != tt.want {
				t.Error("the merged token differs in access token, refresh token or scope")
			}
		})
	}
}

func TestStateAt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		expiry time.Time
		want   State
	}{
		{"unknown", time.Time{}, StateUnknown},
		{"valid at five minutes", noon.Add(5 * time.Minute), StateValid},
		{"expiring under five minutes", noon.Add(5*time.Minute - time.Second), StateExpiring},
		{"expired at its second", noon, StateExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := StateAt(tt.expiry, noon); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// If the server refuses both tokens, Status must not report the access token as valid, and a login with IfNeeded must log in. Seen at
// oidc-provider, which ends the access token too if it receives a refresh token twice.
func TestRefusedTokenWithoutRenewalIsNotValid(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "revoke")
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrGrantRejected) {
		t.Fatalf("got %v, want ErrGrantRejected", err)
	}
	if s, err := b.c.Status(ctx, b.t); err != nil || s.State != StateValid {
		t.Fatalf("before the server was asked: %s, %v", s.State, err)
	}
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); !errors.Is(err, ErrGrantRejected) {
		t.Fatalf("got %v, want ErrGrantRejected", err)
	}
	if s, err := b.c.Status(ctx, b.t); err != nil || s.Usable() {
		t.Errorf("after the server refused it: %s, %v", s.State, err)
	}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{IfNeeded: true}); err != nil || b.opened.Load() != 2 {
		t.Errorf("--if-needed: %v, browser opened %d times, want 2", err, b.opened.Load())
	}
}

// A refusal about the client or the grant type makes the login unrenewable at once, even while its access token is valid (RFC 6749 §5.2).
func TestRefusalForGood(t *testing.T) {
	t.Parallel()
	for code, forGood := range map[string]bool{"invalid_grant": true, "invalid_client": true, "unauthorized_client": true, "unsupported_grant_type": true,
		"invalid_request": false, "invalid_scope": false, "too_early": false, "temporarily_unavailable": false} {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.set(t, `token:status=400,type=application/json,body="{\"error\":\"`+code+`\"}"`)
		if _, err := b.c.Refresh(ctx, b.t, 0); err == nil {
			t.Fatalf("%s: no error", code)
		}
		if s, err := b.c.Status(ctx, b.t); err != nil || s.Refreshable == forGood || s.State != StateValid || !s.Usable() {
			t.Errorf("%s: renewable %t, state %s, %v", code, s.Refreshable, s.State, err)
		}
		b.set(t, "clear")
		if _, err := b.c.Refresh(ctx, b.t, 0); (err == nil) != (code != "invalid_grant") {
			t.Errorf("%s: the next refresh that the user asks for: %v", code, err)
		}
	}
}

// The token endpoint is gone, and the metadata request that follows hangs. It is not part of the token request, so it ends with the caller.
func TestSearchForTheTokenEndpointEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token_path=moved/token")
	b.set(t, "metadata:hang=before")
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	begun := time.Now()
	_, err := b.c.Refresh(short, b.t, 0)
	if took := time.Since(begun); err == nil || took > 5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	b.set(t, "clear")
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Error(err)
	}
}

// An authorization server for machines has no authorization endpoint. A renewal still finds its moved token endpoint.
func TestTokenEndpointOfMachinesMoves(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.set(t, "metadata:del=authorization_endpoint")
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic", Scopes: []string{"notes:read"}}
	b.login(t)
	b.set(t, "token_path=moved/token")
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil || b.stored(t).Endpoints.Token != b.Issuer()+"/moved/token" {
		t.Errorf("got %v, token endpoint %s", err, b.stored(t).Endpoints.Token)
	}
}

package flow

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// A login works after it replaced another one, for each way in which servers share grants between logins. Logout revokes all grants.
func TestSharedGrants(t *testing.T) {
	t.Parallel()
	for _, share := range []string{"family", "client", "browser"} {
		t.Run(share, func(t *testing.T) {
			b := newBench(t, demo.Options{Settings: demo.Settings{Share: share}})
			browser := &demo.Browser{}
			b.c.Open = func(_ context.Context, address string) error {
				b.opened.Add(1)
				go browser.Open(ctx, address)
				return nil
			}
			for i := range 5 {
				b.login(t)
				if status, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthNever}), "echo", 1); status != 200 {
					t.Fatalf("login %d: the token is refused: %d, %v", i+1, status, err)
				}
				if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
					t.Fatalf("login %d: %v", i+1, err)
				}
			}
			if status, err := b.ask(ctx, b.c.Handler(b.t, HandlerOptions{}), "secret_note", 3); status != 200 {
				t.Fatalf("after a step-up: %d, %v", status, err)
			}
			if n := b.opened.Load(); n != 6 {
				t.Errorf("the browser was opened %d times, want 6", n)
			}
			if n := len(b.stored(t).Retired); n != maxRetired {
				t.Errorf("%d replaced grants are remembered, want %d", n, maxRetired)
			}
			report, err := b.c.Logout(ctx, b.t, LogoutOptions{})
			if err != nil || !report.Revoked || len(report.Warnings) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
			left := 0
			if share == "family" { // the six logins obtained six grants, and Logout revokes only the current grant and the stored retired grants
				left = 6 - 1 - maxRetired
			}
			if n := b.Live(); n != left {
				t.Errorf("%d grants live on, want %d", n, left)
			}
		})
	}
}

// Logout also deletes pending logins. No file contains a secret afterwards.
func TestLogoutLeavesNoSecret(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.login(t)
	finished := b.pending(t)
	b.later(time.Second)
	if _, err := b.c.Finish(ctx, b.t, finished); err != nil {
		t.Fatal(err)
	}
	b.later(time.Second)
	b.pending(t)
	alone := b.t
	alone.Profile, alone.ClientID = "alone", "demo-public" // nothing but a pending login
	if _, err := b.c.Pending(ctx, alone, LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := b.c.Statuses(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d logins, %v; want 2", len(all), err)
	}
	for _, s := range all {
		target := Target{URL: s.URL}
		if s.Name != nil {
			target.Profile = *s.Name
		}
		if _, err := b.c.Logout(ctx, target, LogoutOptions{}); err != nil {
			t.Error(err)
		}
	}
	err = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".lock") {
			return err
		}
		data, err := os.ReadFile(path)
		t.Errorf("%s is left, %d bytes, %v", path, len(data), err)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A login that waited for another one adopts its result only if the result satisfies its options.
func TestWaitingLoginAdoptsByItsOptions(t *testing.T) {
	now := time.Now()
	before := credential{}
	stored := credential{Token: tok("new", time.Hour, time.Hour), LoginAt: now, Scopes: []string{"a"}, Settings: Settings{ClientID: "x", CallbackPort: 7}}
	stored.Token.Expiry = now.Add(time.Hour)
	refused := Secret("new")
	other := Secret("old")
	for _, tt := range []struct {
		name  string
		given Settings
		o     LoginOptions
		why   loginReason
		want  bool
	}{
		{"nothing in particular", Settings{}, LoginOptions{}, loginReason{}, true},
		{"the same client", Settings{ClientID: "x"}, LoginOptions{}, loginReason{}, true},
		{"another port", Settings{CallbackPort: 8}, LoginOptions{}, loginReason{}, true},
		{"another client", Settings{ClientID: "y"}, LoginOptions{}, loginReason{}, false},
		{"--new-client", Settings{}, LoginOptions{NewClient: true}, loginReason{}, false},
		{"another scope", Settings{Scopes: []string{"b"}}, LoginOptions{}, loginReason{}, false},
		{"bound tokens", Settings{DPoP: DPoPAlways}, LoginOptions{}, loginReason{}, false},
		{"strict", Settings{Strict: true}, LoginOptions{}, loginReason{}, false},
		{"a handler whose token was refused", Settings{ClientID: "y"}, LoginOptions{}, loginReason{rejected: &other}, true},
		{"a handler for which this token was refused", Settings{}, LoginOptions{}, loginReason{rejected: &refused}, false},
	} {
		if got := (&Client{}).isServedBy(stored, before, tt.given, tt.o, tt.why); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
	stored.Settings.ClientID = "" // it registered
	if (&Client{}).isServedBy(stored, before, Settings{}, LoginOptions{NewClient: true}, loginReason{}) {
		t.Error("--new-client adopts the registration of another login")
	}
}

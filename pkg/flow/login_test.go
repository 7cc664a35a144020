package flow

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

// Seen at oidc-provider: a step-up of a machine's login opened a browser and registered a client.
func TestStepUpKeepsGrantAndClient(t *testing.T) {
	for _, grant := range []Grant{GrantClientCredentials, GrantCode} {
		t.Run(string(grant), func(t *testing.T) {
			b := newBench(t, demo.Options{})
			bare := b.t
			b.t.Grant, b.t.ClientID, b.t.ClientSecret, b.t.Scopes = grant, "demo-basic", "demo-cs-basic", []string{"notes:read"}
			b.login(t)
			opened := b.opened.Load()
			if err := b.tool(t, b.c.Handler(bare, HandlerOptions{}), "secret_note"); err != nil {
				t.Fatal(err)
			}
			cred := b.stored(t)
			if cred.Grant != grant || cred.Client.ID != "demo-basic" || cred.Client.Kind != dcr.Preregistered {
				t.Errorf("stepped up as %+v by %q", cred.Client, cred.Grant)
			}
			if grant == GrantClientCredentials && b.opened.Load() != opened {
				t.Error("a browser was opened")
			}
			b.counts(t, map[string]int{"registered": 0})
		})
	}
}

// Seen at oidc-provider: a login that follows one with DPoP got an unbound token.
func TestLaterLoginKeepsTheBinding(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
	bare := b.t
	b.t.DPoP = "always"
	b.login(t)
	for _, want := range []struct {
		choice    DPoP
		tokenType string
	}{{"", "DPoP"}, {"never", "Bearer"}, {"", "Bearer"}} {
		b.t = bare
		b.t.DPoP = want.choice
		b.login(t)
		if got := b.stored(t).Token.TokenType; got != want.tokenType {
			t.Errorf("dpop %q: a token of type %q, want %q", want.choice, got, want.tokenType)
		}
	}
}

// Seen at the TypeScript SDK's router: --dpop always was refused only after a person had consented and a client was registered.
func TestDPoPIsRefusedBeforeTheBrowser(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.DPoP = "always"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v, want ErrUnsupported", err)
	}
	if n := b.opened.Load(); n != 0 {
		t.Errorf("the browser was opened %d times", n)
	}
	b.counts(t, map[string]int{"registered": 0})
}

// A server that requires pushed authorization requests gets them (RFC 9126), in one step and in two.
func TestPushedAuthorizationRequest(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{PAR: "require"}})
	var opened string
	b.c.Open = func(ctx context.Context, address string) error {
		opened = address
		return b.open(ctx, address)
	}
	b.login(t)
	u, err := url.Parse(opened)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); len(q) != 2 || q.Get("request_uri") == "" || q.Get("client_id") == "" {
		t.Errorf("the browser got %q", q)
	}
	b.later(time.Second)
	if _, err := b.c.Finish(ctx, b.t, b.pending(t)); err != nil {
		t.Error(err)
	}
	b.counts(t, map[string]int{"login": 2})
}

// The nonces for DPoP proofs are known to the next process: its refresh is not refused first.
func TestNoncesAreKept(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "require", Nonce: true}})
	b.login(t)
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	sent := len(b.Requests("token"))
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Requests("token")) - sent; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// A server behind a 307 to its address with a slash: the login stores where calls go, and forgets it when the redirect is gone.
func TestServerThatRedirects(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Slash: true}})
	if s := b.login(t); s.Moved != b.t.URL+"/" || s.URL != b.t.URL {
		t.Errorf("calls go to %q for %q", s.Moved, s.URL)
	}
	if got := moved(draft{t: b.t, old: b.stored(t), found: &discovery.Result{URL: b.t.URL}}); got != b.t.URL+"/" {
		t.Errorf("a login that did not ask the server stores %q", got)
	}
	b.set(t, "slash=false")
	if s := b.login(t); s.Moved != "" {
		t.Errorf("calls go to %q after the redirect is gone", s.Moved)
	}
}

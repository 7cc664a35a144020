package flow

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
)

// A login that waited for another login completes its settings from the other login's result, not from the login before.
func TestLoginCompletesItsSettingsUnderTheLock(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.set(t, "dpop=offer")
	b.login(t)
	unlock, err := b.c.Store.Lock(ctx, b.t.key(), keystore.LockLogin)
	if err != nil {
		t.Fatal(err)
	}
	read, done := make(chan struct{}), make(chan error, 1)
	waiting, once := b.t, sync.Once{}
	waiting.Check = func(Target, Settings) error {
		once.Do(func() { close(read) })
		return nil
	}
	go func() {
		_, err := b.client(t).Login(ctx, waiting, LoginOptions{})
		done <- err
	}()
	<-read
	_, err = b.c.updateCredential(ctx, b.t, func(cred *credential) { cred.Settings.DPoP, cred.Settings.Scopes = DPoPAlways, []string{"notes:read"} })
	unlock()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if s := b.stored(t).Settings; s.DPoP != DPoPAlways || len(s.Scopes) != 1 {
		t.Errorf("the login was stored with the settings of the login before: %+v", s)
	}
}

// A step-up of a login by client credentials opens no browser and registers no client (seen at oidc-provider).
func TestStepUpKeepsGrantAndClient(t *testing.T) {
	t.Parallel()
	for _, grant := range []Grant{GrantClientCredentials, GrantCode} {
		t.Run(string(grant), func(t *testing.T) {
			b := newBench(t, demo.Options{})
			bare := b.t
			b.t.Grant, b.t.ClientID, b.t.ClientSecret = grant, "demo-basic", "demo-cs-basic"
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
			b.counts(t, map[string]int{"registered": 0, "token": 2})
		})
	}
}

// A login that follows one with DPoP gets a bound token too (seen at oidc-provider).
func TestLaterLoginKeepsTheBinding(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
	bare := b.t
	b.t.DPoP = "always"
	b.login(t)
	for _, want := range []struct {
		choice    DPoP
		tokenType string
	}{{"", "DPoP"}, {DPoPAuto, "DPoP"}, {DPoPNever, "Bearer"}, {DPoPAuto, "Bearer"}} {
		b.t = bare
		b.t.DPoP = want.choice
		b.login(t)
		if got := b.stored(t).Token.TokenType; got != want.tokenType {
			t.Errorf("dpop %q: a token of type %q, want %q", want.choice, got, want.tokenType)
		}
	}
}

// If the authorization server no longer offers DPoP, only DPoPNever replaces a bound token by a bearer token.
func TestBoundTokenIsNotReplaced(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
	b.t.DPoP = DPoPAlways
	b.login(t)
	b.set(t, "dpop=no")
	for _, choice := range []DPoP{"", DPoPAuto} {
		b.t.DPoP = choice
		if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrUnsupported) || b.stored(t).Token.TokenType != "DPoP" {
			t.Errorf("dpop %q: %v, stored is a token of type %q", choice, err, b.stored(t).Token.TokenType)
		}
	}
	b.t.DPoP = DPoPNever
	b.login(t)
}

// A server without DPoP support makes a login with DPoPAlways fail before the user is asked and before a client is registered (seen at the
// TypeScript SDK's router).
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

// A server that requires pushed authorization requests (RFC 9126) gets them from Login and from Pending.
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

// If the secrets of a pushed request cannot be bound, for example because the store fails, the login ends before the browser opens.
func TestPushedRequestCannotBeBound(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{PAR: "offer"}})
	d, err := b.c.prepareLogin(ctx, b.t, LoginOptions{}, credential{}, loginReason{})
	if err != nil {
		t.Fatal(err)
	}
	d.bind = func(context.Context, credential, url.Values) (func(), error) { return nil, keystore.ErrUnavailable }
	cred := credential{Server: b.t.URL, Issuer: d.plan.Issuer, Endpoints: endpoints(d.found.Server), Client: dcr.Client{ID: "demo-public", AuthMethod: "none"}}
	if _, err := b.c.pushRequest(ctx, d, &cred, url.Values{}, false); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// If the time limit ends while the request is pushed, the login ends, and no browser opens.
func TestPushedRequestEndsWithTheTime(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{PAR: "offer"}})
	d, err := b.c.prepareLogin(ctx, b.t, LoginOptions{}, credential{}, loginReason{})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(ctx)
	d.bind = func(context.Context, credential, url.Values) (func(), error) {
		cancel()
		return func() {}, nil
	}
	cred := credential{Server: b.t.URL, Issuer: d.plan.Issuer, Endpoints: endpoints(d.found.Server), Client: dcr.Client{ID: "demo-public", AuthMethod: "none"}}
	if _, err := b.c.pushRequest(over, d, &cred, url.Values{}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The next process uses the stored DPoP nonces, so its refresh is not refused first.
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

// If the server's URL redirects to the URL with a slash, a login stores that URL. A login after the redirect is removed deletes it.
func TestServerThatRedirects(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Slash: true}})
	if s := b.login(t); s.Moved != b.t.URL+"/" || s.URL != b.t.URL {
		t.Errorf("calls go to %q for %q", s.Moved, s.URL)
	}
	if got := movedURL(loginDraft{t: b.t, old: b.stored(t), found: &discovery.Result{URL: b.t.URL}}); got != b.t.URL+"/" {
		t.Errorf("a login that did not ask the server stores %q", got)
	}
	b.set(t, "slash=false")
	if s := b.login(t); s.Moved != "" {
		t.Errorf("calls go to %q after the redirect is gone", s.Moved)
	}
}

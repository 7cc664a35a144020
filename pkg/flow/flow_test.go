package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
)

var ctx = context.Background()

// A credential from login through renewal to logout.
func TestLoginRefreshLogout(t *testing.T) {
	b := newBench(t, demo.Options{})
	s := b.login(t)
	if s.State != StateValid || !s.Refreshable || s.Generation == 0 || s.Registration != dcr.Dynamic || s.Issuer != b.Issuer() || s.Resource != b.URL() {
		t.Errorf("after the login: %+v", s)
	}
	refreshed, err := b.c.Refresh(ctx, b.t, 0)
	if err != nil {
		t.Fatal(err)
	}
	if refreshed.Generation <= s.Generation {
		t.Errorf("generation %d after %d", refreshed.Generation, s.Generation)
	}
	report, err := b.c.Logout(ctx, b.t, LogoutOptions{})
	if err != nil || !report.LoggedIn || !report.Revoked || !report.ClientDeleted || len(report.Warnings) > 0 {
		t.Errorf("logout: %+v, %v", report, err)
	}
	if s, err := b.c.Status(ctx, b.t); err != nil || s.State != StateNone {
		t.Errorf("after the logout: %+v, %v", s, err)
	}
	b.counts(t, map[string]int{"login": 1, "refresh": 1, "registered": 1, "unregistered": 1})
}

// A second process uses the stored login without a browser.
func TestSecondRunOpensNoBrowser(t *testing.T) {
	b := newBench(t, demo.Options{})
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{})); err != nil {
		t.Fatal(err)
	}
	if err := b.echo(t, b.client(t).Handler(b.t, HandlerOptions{})); err != nil {
		t.Fatal(err)
	}
	if n := b.opened.Load(); n != 1 {
		t.Errorf("the browser was opened %d times", n)
	}
}

// A login is needed if the stored one is missing, has fewer scopes, or is less secure than demanded.
func TestLoginIfNeeded(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
	for i, change := range []func(s *Settings){
		func(s *Settings) { s.DPoP = DPoPNever },
		func(s *Settings) { s.Scopes = []string{"notes:write"} },
		func(s *Settings) { s.Strict = true },
		func(s *Settings) { s.DPoP = DPoPAlways },
	} {
		change(&b.t.Settings)
		for range 2 {
			if _, err := b.c.Login(ctx, b.t, LoginOptions{IfNeeded: true}); err != nil {
				t.Fatal(err)
			}
		}
		b.counts(t, map[string]int{"login": i + 1})
	}
	b.t.Issuer = b.stored(t).Issuer + "/"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{IfNeeded: true}); err != nil {
		t.Fatal(err)
	}
	b.t.Issuer = "https://other.example"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{IfNeeded: true}); err == nil {
		t.Error("a login at another issuer counts")
	}
	b.counts(t, map[string]int{"login": 4})
}

// A second login uses the registration and the callback port of the first one.
func TestLoginKeepsRegistrationAndPort(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	first := b.stored(t).Client
	b.login(t)
	if second := b.stored(t).Client; second.ID != first.ID || second.RedirectURI != first.RedirectURI {
		t.Errorf("client %q at %q became %q at %q", first.ID, first.RedirectURI, second.ID, second.RedirectURI)
	}
	b.counts(t, map[string]int{"registered": 1, "login": 2})
}

// If the server no longer knows the client, Login registers again once and succeeds.
func TestLoginAtAServerThatForgotTheClient(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token:invalid_client,n=1")
	b.login(t)
	b.counts(t, map[string]int{"registered": 2})
}

// The registration of an unfinished login is used by the next login.
func TestUnfinishedLoginKeepsItsRegistration(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.c.Open = nil
	if _, err := b.c.Login(ctx, b.t, LoginOptions{Timeout: 50 * time.Millisecond}); !errors.Is(err, ErrNoAnswer) {
		t.Fatalf("got %v, want ErrNoAnswer", err)
	}
	b.c.Open = b.open
	b.login(t)
	b.counts(t, map[string]int{"registered": 1, "login": 1})
}

// The old credential stays usable until the new one is stored. The refresh token of the old credential is stored as retired. It is not
// revoked, because the revocation could end the new login at a server that uses one grant for both logins.
func TestLoginIsMakeBeforeBreak(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	old := b.stored(t)
	b.set(t, "authorize:access-denied,n=1")
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil {
		t.Fatal("a refused login succeeded")
	}
	if !b.stored(t).same(old.Token.AccessToken) {
		t.Fatal("a refused login cost the old credential")
	}
	b.login(t)
	e, err := b.c.tokenEndpoint(old)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.stored(t).Retired; len(got) != 1 || got[0].Token != Secret(old.Token.RefreshToken) {
		t.Error("the replaced grant is not remembered")
	}
	if _, err := e.Refresh(ctx, old.Token.RefreshToken); err != nil {
		t.Errorf("the replaced grant was revoked at once: %v", err)
	}
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("the new grant does not: %v", err)
	}
}

// Of two concurrent logins, the second waits for the first and adopts its result.
func TestParallelLoginsAreOne(t *testing.T) {
	b := newBench(t, demo.Options{})
	var wg sync.WaitGroup
	for range 5 {
		c := b.client(t)
		wg.Go(func() {
			if err := b.echo(t, c.Handler(b.t, HandlerOptions{})); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.counts(t, map[string]int{"login": 1, "registered": 1})
}

// In an untrusted project, a login waits for another one with the user's own name, and uses it. The name stays the user's.
func TestOwnLoginServesAProject(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	before := b.stored(t)
	b.later(time.Minute)
	b.login(t)
	given := b.t.Settings
	given.NameOfProject = true
	if !b.c.isServedBy(b.stored(t), before, given, LoginOptions{}, loginReason{}) {
		t.Error("the login begins again")
	}
	b.t.NameOfProject = true
	if b.login(t); b.stored(t).Settings.NameOfProject {
		t.Error("the project took the name")
	}
	stored := b.stored(t)
	stored.Settings.NameOfProject = true
	if b.c.isServedBy(stored, before, b.t.Settings.Without(given), LoginOptions{}, loginReason{}) {
		t.Error("a login of a project serves the user's own one")
	}
}

// If many processes find the same expired credential, they send one refresh, even at a server that punishes reuse.
func TestParallelRefreshesAreOne(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "expire")
	b.later(2 * time.Hour)
	var wg sync.WaitGroup
	for range 10 {
		c := b.client(t)
		wg.Go(func() {
			if _, err := c.Token(ctx, b.t, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.counts(t, map[string]int{"refresh": 1, "reuse": 0})
}

// If another process renewed and the server revoked the token that this process holds, a 401 leads to neither a refresh nor a login.
func TestHandlerAdoptsAPeersToken(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Single: true}})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	if err := b.echo(t, h); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.echo(t, h); err != nil {
		t.Fatal(err)
	}
	b.counts(t, map[string]int{"refresh": 1, "login": 1})
}

// A 401 during a session leads to a silent renewal.
func TestHandlerRenewsInMidSession(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	if err := b.echo(t, h); err != nil {
		t.Fatal(err)
	}
	b.set(t, "expire")
	if err := b.echo(t, h); err != nil {
		t.Fatal(err)
	}
	b.counts(t, map[string]int{"refresh": 1, "login": 1})
	if n := b.opened.Load(); n != 1 {
		t.Errorf("the browser was opened %d times", n)
	}
}

func TestHandlerStepsUp(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Scopes = []string{"notes:read"}
	b.login(t)
	b.t.Scopes = nil
	err := b.tool(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh}), "secret_note")
	var scope *ScopeError
	if !errors.As(err, &scope) || !slices.Contains(scope.Scopes, "notes:write") || !slices.Contains(scope.Scopes, "notes:read") {
		t.Fatalf("got %v, want a ScopeError that names the union", err)
	}
	if err := b.tool(t, b.c.Handler(b.t, HandlerOptions{}), "secret_note"); err != nil {
		t.Fatal(err)
	}
	if granted := b.stored(t).grantedScopes(); !slices.Contains(granted, "notes:read") || !slices.Contains(granted, "notes:write") {
		t.Errorf("granted %q, want the union", granted)
	}
	b.counts(t, map[string]int{"refresh": 0, "login": 2})
}

// The number of logins is bounded if a server answers every token with insufficient_scope.
func TestHandlerStopsSteppingUp(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Withhold: []string{"notes:write"}}})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	if err := b.tool(t, h, "secret_note"); err == nil { // for each request, the SDK calls the handler for one 403 response only
		t.Fatal("the tool ran without its scope")
	}
	var scope *ScopeError
	if err := b.tool(t, h, "secret_note"); !errors.As(err, &scope) || !scope.Granted {
		t.Fatalf("got %v, want a ScopeError after the grant", err)
	}
	if n := b.opened.Load(); n > 3 {
		t.Errorf("the browser was opened %d times", n)
	}
}

// A failure that does not prove that the grant is dead drops nothing.
func TestRefreshFailuresKeepTheCredential(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{
		"token:status=500,n=1", "token:status=503,n=1", "token:busy,n=1", "token:html,n=1", "token:truncated,n=1", "token:drop=before,n=1",
		"token:drop=mid,n=1", `token:status=400,type=application/json,body="{\"error\":\"unheard_of\"}",n=1`,
		`token:status=400,body=nonsense,n=1`, `token:invalid_client,n=1`,
	} {
		t.Run(fault, func(t *testing.T) {
			b := newBench(t, demo.Options{Settings: demo.Settings{Grace: time.Hour}})
			b.login(t)
			before := b.stored(t)
			b.set(t, fault)
			if _, err := b.c.Refresh(ctx, b.t, 0); err == nil {
				t.Fatal("the refresh succeeded")
			}
			after := b.stored(t)
			if after.Token.RefreshToken != before.Token.RefreshToken || !after.same(before.Token.AccessToken) {
				t.Fatal("the failure cost tokens")
			}
			if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
				t.Errorf("the next refresh: %v", err)
			}
		})
	}
}

// Only invalid_grant drops the refresh token, and a valid access token stays even then.
func TestInvalidGrantDropsTheRefreshToken(t *testing.T) {
	for _, fault := range []string{"token:invalid_grant,n=1", "token:slack,n=1"} {
		t.Run(fault, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.login(t)
			before := b.stored(t)
			b.set(t, fault)
			if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrGrantRejected) {
				t.Fatalf("got %v, want ErrGrantRejected", err)
			}
			after := b.stored(t)
			if after.Token.RefreshToken != "" || !after.same(before.Token.AccessToken) {
				t.Error("want the refresh token gone and the access token kept")
			}
			if after.Client.ID != before.Client.ID {
				t.Error("the registration is gone as well")
			}
			if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrGrantRejected) {
				t.Errorf("got %v, want the stored reason, ErrGrantRejected", err)
			}
			b.counts(t, map[string]int{"refresh": 0})
			if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
				t.Errorf("the token that is still good does not work: %v", err)
			}
		})
	}
}

// If an early refresh fails, the valid token is used.
func TestEarlyRefreshRefused(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token:status=503,n=1")
	b.later(time.Hour - 30*time.Second)
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
		t.Fatal(err)
	}
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err != nil {
		t.Fatal(err)
	}
	b.counts(t, map[string]int{"refresh": 1})
}

// If a process crashes after sending a refresh, the errors of all later processes say that the refresh token may be used up.
func TestInterruptedRefreshIsToldTruthfully(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token:drop=after,n=1")
	if _, err := b.c.Refresh(ctx, b.t, 0); err == nil {
		t.Fatal("a refresh without an answer succeeded")
	}
	first := ""
	for range 3 {
		_, err := b.client(t).Refresh(ctx, b.t, 0)
		if !errors.Is(err, ErrMaybeSpent) {
			t.Fatalf("got %v, want ErrMaybeSpent", err)
		}
		first = cmp.Or(first, err.Error())
		if !strings.HasSuffix(err.Error(), first) {
			t.Errorf("got %q, want the reason of the first error, %q", err, first)
		}
	}
	lines, err := b.c.Journal(ctx, b.t)
	if err != nil || len(lines) != 3 || lines[0].Outcome != "login" || lines[1].Outcome != "unknown" || lines[2].Outcome != "rejected" {
		t.Errorf("the journal says %+v, %v", lines, err)
	}
	if lines[1].Fingerprint != lines[2].Fingerprint {
		t.Error("the journal does not show that the same token was sent twice")
	}
}

// Client credentials are sent only to the authorization server that issued them.
func TestIssuerChange(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	first := b.stored(t)
	b.set(t, "migrate")
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{})); err != nil {
		t.Fatal(err)
	}
	if after := b.stored(t); after.Client.ID == first.Client.ID || after.Issuer == first.Issuer {
		t.Error("the registration with the former authorization server was kept")
	}
}

// A login uses the stored client of the server's current issuer, whether a finished or an unfinished login registered it.
func TestStoredClientOfTheIssuer(t *testing.T) {
	at := func(issuer string) dcr.Client {
		return dcr.Client{ID: "client of " + issuer, Kind: dcr.Dynamic, Issuer: issuer}
	}
	next := at("b")
	d := loginDraft{old: credential{Client: at("a"), NextClient: &next, OldClients: []dcr.Client{at("c")}}, found: &discovery.Result{}}
	for issuer, want := range map[string]string{"a": "a", "b": "b", "c": "c", "d": "b"} {
		d.found.Server.Issuer = issuer
		if got := d.storedClient(); got.Issuer != want {
			t.Errorf("at %s: got %q, want the client of %s", issuer, got.ID, want)
		}
	}
}

// If the authorization server changed after an unfinished login, the next login says so.
func TestIssuerChangeAfterAnUnfinishedLogin(t *testing.T) {
	b := newBench(t, demo.Options{})
	if _, err := b.c.Pending(ctx, b.t, LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	b.set(t, "migrate")
	var warnings atomic.Int32
	b.c.Report = func(e Event) {
		if e.Kind == EventWarning && strings.Contains(e.Message, "using a new client registration there") {
			warnings.Add(1)
		}
	}
	b.login(t)
	if n := warnings.Load(); n != 1 {
		t.Errorf("%d warnings of the new issuer, want 1", n)
	}
}

// A user may end a login because of the warning. The next login repeats it, although the first one has registered a client.
func TestIssuerChangeIsToldAgain(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	before := b.Issuer()
	b.set(t, "migrate")
	var warnings []string
	b.c.Report = func(e Event) {
		if e.Kind == EventWarning && strings.Contains(e.Message, "using a new client registration there") {
			warnings = append(warnings, e.Message)
		}
	}
	for range 2 {
		if _, err := b.c.Pending(ctx, b.t, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.login(t)
	b.login(t)
	if len(warnings) != 3 || !strings.Contains(warnings[2], fmt.Sprintf("%q at the last login", before)) {
		t.Errorf("got %q, want a warning at each login until one has succeeded", warnings)
	}
}

func TestIssuerChangeWithAPreregisteredClient(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.ClientID = demo.DefaultClients()[0].ID
	b.t.ClientSecret = Secret(demo.DefaultClients()[0].Secret)
	b.login(t)
	b.set(t, "migrate")
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("got %v, want ErrIssuerChanged", err)
	}
	if _, err := b.c.Discover(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("discover: got %v, want ErrIssuerChanged", err)
	}
	// The user can name the new authorization server instead of accepting any change. A configuration file cannot do so.
	b.t.Issuer = b.Issuer()
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("named by a file: got %v, want ErrIssuerChanged", err)
	}
	if _, err := b.c.Discover(ctx, b.t, LoginOptions{IssuerGiven: true}); err != nil {
		t.Errorf("discover, named by the user: %v", err)
	}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{IssuerGiven: true}); err != nil {
		t.Errorf("named by the user: %v", err)
	}
}

// Another process can finish a pending login. A pending login that a newer login replaced does not change the newer one.
func TestPendingLogins(t *testing.T) {
	b := newBench(t, demo.Options{})
	older, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	newer, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.client(t).Finish(ctx, b.t, landing(t, newer))
	if err != nil || s.State != StateValid {
		t.Fatalf("finishing the newer: %v, %v", s, err)
	}
	kept := b.stored(t)
	if _, err := b.client(t).Finish(ctx, b.t, landing(t, older)); !errors.Is(err, ErrNoPending) {
		t.Errorf("finishing the older: %v, want ErrNoPending", err)
	}
	if !b.stored(t).same(kept.Token.AccessToken) {
		t.Error("the superseded login disturbed the newer one")
	}
	if _, err := b.c.Finish(ctx, b.t, landing(t, newer)); !errors.Is(err, ErrNoPending) {
		t.Errorf("finishing twice: %v, want ErrNoPending", err)
	}
	if all, err := b.c.Statuses(ctx); err != nil || len(all) != 1 {
		t.Errorf("status lists %d credentials, %v; pending logins are none", len(all), err)
	}
}

func TestPendingLoginExpires(t *testing.T) {
	b := newBench(t, demo.Options{})
	address, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.later(pendingLifetime + time.Second)
	if _, err := b.c.Finish(ctx, b.t, landing(t, address)); !errors.Is(err, ErrNoPending) {
		t.Errorf("got %v, want ErrNoPending", err)
	}
}

// landing requests an authorization URL and returns the callback URL on which a browser would end. No listener runs there.
func landing(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("Location") == "" {
		t.Fatalf("no redirect: %s", res.Status)
	}
	return res.Header.Get("Location")
}

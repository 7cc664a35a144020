package flow

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// If the user named the scopes of a login that nobody approves, a server cannot make mcpauth request more scopes.
func TestServerWidensAnUnattendedLogin(t *testing.T) {
	logins := map[string]func(t *testing.T) *bench{
		"client_credentials": func(t *testing.T) *bench {
			b := newBench(t, demo.Options{})
			b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
			return b
		},
		"enterprise": func(t *testing.T) *bench {
			b, _ := enterprise(t)
			return b
		},
	}
	for name, prepare := range logins {
		for _, reauth := range []Reauth{ReauthBrowser, ReauthRefresh} {
			t.Run(name+" "+string(reauth), func(t *testing.T) {
				b := prepare(t)
				b.t.Scopes = []string{"notes:read"}
				b.login(t)
				asked, opened := b.stored(t).Scopes, b.opened.Load()
				_, err := b.ask(ctx, b.c.Handler(Target{URL: b.t.URL}, HandlerOptions{Reauth: reauth}), "secret_note", 2)
				var needed *ScopeError
				if !errors.As(err, &needed) || needed.Granted || !slices.Contains(needed.Scopes, "notes:write") {
					t.Errorf("got %v, want a ScopeError with notes:write", err)
				}
				b.counts(t, map[string]int{"token": 1})
				if got := b.stored(t).Scopes; !slices.Equal(got, asked) || b.opened.Load() != opened {
					t.Errorf("the login requests %q, want %q; the browser was opened %d times", got, asked, b.opened.Load()-opened)
				}
			})
		}
	}
}

// The same for offline_access, which is not needed for a login without a user.
func TestServerAddsOfflineAccessToAnUnattendedLogin(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic", Scopes: []string{"notes:read"}}
	b.login(t)
	err := b.answers403(t, `Bearer error="insufficient_scope", scope="offline_access"`)
	if needed, ok := errors.AsType[*ScopeError](err); !ok || needed.Granted || !slices.Contains(needed.Scopes, offlineAccess) {
		t.Errorf("got %v, want a ScopeError with offline_access", err)
	}
	b.counts(t, map[string]int{"token": 1})
	if got := b.stored(t).Scopes; !slices.Equal(got, b.t.Scopes) {
		t.Errorf("the login requests %q, want %q", got, b.t.Scopes)
	}
}

// A step-up without a user stays automatic if the server chose the scopes of the login, or if the user names the new scope.
func TestUnattendedStepUp(t *testing.T) {
	for name, tt := range map[string]struct{ login, call []string }{
		"the server chose":        {},
		"the call names the rest": {login: []string{"notes:read"}, call: []string{"notes:write"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic", Scopes: tt.login}
			b.login(t)
			h := b.c.Handler(Target{URL: b.t.URL}, HandlerOptions{Reauth: ReauthRefresh, Scopes: tt.call})
			if status, err := b.ask(ctx, h, "secret_note", 2); status != http.StatusOK {
				t.Errorf("%d, %v", status, err)
			}
			b.counts(t, map[string]int{"token": 2})
		})
	}
}

// A server cannot open the browser again and again by requiring other scopes each time. After a while, a login is allowed again.
func TestServerRequiresOtherScopesEachTime(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Scopes: []string{"none"}}})
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	var err error
	for i := range 20 {
		err = b.refuse(t, h, http.StatusForbidden, fmt.Sprintf(`Bearer error="insufficient_scope", scope="x%d"`, i))
	}
	var needed *ScopeError
	if !errors.As(err, &needed) || needed.Granted || !slices.Contains(needed.Scopes, "x19") {
		t.Errorf("got %v, want a ScopeError with x19", err)
	}
	if n := b.opened.Load(); n != 1+maxLogins {
		t.Errorf("the browser was opened %d times, want %d", n, 1+maxLogins)
	}
	b.later(loginPeriod + time.Minute)
	if err := b.refuse(t, h, http.StatusForbidden, `Bearer error="insufficient_scope", scope="y"`); err != nil {
		t.Error(err)
	}
}

// A server may require another scope for each tool. The limit of logins does not count a login that opens no browser.
func TestManyStepUpsWithoutABrowser(t *testing.T) {
	for _, reauth := range []Reauth{ReauthBrowser, ReauthRefresh} {
		b := newBench(t, demo.Options{Settings: demo.Settings{Scopes: []string{"none"}}})
		b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
		b.login(t)
		h := b.c.Handler(b.t, HandlerOptions{Reauth: reauth})
		for i := range 3 * maxLogins {
			if err := b.refuse(t, h, http.StatusForbidden, fmt.Sprintf(`Bearer error="insufficient_scope", scope="x%d"`, i)); err != nil {
				t.Errorf("%s: step-up %d: %v", reauth, i+1, err)
			}
		}
	}
}

// The limit of logins counts a login at the company's identity provider, because it can open the browser.
func TestServerRequiresOtherScopesOfAnEnterpriseLogin(t *testing.T) {
	b, _ := enterprise(t)
	b.login(t)
	h := b.c.Handler(b.t, HandlerOptions{})
	for i := range maxLogins + 1 { // the authorization server does not know these scopes
		err := b.refuse(t, h, http.StatusForbidden, fmt.Sprintf(`Bearer error="insufficient_scope", scope="x%d"`, i))
		if _, refused := errors.AsType[*ScopeError](err); refused != (i == maxLogins) {
			t.Errorf("login %d: %v", i+1, err)
		}
	}
}

// If the authorization server ends each login at once, a server cannot open the browser for each request.
func TestServerEndsEachLogin(t *testing.T) {
	for status, challenge := range map[int]string{http.StatusForbidden: `Bearer error="insufficient_scope", scope="x"`, http.StatusUnauthorized: "Bearer"} {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.set(t, "revoke")
		b.set(t, "authorize:access-denied")
		h := b.c.Handler(b.t, HandlerOptions{})
		var err error
		for range 20 {
			err = b.refuse(t, h, status, challenge)
		}
		if err == nil {
			t.Errorf("%d: no error", status)
		}
		if n := b.opened.Load(); n != 1+maxLogins {
			t.Errorf("%d: the browser was opened %d times, want %d", status, n, 1+maxLogins)
		}
	}
}

// The server's metadata changes after a login, and names the whole host. A login in the middle of a call keeps the narrower resource, because
// nobody would see the change. A login that the user starts accepts the new resource.
func TestCallWidensTheResource(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
	b.login(t)
	b.set(t, "resource_id=ORIGIN/")
	h := b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})
	for status, challenge := range map[int]string{http.StatusForbidden: `Bearer error="insufficient_scope", scope="notes:write"`, http.StatusUnauthorized: "Bearer"} {
		if err := b.refuse(t, h, status, challenge); !errors.Is(err, ErrWiderResource) {
			t.Errorf("%d: got %v, want ErrWiderResource", status, err)
		}
	}
	if got := b.stored(t).Resource; got != b.URL() {
		t.Errorf("the stored login is for %q", got)
	}

	var said []string
	b.c.Report = func(e Event) { said = append(said, e.Message) }
	b.login(t)
	if got := b.stored(t).Resource; got != b.Origin()+"/" || !slices.Contains(said, fmt.Sprintf("the login is for %q, which is not the URL of the server", got)) {
		t.Errorf("the login of the user is for %q; said %q", got, said)
	}
	if err := b.refuse(t, h, http.StatusForbidden, `Bearer error="insufficient_scope", scope="notes:write"`); err != nil {
		t.Errorf("the same resource: %v", err)
	}
}

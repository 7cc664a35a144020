package flow

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpauth/internal/demo"
)

// said returns the requests to the authorization server since the last reset, in order.
func (b *bench) said() []string {
	var list []string
	for _, e := range b.Requests("revoke", "client") {
		list = append(list, strings.TrimSpace(e.Method+" "+e.Endpoint+" "+e.Form.Get("token_type_hint")))
	}
	return list
}

// Logout revokes the refresh token and the access token, deletes the registration, and then deletes the local records. The report lists
// each step.
func TestLogoutInOrder(t *testing.T) {
	t.Parallel()
	all := []string{"POST revoke refresh_token", "POST revoke access_token", "DELETE client"}
	for _, tt := range []struct {
		name     string
		fault    string
		o        LogoutOptions
		said     []string
		revoked  bool
		deleted  bool
		warnings []string
	}{
		{name: "all well", said: all, revoked: true, deleted: true},
		{name: "client kept", o: LogoutOptions{KeepClient: true}, said: all[:2], revoked: true},
		{name: "the refresh token cannot be revoked", fault: "revoke:status=503,has=refresh_token", said: all, deleted: true, warnings: []string{"refresh_token"}},
		{name: "the access token cannot be revoked", fault: "revoke:status=503,has=access_token", said: all, deleted: true, warnings: []string{"access_token"}},
		{name: "it is gone already", fault: `revoke:status=400,type=application/json,body="{\"error\":\"invalid_token\"}"`, said: all, revoked: true, deleted: true},
		{name: "the registration cannot be deleted", fault: "client:status=500", said: all, revoked: true, warnings: []string{"client registration"}},
		{name: "nothing answers", fault: "*:drop=before", said: all, warnings: []string{"refresh_token", "access_token", "client registration"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.login(t)
			if tt.fault != "" {
				b.set(t, tt.fault)
			}
			report, err := b.c.Logout(ctx, b.t, tt.o)
			if err != nil || !report.LoggedIn || report.Revoked != tt.revoked || report.ClientDeleted != tt.deleted {
				t.Errorf("report %+v, %v", report, err)
			}
			if len(report.Warnings) != len(tt.warnings) {
				t.Fatalf("warnings %q, want of %q", report.Warnings, tt.warnings)
			}
			for i, w := range tt.warnings {
				if !strings.Contains(report.Warnings[i], w) {
					t.Errorf("warning %q does not name the %s", report.Warnings[i], w)
				}
			}
			if got := b.said(); !slices.Equal(got, tt.said) {
				t.Errorf("asked for %q, want %q", got, tt.said)
			}
			if s, err := b.c.Status(ctx, b.t); err != nil || s.State != StateNone {
				t.Errorf("still logged in: %s, %v", s.State, err)
			}
			if kept, _ := b.c.loadOrNew(ctx, b.t); kept.hasToken() || (kept.Client.ID != "") != tt.o.KeepClient {
				t.Errorf("left: a token %v, client %q", kept.hasToken(), kept.Client.ID)
			}
			if lines, err := b.c.Journal(ctx, b.t); err != nil || len(lines) > 0 && !tt.o.KeepClient {
				t.Errorf("the journal is left: %+v, %v", lines, err)
			}
		})
	}
}

// Logout keeps the client registration, stored or new, that a running login uses.
func TestLogoutBesideALogin(t *testing.T) {
	for _, first := range []bool{true, false} {
		b := newBench(t, demo.Options{})
		if !first {
			b.login(t)
		}
		c := b.client(t)
		reports := make(chan LogoutReport, 1)
		c.Open = func(wait context.Context, address string) error {
			report, err := b.c.Logout(ctx, b.t, LogoutOptions{})
			if err != nil {
				t.Error(err)
			}
			reports <- report
			return b.c.Open(wait, address)
		}
		if _, err := c.Login(ctx, b.t, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		report := <-reports
		if report.ClientDeleted || report.Revoked == first || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "a login to this server is running") {
			t.Errorf("first login %v: %+v", first, report)
		}
		if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthNever})); err != nil {
			t.Error(err)
		}
		b.counts(t, map[string]int{"registered": 1, "unregistered": 0})
	}
}

// Logout removes the registration from the store before it deletes it at the server, so that after a crash no login uses a deleted client.
func TestLogoutForgetsTheClientFirst(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	var during credential
	b.c.HTTP = before(http.MethodDelete, "/", func() { during, _ = b.client(t).loadOrNew(ctx, b.t) })
	if _, err := b.c.Logout(ctx, b.t, LogoutOptions{}); err != nil {
		t.Fatal(err)
	}
	if during.Server == "" || during.Client.ID != "" || during.hasToken() {
		t.Errorf("while the client is deleted, %v is stored, with client %q", during, during.Client.ID)
	}
}

// A login with another client revokes the old grant, which is provably separate, after the new login is stored.
func TestLoginIsStoredBeforeTheOldOneEnds(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	old := b.stored(t)
	var during []Secret
	b.c.HTTP = before(http.MethodPost, "/revoke", func() { during = append(during, b.stored(t).Token.AccessToken) })
	b.t.CallbackHost = "localhost" // another registration
	b.login(t)
	if len(during) != 1 || slices.Contains(during, old.Token.AccessToken) {
		t.Errorf("%d revocations, the old login stored at one of them: %v", len(during), slices.Contains(during, old.Token.AccessToken))
	}
}

// A login with another callback host needs another registration. The old one is deleted at the server after the new login is stored, if the
// server supports that.
func TestReplacedRegistrationEnds(t *testing.T) {
	for fault, unregistered := range map[string]int{"clear": 1, "client:status=500": 0} {
		b := newBench(t, demo.Options{})
		b.login(t)
		old := b.stored(t).Client.ID
		b.set(t, fault)
		var during string
		b.c.HTTP = before(http.MethodDelete, "/", func() { during = b.stored(t).Client.ID })
		b.t.CallbackHost = "localhost"
		b.login(t)
		if now := b.stored(t).Client.ID; now == old || during != now {
			t.Errorf("%s: client %q, then %q, which was %q when the old one ended", fault, old, now, during)
		}
		b.counts(t, map[string]int{"registered": 2, "unregistered": unregistered})
		b.login(t)
		b.counts(t, map[string]int{"registered": 2, "unregistered": unregistered})
	}
}

// If the revocation of the old grant fails, the new login succeeds and reports the failure.
func TestReplacedGrantCannotBeRevoked(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "revoke:status=500")
	var said []string
	b.c.Report = func(e Event) { said = append(said, e.Message) }
	b.t.CallbackHost = "localhost" // another registration
	b.login(t)
	if told := strings.Join(said, "\n"); !strings.Contains(told, "the replaced login: revocation of the refresh_token") {
		t.Errorf("not told: %s", told)
	}
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthNever})); err != nil {
		t.Error(err)
	}
}

// Of several concurrent logouts, all succeed and one reports that it logged out.
func TestParallelLogouts(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	reports := make([]LogoutReport, 5)
	var wg sync.WaitGroup
	for i := range reports {
		c := b.client(t)
		wg.Go(func() {
			var err error
			if reports[i], err = c.Logout(ctx, b.t, LogoutOptions{}); err != nil || len(reports[i].Warnings) > 0 {
				t.Error(fmt.Sprintf("%+v", reports[i]), err)
			}
		})
	}
	wg.Wait()
	did := slices.DeleteFunc(reports, func(r LogoutReport) bool { return !r.LoggedIn })
	if len(did) != 1 || !did[0].Revoked || !did[0].ClientDeleted {
		t.Errorf("%d of them were logged in: %+v", len(did), did)
	}
	b.counts(t, map[string]int{"unregistered": 1, "client": 1})
}

// before returns an HTTP client that calls do before each request with the given method and a URL path that contains the given text.
func before(method, path string, do func()) *http.Client {
	return &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Method == method && strings.Contains(req.URL.Path, path) {
			do()
		}
		return http.DefaultTransport.RoundTrip(req)
	})}
}

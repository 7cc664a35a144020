package flow

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
)

// Several pending logins of one server can be finished in the order in which they began, each only under its own profile.
func TestPendingLoginsInOrder(t *testing.T) {
	b := newBench(t, demo.Options{})
	work := b.t
	work.Profile = "work"
	var answers []string
	for _, target := range []Target{b.t, b.t, work} {
		address, err := b.c.Pending(ctx, target, LoginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, landing(t, address))
		b.later(time.Second)
	}
	if _, err := b.client(t).Finish(ctx, b.t, answers[2]); !errors.Is(err, ErrNoPending) {
		t.Errorf("the answer of another name: %v, want ErrNoPending", err)
	}
	for i, target := range []Target{b.t, b.t, work} {
		b.later(time.Minute)
		if s, err := b.client(t).Finish(ctx, target, answers[i]); err != nil || s.State != StateValid {
			t.Errorf("finishing login %d: %v, %v", i, s, err)
		}
	}
	if all, err := b.c.Statuses(ctx); err != nil || len(all) != 2 {
		t.Errorf("%d logins are stored, %v; want 2", len(all), err)
	}
}

// A pending login can be finished until pendingLifetime is over. After that, Pending deletes it.
func TestPendingLoginsAreSwept(t *testing.T) {
	b := newBench(t, demo.Options{})
	records := func() int {
		entries, err := b.c.Store.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	pending := func() string {
		address, err := b.c.Pending(ctx, b.t, LoginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return landing(t, address)
	}
	pending()
	pending()
	before := records()
	b.later(pendingLifetime + time.Second)
	last := pending()
	if got := records(); got != before-1 {
		t.Errorf("%d records, want %d: two are swept, one is new", got, before-1)
	}
	b.later(pendingLifetime - time.Second)
	if s, err := b.c.Finish(ctx, b.t, last); err != nil || s.State != StateValid {
		t.Errorf("within the hour: %v, %v", s, err)
	}
}

// Finish in another process uses the settings that were given to Pending.
func TestPendingLoginKeepsItsChoices(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{Resource: "refuse"}})
	b.set(t, "metadata:no-pkce")
	b.set(t, "register:status=200")
	b.t.NoResource, b.t.AssumePKCES256, b.t.AuthParams = true, true, [][2]string{{"audience", "x"}}
	address, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.set(t, "token:status=201")
	s, err := b.client(t).Finish(ctx, b.t, landing(t, address))
	if err != nil {
		t.Fatal(err)
	}
	wantQuirks(t, s.Deviations, "assume_pkce_s256", "no_resource", "auth_param=audience", "registration_status", "token_status")

	b = newBench(t, demo.Options{})
	b.t.Strict = true
	if address, err = b.c.Pending(ctx, b.t, LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	b.set(t, "token:status=201")
	if s, err := b.client(t).Finish(ctx, b.t, landing(t, address)); err == nil {
		t.Errorf("a strict login took an answer 201: %v", s)
	}
}

// Finish tries the other authentication method with the client secret, as Login does.
func TestPendingLoginTriesTheOtherMethod(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.ClientID, b.t.ClientSecret = "demo-post", "demo-cs-post"
	address, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.client(t).Finish(ctx, Target{URL: b.t.URL}, landing(t, address))
	if err != nil {
		t.Fatal(err)
	}
	wantQuirks(t, s.Deviations, "other_auth_method")
}

// Pending logins on different ports have separate registrations. No registration is deleted while a pending login may use it. The last
// Finish, or Logout, deletes them at the server.
func TestRegistrationsOfPendingLogins(t *testing.T) {
	for _, logout := range []bool{false, true} {
		b := newBench(t, demo.Options{})
		var answers []string
		for range 3 {
			answers = append(answers, b.pendingOnAnotherPort(t))
		}
		b.counts(t, map[string]int{"registered": 3})
		finish := func(i int) {
			t.Helper()
			if _, err := b.client(t).Finish(ctx, b.t, answers[i]); err != nil {
				t.Fatal(err)
			}
		}
		finish(0)
		if n := len(b.Requests("client")); n != 0 {
			t.Fatalf("%d registrations are deleted although pending logins need them", n)
		}
		if logout {
			if report, err := b.c.Logout(ctx, b.t, LogoutOptions{}); err != nil || len(report.Warnings) > 0 {
				t.Fatal(report, err)
			}
		} else {
			finish(1)
			finish(2)
		}
		want := map[bool]int{false: 2, true: 3}[logout]
		if n := len(b.Requests("client")); n != want {
			t.Errorf("logout %t: %d registrations are deleted, want %d", logout, n, want)
		}
	}
}

func (b *bench) pendingOnAnotherPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := b.t
	target.CallbackPort = l.Addr().(*net.TCPAddr).Port
	l.Close()
	address, err := b.c.Pending(ctx, target, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return landing(t, address)
}

func TestOldClientsAreBounded(t *testing.T) {
	var c credential
	for i := range maxOldClients + 5 {
		c.addRegistration(dcr.Client{ID: strconv.Itoa(i), Kind: dcr.Dynamic, RegistrationURI: "u", RegistrationToken: "t"})
	}
	if n := len(c.deletableClients()); n != maxOldClients+1 {
		t.Errorf("%d registrations are remembered, want %d", n, maxOldClients+1)
	}
}

// Finish sends no code if the user names a setting for it that the pending login does not have. The pending login is kept. A setting that the
// user gave only to Pending counts without being repeated, and takes precedence over the user's configuration.
func TestFinishNamesOtherSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		configured, first, second Settings
		want                      string // name of the refused setting; empty: none
	}{
		"another account":              {second: Settings{ExpectAccount: "bob"}, want: "expect account"},
		"the account differs":          {first: Settings{ExpectAccount: "ann"}, second: Settings{ExpectAccount: "bob"}, want: "expect account"},
		"strict":                       {second: Settings{Strict: true}, want: "strict"},
		"dpop always":                  {second: Settings{DPoP: DPoPAlways}, want: "dpop"},
		"dpop auto instead of never":   {first: Settings{DPoP: DPoPNever}, second: Settings{DPoP: DPoPAuto}, want: "dpop"},
		"another issuer":               {second: Settings{Issuer: "https://as.example"}, want: "issuer"},
		"another scope":                {first: Settings{Scopes: []string{"notes:read"}}, second: Settings{Scopes: []string{"notes:write"}}, want: "scopes"},
		"fewer scopes":                 {first: Settings{Scopes: []string{"notes:read", "notes:write"}}, second: Settings{Scopes: []string{"notes:read"}}, want: "scopes"},
		"another client":               {second: Settings{ClientID: "c"}, want: "client id"},
		"another secret":               {first: Settings{ClientID: "demo-post", ClientSecret: "demo-cs-post"}, second: Settings{ClientID: "demo-post", ClientSecret: "hidden"}, want: "client secret"},
		"another grant":                {second: Settings{Grant: GrantDevice}, want: "grant"},
		"a loose setting":              {second: Settings{AssumePKCES256: true}, want: "assume pkce s256"},
		"nothing is repeated":          {first: Settings{Strict: true, DPoP: DPoPNever, Scopes: []string{"notes:read"}}},
		"all is repeated":              {first: Settings{Strict: true, DPoP: DPoPAlways, Scopes: []string{"notes:read"}}, second: Settings{Strict: true, DPoP: DPoPAlways, Scopes: []string{"notes:read"}}},
		"the default grant":            {second: Settings{Grant: GrantCode}},
		"dpop auto":                    {second: Settings{DPoP: DPoPAuto}},
		"dpop auto instead of always":  {first: Settings{DPoP: DPoPAlways}, second: Settings{DPoP: DPoPAuto}},
		"flags over the configuration": {configured: Settings{DPoP: DPoPNever, Scopes: []string{"notes:write"}}, first: Settings{DPoP: DPoPAlways, Scopes: []string{"notes:read"}}},
		"a client of the flags":        {configured: Settings{ClientMetadataURL: "https://c.example/c.json"}, first: Settings{ClientID: "demo-public"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
			target := b.t
			target.Settings, target.Flags = tt.configured.With(tt.first), tt.first
			if tt.first.ClientID != "" {
				target.ClientMetadataURL = ""
			}
			address, err := b.c.Pending(ctx, target, LoginOptions{})
			if err != nil {
				t.Fatal(err)
			}
			answer, second := landing(t, address), b.t
			second.Settings, second.Flags = tt.configured.With(tt.second), tt.second
			_, err = b.client(t).Finish(ctx, second, answer)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrOtherSettings) || !strings.Contains(err.Error(), " "+tt.want+" ") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want ErrOtherSettings for %q", err, tt.want)
			}
			b.counts(t, map[string]int{"token": 0})
			if !b.c.HasPending(ctx, b.t) {
				t.Error("the pending login is lost")
			}
		})
	}
}

// The user's configuration counts for Finish too, if the pending login began without it. A project's file does not count.
func TestFinishUsesTheConfiguration(t *testing.T) {
	b := newBench(t, demo.Options{})
	answer, second := b.pending(t), b.t
	second.Strict = true
	if _, err := b.client(t).Finish(ctx, second, answer); !errors.Is(err, ErrOtherSettings) {
		t.Errorf("got %v, want ErrOtherSettings", err)
	}
	second.IfStored = &Settings{}
	if _, err := b.client(t).Finish(ctx, second, answer); err != nil {
		t.Error(err)
	}
}

// A response to an earlier pending login that is pasted into a later login does not make the later login weaker.
func TestPastedAnswerOfAWeakerLogin(t *testing.T) {
	b := newBench(t, demo.Options{})
	answer, strict := b.pending(t), b.t
	strict.Strict, strict.Flags = true, Settings{Strict: true}
	b.c.Open = func(context.Context, string) error { return nil }
	paste := func(context.Context, error) (string, error) { return answer, nil }
	if _, err := b.c.Login(ctx, strict, LoginOptions{Paste: paste}); !errors.Is(err, ErrOtherSettings) {
		t.Errorf("got %v, want ErrOtherSettings", err)
	}
	b.counts(t, map[string]int{"token": 0})
	if _, err := b.client(t).Finish(ctx, b.t, answer); err != nil {
		t.Error(err)
	}
}

// A login began before a pending login and was stored after it. The pending login does not replace it if that would give up DPoP or Strict, or
// if a project's file names the server.
func TestPendingLoginIsWeaker(t *testing.T) {
	for name, tt := range map[string]struct {
		stored         Settings
		begun, project bool // a project's file names the server when the login begins or ends
	}{
		"DPoP":    {stored: Settings{DPoP: DPoPAlways}},
		"Strict":  {stored: Settings{Strict: true}},
		"begun":   {begun: true},
		"project": {project: true},
	} {
		b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
		if tt.begun {
			b.t.IfStored = &Settings{}
		}
		answer := b.pending(t)
		b.t.IfStored = nil
		b.later(-10 * time.Second)
		strong := b.t
		strong.Settings = tt.stored
		if _, err := b.c.Login(ctx, strong, LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		before := b.stored(t)
		b.later(10 * time.Second)
		if tt.project {
			b.t.IfStored = &Settings{}
		}
		if _, err := b.client(t).Finish(ctx, b.t, answer); !errors.Is(err, ErrNoPending) || b.stored(t).generation != before.generation {
			t.Errorf("%s: got %v, want ErrNoPending", name, err)
		}
	}
}

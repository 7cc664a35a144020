package flow

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/token"
)

// setAccount makes the authorization server name an account.
func (b *bench) setAccount(t *testing.T, account string) {
	t.Helper()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"email":"` + account + `"}`))
	b.set(t, "token:set.id_token=eyJhbGciOiJub25lIn0."+claims+".eA")
}

// The name of an account is compared with the expected one and stored, even if it is also the value of a header.
func TestAccountInAHeader(t *testing.T) {
	b := newBench(t, demo.Options{})
	const account = "ann-of-a-long-name@example.com"
	b.t.Header = http.Header{"X-Api-Key": {account}}
	b.setAccount(t, account)
	b.t.ExpectAccount = account
	if s := b.login(t); s.Account != account {
		t.Errorf("the account %q is stored", s.Account)
	}
	b.setAccount(t, "")
	if _, err := b.c.Login(t.Context(), b.t, LoginOptions{}); !errors.Is(err, ErrAccount) {
		t.Errorf("got %v, want an error about the account", err)
	}
}

// A refused grant for another account is revoked, unless that could end a stored login.
func TestRefusedGrantIsRevoked(t *testing.T) {
	for _, tt := range []struct {
		name   string
		share  string // which grants end together
		stored string // account of the stored login; "-": there is none; "": unknown
		got    string // account of the new login
		live   int    // grants after the refused login
	}{
		{"no login is stored", "", "-", "eve@example.com", 0},
		{"the stored login is for another account", "", "ann@example.com", "eve@example.com", 1},
		{"the account of the stored login is unknown", "client", "", "eve@example.com", 2},
		{"the stored login is for the refused account", "client", "eve@example.com", "eve@example.com", 2},
		{"the server names no account", "", "-", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{Settings: demo.Settings{Share: tt.share}})
			if tt.stored != "-" {
				b.setAccount(t, tt.stored)
				b.login(t)
			}
			b.setAccount(t, tt.got)
			b.t.ExpectAccount = "ann@example.com"
			if _, err := b.c.Login(t.Context(), b.t, LoginOptions{}); !errors.Is(err, ErrAccount) {
				t.Errorf("got %v, want an error about the account", err)
			}
			if n := b.Live(); n != tt.live {
				t.Errorf("%d grants live, want %d", n, tt.live)
			}
			if tt.stored != "-" {
				b.t.ExpectAccount = ""
				if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthNever})); err != nil {
					t.Errorf("the stored login does not work any more: %v", err)
				}
			}
		})
	}
}

// A server may use a value that the user typed for this login, even if a header has the same value.
func TestTypedValuesAreNoSecrets(t *testing.T) {
	const value = "0b1e9e4c-tenant-of-the-user"
	c := &Client{}
	for name, tt := range map[string]struct {
		t    Target
		held bool
	}{
		"not typed":            {Target{URL: "https://a"}, true},
		"in the server's URL":  {Target{URL: "https://c/" + value}, false},
		"as the client ID":     {Target{URL: "https://d", Settings: Settings{ClientID: value}}, false},
		"in --issuer":          {Target{URL: "https://e", Settings: Settings{Issuer: "https://as/" + value}}, false},
		"in --idp-issuer":      {Target{URL: "https://f", Settings: Settings{IDP: IDP{Issuer: "https://idp/" + value}}}, false},
		"in an authorize flag": {Target{URL: "https://g", Settings: Settings{AuthParams: [][2]string{{"tenant", value}}}}, false},
	} {
		tt.t.Header = http.Header{"X-Key": {value}}
		c.LoginSecrets(Target{URL: tt.t.URL, Header: tt.t.Header}) // before the settings are complete
		if s := c.LoginSecrets(tt.t); s.Holds("https://as/"+value+"/authorize") != tt.held {
			t.Errorf("%s: want held %v", name, tt.held)
		}
	}
}

// The secrets of one login are not those of another login, or of another name at the same server.
func TestSecretsBelongToALogin(t *testing.T) {
	var c Client
	c.learnSecrets(Target{URL: "https://a"}, credential{Token: token.Token{AccessToken: "canary-token-1"}, Settings: Settings{ClientSecret: "canary-secret-1"}})
	for _, tt := range []struct {
		t    Target
		held bool
	}{{Target{URL: "https://a"}, true}, {Target{URL: "https://b"}, false}, {Target{URL: "https://a", Profile: "other"}, false}} {
		for _, secret := range []string{"canary-token-1", "canary-secret-1"} {
			if c.LoginSecrets(tt.t).Holds(secret) != tt.held {
				t.Errorf("%s: %s is held: %v", tt.t, secret, !tt.held)
			}
		}
	}
}

// An error about an ID token quotes claims, in which the server can repeat a secret.
func TestErrorsAboutTokensAreClean(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://idp/canary-refresh-1"}`))
	cred := credential{Server: "https://a", OpenID: &idTokenClaims{}, idToken: Secret("eyJhbGciOiJub25lIn0." + claims + ".eA")}
	var c Client
	c.learnSecrets(cred.target(), credential{Token: token.Token{RefreshToken: "canary-refresh-1"}})
	if _, err := cred.checkIDToken(&c); !errors.Is(err, token.ErrIDToken) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("got %v", err)
	}
}

// The user's secret equals the name of the login, as in a local Keycloak. Messages show the name.
func TestNameOfALoginIsNoSecret(t *testing.T) {
	c := &Client{}
	target := Target{URL: "https://mcp.example/mcp", Profile: "notes-production-1", Settings: Settings{ClientSecret: "notes-production-1"}, Header: http.Header{"Cookie": {"env=notes-production-1"}}}
	if got := c.LoginSecrets(target).Clean("logged in to notes-production-1"); got != "logged in to notes-production-1" {
		t.Error(got)
	}
	if got := c.MaskIssued("logged in to notes-production-1"); got != "logged in to notes-production-1" {
		t.Error(got)
	}
}

package flow

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// closedAddress is an address on which nobody listens. The system gives port 1 to no test that asks for a free port.
const closedAddress = "127.0.0.1:1"

// hangingUp returns the address of a server that closes each connection before it reads from it.
func hangingUp(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// untrusted returns the address of a server whose certificate nobody trusts.
func untrusted(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// proxied returns a client whose https requests go through a proxy that refuses them.
func proxied(t *testing.T) *http.Client {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(proxy.Close)
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "https" {
			return nil, nil
		}
		return u, nil
	}}}
}

// A hostile server names an endpoint that cannot be reached. The secret is bound only if a connection existed, so that a later login at the
// right server can send it.
func TestUnreachableEndpointBindsNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		login    string // one of secretLogins
		endpoint string // member of the metadata
		where    func(*testing.T) string
		through  func(*testing.T) *http.Client // nil: no proxy
		bound    int
	}{
		"machine":         {"machine", "token_endpoint", func(t *testing.T) string { return "http://" + closedAddress }, nil, 0},
		"code":            {"code", "token_endpoint", func(t *testing.T) string { return "http://" + closedAddress }, nil, 0},
		"pushed request":  {"pushed request", "pushed_authorization_request_endpoint", func(t *testing.T) string { return "http://" + closedAddress }, nil, 0},
		"device":          {"device", "device_authorization_endpoint", func(t *testing.T) string { return "http://" + closedAddress }, nil, 0},
		"TLS":             {"machine", "token_endpoint", func(t *testing.T) string { return "https://" + untrusted(t) }, nil, 0},
		"a proxy refuses": {"machine", "token_endpoint", func(t *testing.T) string { return "https://" + closedAddress }, proxied, 0},
		"http is sent":    {"machine", "token_endpoint", func(t *testing.T) string { return "http://" + hangingUp(t) }, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, right := newBench(t, demo.Options{}), newBench(t, demo.Options{})
			login := secretLogins()[tt.login]
			b.t.Settings = login.s
			b.set(t, login.set)
			b.set(t, `metadata:set.`+tt.endpoint+`="`+tt.where(t)+`/x"`)
			if tt.through != nil {
				b.c.HTTP = tt.through(t)
			}
			if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil || errors.Is(err, ErrIssuerChanged) {
				t.Errorf("the login: %v", err)
			}
			if n := b.bound(t); n != tt.bound {
				t.Errorf("%d secrets are bound, want %d", n, tt.bound)
			}
			right.t.Settings, right.c = secretLogins()["machine"].s, b.client(t)
			if _, err := right.c.Login(ctx, right.t, LoginOptions{}); errors.Is(err, ErrIssuerChanged) != (tt.bound > 0) {
				t.Errorf("the right server: %v", err)
			}
		})
	}
}

// Two processes are about to send the same secret to the same authorization server. A binding on which one of them relies stays, even if the
// request of the other one was not sent.
func TestSharedBindingIsNotTakenBack(t *testing.T) {
	t.Parallel()
	const server, other = "https://as.example", "https://as.other.example"
	for name, tt := range map[string]struct {
		do   func(first, second func(issuer string) func())
		want []string
	}{
		"one request is not sent":      {func(first, _ func(string) func()) { first(server)() }, nil},
		"one of two is not sent":       {func(first, second func(string) func()) { unsent := first(server); second(server); unsent() }, []string{server}},
		"the later one is not sent":    {func(first, second func(string) func()) { first(server); second(server)() }, []string{server}},
		"another server, allowed":      {func(first, second func(string) func()) { first(server); second(other)() }, []string{server}},
		"the same, both are not sent":  {func(first, second func(string) func()) { unsent := first(server); second(other)(); unsent() }, []string{server}},
		"not sent, and then once more": {func(first, second func(string) func()) { first(server)(); second(server) }, []string{server}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, demo.Options{})
			process := func(c *Client) func(string) func() {
				return func(issuer string) func() {
					unsent, err := c.bindSecrets(ctx, Target{URL: "https://a", Settings: Settings{ClientSecret: "canary-secret"}}, issuer, LoginOptions{AcceptNewIssuer: true}, true)
					if err != nil {
						t.Fatal(err)
					}
					return unsent
				}
			}
			tt.do(process(b.c), process(b.client(t)))
			all, err := b.c.loadBindings(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, issuers := range all[0].Issuers {
				got = append(got, issuers...)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("bound to %q, want %q", got, tt.want)
			}
		})
	}
}

// The authorization server names a signature algorithm that the key does not have, so mcpauth signs and sends nothing.
func TestUnsignedKeyIsNotBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.set(t, `metadata:set.token_endpoint_auth_signing_alg_values_supported=["ES512"]`)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(newKeyText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "c", ClientKeyFile: file}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil {
		t.Error("no error")
	}
	if n := b.bound(t); n != 0 {
		t.Errorf("%d secrets are bound", n)
	}
	b.counts(t, map[string]int{"token": 0})
}

// The identity provider refuses an enterprise login. Its secrets are bound to it, but the client secret for the MCP server's authorization
// server, which got no request, is not bound.
func TestRefusalOfTheProviderBindsNoOtherSecret(t *testing.T) {
	t.Parallel()
	b, p := enterprise(t)
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, []byte(jwtOf(`{"alg":"ES256"}`, `{"iss":"idp","sub":"ann"}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.t.IDP = IDP{TokenEndpoint: p.Issuer() + "/token", ClientID: "demo-idp-client", ClientSecret: "demo-cs-idp", IDTokenFile: file}
	b.t.ClientID, b.t.ClientSecret = "demo-basic", "demo-cs-basic"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrIdentityProvider) {
		t.Errorf("got %v", err)
	}
	if n := b.bound(t); n != 2 || b.Count("token") != 0 {
		t.Errorf("%d secrets are bound, want the two of the provider; %d requests", n, b.Count("token"))
	}
	right := newBench(t, demo.Options{})
	right.t.Settings, right.c = secretLogins()["machine"].s, b.client(t)
	if _, err := right.c.Login(ctx, right.t, LoginOptions{}); err != nil {
		t.Errorf("the right server: %v", err)
	}
}

// Since the login, the file with the key or the assertion has changed. A renewal or a revocation that cannot be sent does not bind the new
// content.
func TestUnreachableRenewalBindsNothing(t *testing.T) {
	t.Parallel()
	b, file := newBench(t, demo.Options{}), filepath.Join(t.TempDir(), "file")
	address := "http://" + closedAddress
	for name, tt := range map[string]struct {
		text     string
		settings Settings
		client   dcr.Client
		do       func() error
	}{
		"key": {newKeyText(t), Settings{Grant: GrantClientCredentials, ClientKeyFile: file}, dcr.Client{ID: "c", AuthMethod: keyMethod}, func() error {
			_, err := b.c.Refresh(ctx, b.t, 0)
			return err
		}},
		"assertion": {jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"s"}`), Settings{Grant: GrantJWTBearer, AssertionFile: file}, dcr.Client{ID: "c", AuthMethod: "none"}, func() error {
			_, err := b.c.Refresh(ctx, b.t, 0)
			return err
		}},
		"ID token": {jwtOf(`{"alg":"ES256"}`, `{"iss":"idp","sub":"ann"}`), Settings{Grant: GrantEnterprise, IDP: IDP{TokenEndpoint: address + "/idp", IDTokenFile: file}},
			dcr.Client{ID: "c", AuthMethod: "none"}, func() error {
				_, err := b.c.Refresh(ctx, b.t, 0)
				return err
			}},
		"revocation": {newKeyText(t), Settings{Grant: GrantClientCredentials, ClientKeyFile: file}, dcr.Client{ID: "c", AuthMethod: keyMethod}, func() error {
			if report, err := b.c.Logout(ctx, b.t, LogoutOptions{}); err != nil || report.Revoked {
				t.Errorf("logout: %+v, %v", report, err)
			}
			return errors.New("not revoked")
		}},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cred := credential{Server: b.t.URL, Issuer: b.Issuer(), Grant: tt.settings.Grant, Settings: tt.settings, Client: tt.client, Token: token.Token{AccessToken: "a"},
			Endpoints: storedEndpoints{Token: address + "/token", Revocation: address + "/revoke"}}
		if err := b.c.saveCredential(ctx, b.t, &cred); err != nil {
			t.Fatal(err)
		}
		if err := tt.do(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if n := b.bound(t); n != 0 {
			t.Errorf("%s: %d secrets are bound", name, n)
		}
		if err := b.c.Store.Delete(ctx, b.t.key()); err != nil {
			t.Fatal(err)
		}
	}
}

package flow

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/token"
)

// borrowed is a bench whose metadata names the token endpoint of another authorization server, and an assertion for this token endpoint.
type borrowed struct {
	*bench
	requests atomic.Int32 // requests that the other token endpoint has received
	file     string
}

func newBorrowed(t *testing.T) *borrowed {
	t.Helper()
	b := &borrowed{bench: newBench(t, demo.Options{}), file: filepath.Join(t.TempDir(), "assertion")}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":60}`, b.requests.Load())
	}))
	t.Cleanup(other.Close)
	b.set(t, "metadata:set.token_endpoint="+other.URL+"/token")
	b.t.Settings = Settings{Grant: GrantJWTBearer, AssertionFile: b.file}
	b.write(t, `{"iss":"ci","sub":"job","aud":"`+other.URL+`/token"}`)
	return b
}

// write replaces the assertion.
func (b *borrowed) write(t *testing.T, payload string) {
	t.Helper()
	if err := os.WriteFile(b.file, []byte(jwtOf(`{"alg":"ES256"}`, payload)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A hostile authorization server names the token endpoint of an honest one. An assertion for the honest server's token endpoint is not sent
// there, because its access token would become the login of the hostile MCP server. A project's file cannot allow it.
func TestAssertionForABorrowedTokenEndpoint(t *testing.T) {
	t.Parallel()
	b := newBorrowed(t)
	for name, change := range map[string]func(*Target){
		"nobody names the issuer":        func(*Target) {},
		"a project's file names it":      func(x *Target) { x.Issuer, x.IssuerOfProject = b.Issuer(), true },
		"in the output of a command":     func(x *Target) { x.AssertionFile, x.Assertion = "", "exec:cat "+b.file },
		"the client has a secret, too":   func(x *Target) { x.ClientID, x.ClientSecret = "demo-basic", "demo-cs-basic" },
		"an earlier login named another": func(x *Target) { x.Profile = "p" },
	} {
		target := b.t
		change(&target)
		if target.Profile != "" {
			cred := credential{Server: target.URL, Profile: "p", Grant: GrantJWTBearer, Issuer: "https://old.example", AcceptedIssuer: "https://old.example", Settings: Settings{Grant: GrantJWTBearer}}
			if err := b.c.saveCredential(ctx, target, &cred); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.c.Login(ctx, target, LoginOptions{})
		if e, ok := errors.AsType[*token.UnnamedIssuerError](err); !ok || e.Issuer != b.Issuer() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.requests.Load(); n != 0 || b.bound(t) != 0 {
		t.Errorf("%d requests, %d secrets are bound", n, b.bound(t))
	}
}

// An honest issuer may have its token endpoint on another origin, as Google has. If the user names or accepts the issuer, the login works, and
// so do renewals and later logins without the flag. The assertion is then bound to the issuer.
func TestTokenEndpointOfANamedIssuer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		named bool
		o     LoginOptions
	}{
		"--issuer":                 {true, LoginOptions{IssuerGiven: true}},
		"the user's configuration": {true, LoginOptions{}},
		"--accept-new-issuer":      {false, LoginOptions{AcceptNewIssuer: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBorrowed(t)
			target := b.t
			if tt.named {
				target.Issuer = b.Issuer()
			}
			if _, err := b.c.Login(ctx, target, tt.o); err != nil {
				t.Fatal(err)
			}
			if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
				t.Errorf("a renewal: %v", err)
			}
			if _, err := b.client(t).Login(ctx, b.t, LoginOptions{}); err != nil {
				t.Errorf("a later login: %v", err)
			}
			if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
				t.Errorf("a renewal of the later login: %v", err)
			}
			if n := b.requests.Load(); n != 4 || b.bound(t) != 2 { // the workload, and the workload with its audience
				t.Errorf("%d requests, %d secrets are bound", n, b.bound(t))
			}
			b.write(t, `{"iss":"ci","sub":"job"}`)
			other := newBench(t, demo.Options{})
			other.c.Store = b.c.Store
			other.t.Settings = b.t.Settings
			if _, err := other.c.Login(ctx, other.t, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
				t.Errorf("the same workload at another server: %v", err)
			}
		})
	}
}

// Since the login, the token endpoint has moved to another origin, and the assertion names it. The renewal does not send it.
func TestRenewalAtABorrowedTokenEndpoint(t *testing.T) {
	t.Parallel()
	b := newBorrowed(t)
	cred := loginAt(b.t, b.Issuer())
	cred.Endpoints.Token, cred.Client.ID, cred.Token.AccessToken = b.Issuer()+"/gone", "demo-public", "a"
	if err := b.c.saveCredential(ctx, b.t, &cred); err != nil {
		t.Fatal(err)
	}
	borrowed, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, `{"iss":"ci","sub":"job","aud":"`+b.Issuer()+`"}`)
	asked := false
	b.c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/gone") {
			asked = true
			if err := os.WriteFile(b.file, borrowed, 0o600); err != nil {
				t.Error(err)
			}
		}
		return http.DefaultTransport.RoundTrip(r)
	})}
	_, err = b.c.Refresh(ctx, b.t, 0)
	if _, unnamed := errors.AsType[*token.UnnamedIssuerError](err); !unnamed || !asked || b.requests.Load() != 0 {
		t.Errorf("%v, asked %v, %d requests", err, asked, b.requests.Load())
	}
}

// The tenants of a host share its origin. A hostile tenant names the token endpoint of another tenant, "bank". The hostile tenant does not get
// an assertion for this token endpoint unless the user names the hostile issuer. Even then, an assertion that the bank has received first
// needs --issuer or --accept-new-issuer.
func TestAssertionForAnotherTenant(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	file := filepath.Join(t.TempDir(), "assertion")
	const endpoint = "https://as.example/bank/token"
	if err := os.WriteFile(file, []byte(jwtOf(`{"alg":"ES256"}`, `{"iss":"ci","sub":"job","aud":"`+endpoint+`"}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	login := func(c *Client, tenant string, named bool, o LoginOptions) error {
		target := Target{URL: "https://a", Settings: Settings{Grant: GrantJWTBearer, AssertionFile: file}}
		issuer := "https://as.example/" + tenant
		if named {
			target.Issuer = issuer
		}
		cred := loginAt(target, issuer)
		cred.Endpoints.Token = endpoint
		return bindAt(c, target, cred, o)
	}
	_, unnamed := errors.AsType[*token.UnnamedIssuerError](login(b.c, "evil", false, LoginOptions{}))
	if !unnamed || b.bound(t) != 0 {
		t.Errorf("nobody names the issuer: %v, %d bound", unnamed, b.bound(t))
	}
	if err := login(b.c, "bank", false, LoginOptions{}); err != nil {
		t.Errorf("at the bank: %v", err)
	}
	if err := login(b.c, "evil", true, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("at another tenant after the bank: %v", err)
	}
	if err := login(b.c, "evil", true, LoginOptions{IssuerGiven: true}); err != nil {
		t.Errorf("with --issuer: %v", err)
	}
	if err := login(b.c, "bank", false, LoginOptions{}); err != nil {
		t.Errorf("at the bank again: %v", err)
	}

	other := newBench(t, demo.Options{})
	if err := login(other.c, "one", true, LoginOptions{}); err != nil {
		t.Errorf("at a tenant that the user names: %v", err)
	}
	for _, tenant := range []string{"two", "bank"} {
		if err := login(other.c, tenant, true, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("at the tenant %s later: %v", tenant, err)
		}
	}
}

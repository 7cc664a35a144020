package flow

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
)

// A client secret is sent only to the authorization server that it was first used with, even if another configuration with another profile
// names it.
func TestSecretsAreBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.t.ClientID, b.t.ClientSecret = "demo-basic", "demo-cs-basic"
	b.login(t)
	b.login(t) // the same server again

	other, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	for name, target := range map[string]Target{
		"another server":           {URL: other.URL(), Settings: Settings{ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}},
		"as another client":        {URL: other.URL(), Profile: "p", Settings: Settings{ClientID: "demo-public", ClientSecret: "demo-cs-basic"}},
		"by a grant for a machine": {URL: other.URL(), Profile: "m", Settings: Settings{ClientID: "demo-basic", ClientSecret: "demo-cs-basic", Grant: GrantClientCredentials}},
	} {
		if _, err := b.c.Login(context.Background(), target, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.client(t).Pending(context.Background(), target, LoginOptions{}); target.Grant == "" && !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s, in two steps: %v", name, err)
		}
	}
	if n := other.Count("token") + other.Count("authorize"); n != 0 {
		t.Errorf("%d requests for tokens at the other server", n)
	}
	target := Target{URL: other.URL(), Settings: Settings{ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}}
	if _, err := b.c.Login(context.Background(), target, LoginOptions{AcceptNewIssuer: true}); err != nil {
		t.Errorf("accepted: %v", err)
	}
	if _, err := b.c.Login(context.Background(), target, LoginOptions{}); err != nil {
		t.Errorf("after it was accepted: %v", err)
	}
}

// A client secret that consists of a bound secret and other text is refused elsewhere like the secret itself.
func TestPartsOfSecretsAreBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	bind := func(issuer, secret string, parts ...Secret) error {
		target := Target{URL: "https://a", Settings: Settings{ClientID: "c", ClientSecret: Secret(secret), SecretParts: parts}}
		_, err := b.c.bindSecrets(t.Context(), target, issuer, LoginOptions{}, true)
		return err
	}
	for _, err := range []error{bind("https://as.example", "canary-secret", "canary-secret"), bind("https://as.example", "prefix-other-canary", "other-canary", "short")} {
		if err != nil {
			t.Error(err)
		}
	}
	for secret, part := range map[string]Secret{"x-canary-secret": "canary-secret", "other-canary": "other-canary", "y-other-canary": "other-canary"} {
		if err := bind("https://as.evil", secret, part); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s: %v", secret, err)
		}
	}
	if err := bind("https://as.evil", "something else, short", "short"); err != nil {
		t.Errorf("a short word in two secrets: %v", err)
	}
}

// Client keys and assertions are bound to an issuer like client secrets. LoginOptions.IssuerGiven allows another issuer.
func TestFilesAreBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	file := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bind := func(target Target, issuer string, accept bool) error {
		return bindAt(b.c, target, loginAt(target, issuer), LoginOptions{AcceptNewIssuer: accept})
	}
	key := Target{URL: "https://a", Settings: Settings{ClientID: "c", ClientKeyFile: file}}
	keyText := newKeyText(t)
	assertion := Target{URL: "https://a", Settings: Settings{Grant: GrantJWTBearer, AssertionFile: file}}
	for name, tt := range map[string]struct {
		target       Target
		first, later string // content of the file
	}{
		"a key":        {key, keyText, "# the same key with a comment\n" + keyText},
		"an assertion": {assertion, jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"s","exp":9999999998}`), jwtOf(`{"alg":"ES256"}`, `{"exp":9999999999,"sub":"s","iss":"i"}`)},
	} {
		write(tt.first)
		if err := bind(tt.target, "https://as.example", false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		write(tt.later)
		if err := bind(tt.target, "https://as.evil", false); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s at another server: %v", name, err)
		}
		if err := bind(tt.target, "https://as.evil", true); err != nil {
			t.Errorf("%s, accepted: %v", name, err)
		}
	}
	// Each of two assertions names one server as its audience and is valid only there, so both may be used.
	for _, issuer := range []string{"https://one.example", "https://two.example"} {
		write(jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"workload","aud":"`+issuer+`"}`))
		if err := bind(assertion, issuer, false); err != nil {
			t.Errorf("an assertion for %s: %v", issuer, err)
		}
	}
	write(jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"another"}`))
	if err := bind(assertion, "https://as.evil", false); err != nil {
		t.Errorf("somebody else's assertion: %v", err)
	}
	// A secret for the identity provider is not sent to an authorization server as a client secret.
	write(jwtOf(`{"alg":"ES256"}`, `{"iss":"idp","sub":"ann","aud":"client"}`))
	provider := Target{URL: "https://a", Settings: Settings{IDP: IDP{TokenEndpoint: "https://idp.example/token", ClientSecret: "s", IDTokenFile: file}}}
	if _, err := b.c.bindSecrets(ctx, provider, "https://as.example", LoginOptions{}, true); err != nil {
		t.Error(err)
	}
	for what, target := range map[string]Target{"assertion": assertion, "client secret": {URL: "https://a", Settings: Settings{ClientID: "c", ClientSecret: "s"}}} {
		if err := bind(target, "https://as.evil", false); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("the provider's, as %s: %v", what, err)
		}
	}
}

// bindAt binds the secrets of the token request of a login.
func bindAt(c *Client, target Target, cred credential, o LoginOptions) error {
	form := url.Values{}
	if cred.Grant == GrantJWTBearer {
		assertion, err := c.assertionFor(ctx, cred)
		if err != nil {
			return err
		}
		form.Set("assertion", assertion)
	}
	_, err := c.bindRequest(ctx, target, cred, o, form)
	return err
}

// loginAt returns the new credential of a login at an authorization server whose token endpoint is /token.
func loginAt(target Target, issuer string) credential {
	method := ""
	if target.ClientKeyFile != "" {
		method = keyMethod
	}
	return credential{Server: target.URL, Grant: target.grantOrDefault(), Issuer: issuer, Settings: target.Settings, Client: dcr.Client{AuthMethod: method},
		Endpoints: storedEndpoints{Token: issuer + "/token"}}
}

// newKeyText returns a new private key in PEM.
func newKeyText(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// A damaged record of the bindings is an error that names its file. It is not taken for an empty record.
func TestDamagedBindings(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	for _, text := range []string{"", "null", "{}", `{"salt":"x"}`, `{"issuers":{}}`, "{"} {
		if err := b.c.Store.Note(ctx, bindingsKey(), bindingsNote, []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, err := b.c.loadBindings(ctx)
		e, ok := errors.AsType[*keystore.Error](err)
		if !errors.Is(err, keystore.ErrCorrupt) || !ok || filepath.Ext(e.Path) != ".bindings" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An issuer without a path is the same with and without a trailing slash, as in the discovery.
func TestSlashOfAnIssuer(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	for _, provider := range []string{"https://idp.example", "https://idp.example/"} {
		target := Target{URL: "https://a", Settings: Settings{IDP: IDP{Issuer: provider, ClientSecret: "secret-of-the-client"}}}
		if _, err := b.c.bindSecrets(ctx, target, "https://as.example", LoginOptions{}, true); err != nil {
			t.Errorf("%s: %v", provider, err)
		}
	}
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "demo-basic", ClientSecret: "demo-cs-basic", Scopes: []string{"notes:read"}}
	b.login(t)
	b.set(t, `metadata:set.issuer="`+b.Issuer()+`/"`)
	if s, err := b.c.Login(ctx, b.t, LoginOptions{}); err != nil || s.Issuer != b.Issuer()+"/" {
		t.Errorf("the authorization server adds a slash: %v, %v", s.Issuer, err)
	}
}

package flow

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// bound returns the number of secrets that are bound to an issuer.
func (b *bench) bound(t *testing.T) int {
	t.Helper()
	all, err := b.c.loadBindings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return len(all[0].Issuers)
}

// secretLogins are logins with a client secret.
func secretLogins() map[string]struct {
	s       Settings
	set     string // setting of the server
	request string // first request with the secret
} {
	s := Settings{ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
	device, machine := s, s
	device.Grant, machine.Grant = GrantDevice, GrantClientCredentials
	return map[string]struct {
		s       Settings
		set     string
		request string
	}{
		"code": {s, "par=no", "token"}, "pushed request": {s, "par=require", "par"}, "device": {device, "par=no", "device_authorization"}, "machine": {machine, "par=no", "token"},
	}
}

// A login that fails before its first request with a secret does not bind the secret.
func TestUnsentSecretIsNotBound(t *testing.T) {
	t.Parallel()
	secret := Settings{ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"s","exp":1}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, []byte(jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"s","aud":"https://other.example"}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for name, tt := range map[string]struct {
		change func(*Settings)
		want   error
	}{
		"DPoP is not offered": {func(s *Settings) { s.Grant, s.DPoP = GrantClientCredentials, DPoPAlways }, ErrUnsupported},
		"nobody approves":     {func(*Settings) {}, ErrNoAnswer},
		"an assertion for another server": {func(s *Settings) {
			*s = Settings{Grant: GrantJWTBearer, AssertionFile: foreign, ClientID: "demo-basic", ClientSecret: "demo-cs-basic"}
		}, token.ErrAudience},
		"an expired assertion": {func(s *Settings) { *s = Settings{Grant: GrantJWTBearer, AssertionFile: file} }, ErrAssertionExpired},
		"a moved assertion file": {func(s *Settings) {
			*s = Settings{Grant: GrantJWTBearer, AssertionFile: file, ApprovedFiles: map[string]string{file: "/moved"}}
		}, refused},
		"a moved key file": {func(s *Settings) {
			*s = Settings{ClientID: "c", ClientKeyFile: file, ApprovedFiles: map[string]string{file: "/moved"}}
		}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, demo.Options{})
			b.c.Open, b.c.Guard = nil, func(_, _, _, _ string) error { return refused }
			b.t.Settings = secret
			tt.change(&b.t.Settings)
			if _, err := b.c.Login(ctx, b.t, LoginOptions{Timeout: time.Millisecond}); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if n := b.bound(t); n != 0 {
				t.Errorf("%d secrets are bound", n)
			}
			// Not even a check of a moved file reads the file.
			if err := bindAt(b.c, b.t, loginAt(b.t, "https://as.example"), LoginOptions{}); b.t.ApprovedFiles != nil && !errors.Is(err, refused) {
				t.Errorf("the secrets of the login: %v", err)
			}
			b.counts(t, map[string]int{"token": 0})
		})
	}
	t.Run("a pending login is not finished", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, demo.Options{})
		b.t.Settings = secret
		answer := b.pending(t)
		if n := b.bound(t); n != 0 {
			t.Errorf("%d secrets are bound", n)
		}
		if _, err := b.client(t).Finish(ctx, b.t, answer); err != nil || b.bound(t) != 1 {
			t.Errorf("%d secrets are bound by a finished login, %v", b.bound(t), err)
		}
	})
}

// While a login is under way, another process sends its secret to another authorization server. The login does not send the secret.
func TestSecretIsBoundDuringALogin(t *testing.T) {
	t.Parallel()
	for name, tt := range secretLogins() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, other := newBench(t, demo.Options{}), newBench(t, demo.Options{})
			b.t.Settings, other.t.Settings = tt.s, secretLogins()["code"].s
			b.set(t, tt.set)
			other.c.Store = b.client(t).Store
			var once sync.Once
			b.c.Report = func(e Event) {
				if strings.HasPrefix(e.Message, "authorization server ") { // the secrets have just been checked
					once.Do(func() {
						if _, err := other.c.Login(ctx, other.t, LoginOptions{}); err != nil {
							t.Error(err)
						}
					})
				}
			}
			if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
				t.Errorf("got %v, want ErrIssuerChanged", err)
			}
			b.counts(t, map[string]int{"token": 0, "par": 0, "device_authorization": 0})
		})
	}
}

// The binding of a secret is stored before the first request that contains the secret, so that a crash during the request loses nothing.
func TestSecretIsBoundBeforeItIsSent(t *testing.T) {
	t.Parallel()
	for name, tt := range secretLogins() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, demo.Options{})
			b.t.Settings = tt.s
			b.set(t, tt.set)
			b.crashesAt(t, "/"+tt.request)
		})
	}
	t.Run("identity provider", func(t *testing.T) {
		t.Parallel()
		b, _ := enterprise(t)
		b.crashesAt(t, "/token")
	})
}

// crashesAt logs in and crashes at the first POST request with this end of the path, at which one secret must be bound.
func (b *bench) crashesAt(t *testing.T, path string) {
	t.Helper()
	ctx, crash := context.WithCancel(ctx)
	b.c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, path) {
			return http.DefaultTransport.RoundTrip(r)
		}
		if n := b.bound(t); n != 1 {
			t.Errorf("%d secrets are bound at the first request", n)
		}
		crash()
		return nil, errors.New("crash")
	})}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil || ctx.Err() == nil {
		t.Errorf("no request with the secret: %v", err)
	}
}

// Of two pending logins with one secret at two authorization servers, only the first one that is finished sends the secret. Another process
// finishes a pending login with the permissions and the parts of the secret that were given when it began.
func TestSecretOfPendingLoginsIsBound(t *testing.T) {
	t.Parallel()
	b, other := newBench(t, demo.Options{}), newBench(t, demo.Options{})
	b.t.Settings, other.t.Settings = secretLogins()["code"].s, secretLogins()["code"].s
	b.t.SecretParts = []Secret{"cs-basic-part"}
	other.c = b.client(t)
	first, second := b.pending(t), other.pending(t)
	if _, err := b.client(t).Finish(ctx, Target{URL: b.t.URL}, first); err != nil {
		t.Fatal(err)
	}
	if n := b.bound(t); n != 2 {
		t.Errorf("%d secrets are bound, want the secret and its part", n)
	}
	if _, err := b.client(t).Finish(ctx, Target{URL: other.t.URL}, second); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("got %v, want ErrIssuerChanged", err)
	}
	other.counts(t, map[string]int{"token": 0})
	for _, o := range []LoginOptions{{AcceptNewIssuer: true}, {IssuerGiven: true}} {
		third, err := newBench(t, demo.Options{}), error(nil)
		third.t.Settings, third.c = secretLogins()["code"].s, b.client(t)
		third.t.Issuer = third.Issuer()
		address, err := third.c.Pending(ctx, third.t, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client(t).Finish(ctx, Target{URL: third.t.URL}, landing(t, address)); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Since the login, the file with its key, assertion or ID token contains another secret, which was first used elsewhere. The renewal does not
// send it.
func TestRenewalReadsAnotherSecret(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text     string
		settings func(file string) Settings
	}{
		"key":       {newKeyText(t), func(file string) Settings { return Settings{Grant: GrantClientCredentials, ClientKeyFile: file} }},
		"assertion": {jwtOf(`{"alg":"ES256"}`, `{"iss":"i","sub":"s"}`), func(file string) Settings { return Settings{Grant: GrantJWTBearer, AssertionFile: file} }},
		"ID token": {jwtOf(`{"alg":"ES256"}`, `{"iss":"idp","sub":"ann"}`), func(file string) Settings {
			return Settings{Grant: GrantEnterprise, IDP: IDP{TokenEndpoint: "https://idp.evil/token", IDTokenFile: file}}
		}},
	} {
		b := newBench(t, demo.Options{})
		c, file := b.client(t), filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		honest := Target{URL: "https://honest.example", Settings: tt.settings(file)}
		if honest.IDP.TokenEndpoint != "" {
			honest.IDP.TokenEndpoint = "https://idp.example/token"
		}
		if err := bindAt(c, honest, loginAt(honest, "https://as.honest.example"), LoginOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.bindSecrets(ctx, Target{URL: honest.URL, Settings: Settings{IDP: honest.IDP}}, "", LoginOptions{}, true); err != nil {
			t.Fatal(err)
		}
		cred := credential{Server: b.t.URL, Issuer: b.Issuer(), Grant: honest.Grant, Settings: tt.settings(file), Endpoints: storedEndpoints{Token: b.Issuer() + "/token"},
			Client: dcr.Client{ID: "c", AuthMethod: "private_key_jwt"}, Token: token.Token{AccessToken: "a"}}
		if cred.Settings.ClientKeyFile == "" {
			cred.Client = dcr.Client{ID: "demo-public", AuthMethod: "none"}
		}
		if err := c.saveCredential(ctx, b.t, &cred); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s: got %v, want ErrIssuerChanged", name, err)
		}
		b.counts(t, map[string]int{"token": 0})
	}
}

// The same with a revocation, which mcpauth then omits.
func TestRevocationReadsAnotherKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	c, file := b.client(t), filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(newKeyText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := Settings{Grant: GrantClientCredentials, ClientKeyFile: file}
	if _, err := c.bindSecrets(ctx, Target{URL: "https://honest.example", Settings: settings}, "https://as.honest.example", LoginOptions{}, true); err != nil {
		t.Fatal(err)
	}
	cred := credential{Server: b.t.URL, Issuer: b.Issuer(), Grant: GrantClientCredentials, Settings: settings, Token: token.Token{AccessToken: "a"},
		Client: dcr.Client{ID: "c", AuthMethod: keyMethod}, Endpoints: storedEndpoints{Token: b.Issuer() + "/token", Revocation: b.Issuer() + "/revoke"}}
	if err := c.saveCredential(ctx, b.t, &cred); err != nil {
		t.Fatal(err)
	}
	report, err := c.Logout(ctx, b.t, LogoutOptions{})
	if err != nil || report.Revoked || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "was first used with") {
		t.Errorf("got %+v, %v", report, err)
	}
	b.counts(t, map[string]int{"revoke": 0})
}

// A login that registers a client without a key does not bind the key, because no request contains it.
func TestUnusedKeyIsNotBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(newKeyText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.t.ClientMetadataURL, b.t.ClientKeyFile = "https://me.example/doc.json", file
	b.login(t)
	if n := b.bound(t); n != 0 {
		t.Errorf("%d secrets are bound", n)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("a renewal reads the key: %v", err)
	}
}

package flow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// enterprise returns a bench whose target uses the enterprise grant, and its identity provider.
func enterprise(t *testing.T) (*bench, *demo.Server) {
	t.Helper()
	b := newBench(t, demo.Options{})
	p, err := demo.StartProvider(b.Server, demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	b.t.Settings = Settings{Grant: GrantEnterprise, ClientID: "demo-public", IDP: IDP{Issuer: p.Issuer(), ClientID: "demo-idp-client", ClientSecret: "demo-cs-idp"}}
	return b, p
}

func set(t *testing.T, s *demo.Server, words string) {
	t.Helper()
	if err := s.Set(words); err != nil {
		t.Fatal(err)
	}
}

func signInRefusals() map[string]struct {
	words string
	want  error
} {
	return map[string]struct {
		words string
		want  error
	}{
		"metadata of another issuer": {"metadata:set.issuer=https://idp.evil", discovery.ErrIssuer},
		"answer of another issuer":   {"authorize:set.iss=https://idp.evil", callback.ErrIssuer},
		"answer without iss":         {"authorize:no-iss", callback.ErrIssuer},
		"ID token of another issuer": {`id_claims={"iss":"https://idp.evil"}`, token.ErrIDToken},
		"of another client":          {`id_claims={"aud":"other"}`, token.ErrIDToken},
		"of another login":           {`id_claims={"nonce":"other"}`, token.ErrIDToken},
		"of long ago":                {`id_claims={"exp":1}`, token.ErrIDToken},
		"of nobody":                  {`id_claims={"sub":""}`, token.ErrIDToken},
		"none":                       {"token:del=id_token", token.ErrIDToken},
	}
}

// An ID token is accepted only from this identity provider, for this client and for this login.
func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range signInRefusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := enterprise(t)
			set(t, p, tt.words)
			_, err := b.c.Login(ctx, b.t, LoginOptions{})
			if !errors.Is(err, tt.want) || !errors.Is(err, ErrIdentityProvider) {
				t.Errorf("got %v", err)
			}
			if n := p.Count("exchange") + b.Count("token"); n != 0 {
				t.Errorf("%d tokens were asked for", n)
			}
			if _, err := b.c.loadCredential(ctx, b.t); !errors.Is(err, ErrLoginRequired) {
				t.Errorf("stored: %v", err)
			}
		})
	}
}

// A renewal whose ID token is for another user fails. The refresh token in the answer to this renewal is stored nevertheless.
func TestRenewalOfAnotherUser(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	for _, claims := range []string{`{"sub":"other"}`, `{"nonce":"other"}`, `{"aud":"other"}`, `{"iss":"https://idp.evil"}`} {
		set(t, p, "id_claims="+claims)
		exchanged := p.Count("exchange")
		if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, token.ErrIDToken) || p.Count("exchange") != exchanged {
			t.Errorf("%s: %v", claims, err)
		}
	}
	set(t, p, "id_claims=")
	set(t, p, "token:grant=refresh_token,del=id_token,n=1")
	exchanged := p.Count("exchange")
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, token.ErrIDToken) || p.Count("exchange") != exchanged {
		t.Errorf("a renewal without an ID token, after one with the ID token of another user: %v", err)
	}
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil || p.Count("reuse") != 0 {
		t.Errorf("the next renewal: %v, %d tokens sent twice", err, p.Count("reuse"))
	}
}

// An ID-JAG for another server is not sent, because its recipient could use it there.
func TestForeignIDJAG(t *testing.T) {
	b, p := enterprise(t)
	for jag, want := range map[string]error{
		jwtOf(`{"alg":"ES256"}`, `{"aud":"https://other.example"}`): token.ErrAudience,
		jwtOf(`{"typ":"JWT"}`, `{"aud":"https://other.example"}`):   token.ErrMalformed, // without alg
		"a.b.c.d.e": token.ErrMalformed,
	} {
		set(t, p, `token:grant=urn:ietf:params:oauth:grant-type:token-exchange,set.access_token=`+jag)
		if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, want) || b.Count("token") != 0 {
			t.Errorf("%s: got %v, %d requests", jag, err, b.Count("token"))
		}
	}
}

// A token of the identity provider that is not an ID-JAG is not sent to the MCP server's authorization server, even if its issued_token_type
// is missing. An ID-JAG without issued_token_type is sent, and the deviation is recorded.
func TestOtherTokenIsNoIDJAG(t *testing.T) {
	b, p := enterprise(t)
	const exchange = "token:grant=urn:ietf:params:oauth:grant-type:token-exchange,del=issued_token_type"
	set(t, p, exchange+",set.access_token="+jwtOf(`{"alg":"ES256","typ":"at+jwt"}`, `{"aud":"account"}`))
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, token.ErrMalformed) || !errors.Is(err, ErrIdentityProvider) || b.Count("token") != 0 {
		t.Errorf("got %v, %d requests", err, b.Count("token"))
	}
	set(t, p, "clear")
	set(t, p, exchange)
	s, err := b.c.Login(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantQuirks(t, s.Deviations, "issued_token_type")
}

// If the caller leaves after the identity provider has rotated its refresh token, the new refresh token is stored nevertheless.
func TestProvidersRotationSurvivesItsCaller(t *testing.T) {
	t.Parallel()
	b, p := enterprise(t)
	b.login(t)
	before := b.stored(t).IDP.Token.RefreshToken
	set(t, p, "token:grant=refresh_token,late=1s,n=1")
	caller, leave := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := b.c.Refresh(caller, b.t, 0)
		failed <- err
	}()
	eventually(t, "the provider has carried it out", func() bool { return p.Count("refresh") == 1 })
	leave()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller got %v", err)
	}
	_ = b.c.Wait(ctx)
	if b.stored(t).IDP.Token.RefreshToken == before {
		t.Error("the new refresh token is not stored")
	}
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil || p.Count("reuse") != 0 {
		t.Errorf("the next refresh: %v", err)
	}
}

// If a step fails after the identity provider has answered, no refresh token is lost, and the failure does not count as a refusal of the
// identity provider's refresh token.
func TestFailureAfterTheProvider(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	for _, words := range []string{"token:status=503,n=1", "token:invalid_grant,n=1", "token:invalid_client,n=1", "token:drop=after,n=1"} {
		b.set(t, words)
		if _, err := b.c.Refresh(ctx, b.t, 0); err == nil || errors.Is(err, ErrGrantRejected) {
			t.Errorf("%s: %v", words, err)
		}
	}
	set(t, p, "token:grant=urn:ietf:params:oauth:grant-type:token-exchange,invalid_grant,n=1")
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrIdentityProvider) || errors.Is(err, ErrGrantRejected) {
		t.Errorf("the exchange is refused: %v", err)
	}
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil || p.Count("reuse") != 0 {
		t.Errorf("after all that: %v", err)
	}
}

// If the identity provider refuses the client, the error is not ErrClientRejected. ErrClientRejected is only about the client at the MCP
// server's authorization server.
func TestProviderRefusesItsClient(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	b.later(2 * time.Hour)
	set(t, p, "token:invalid_client,n=1")
	for range 2 { // the second attempt returns the stored refusal
		if _, err := b.c.Token(ctx, b.t, 0); err == nil || errors.Is(err, ErrClientRejected) {
			t.Errorf("got %v", err)
		}
	}
	b.later(-2 * time.Hour)
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("asked for by the user: %v", err)
	}
}

// A slow login does not replace a refresh token at the identity provider that another process has renewed since.
func TestNewestSignInIsStored(t *testing.T) {
	b, _ := enterprise(t)
	b.login(t)
	slow := b.stored(t)
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	want := b.stored(t).IDP.Token.RefreshToken
	unlock, err := b.c.lockAndReserve(ctx, b.t)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.c.storeLogin(ctx, tokenRequest{t: b.t, cred: slow, notes: &deviationList{}}, token.Token{AccessToken: "new"})
	unlock()
	if got := b.stored(t); err != nil || got.Token.AccessToken != "new" || got.IDP.Token.RefreshToken != want {
		t.Errorf("stored is %v, %v", got, err)
	}
}

// ErrMaybeSpent is also returned if the interrupted refresh was at the identity provider.
func TestProvidersTokenMaybeSpent(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	set(t, p, "token:grant=refresh_token,drop=after,n=1")
	if _, err := b.c.Refresh(ctx, b.t, 0); err == nil {
		t.Fatal("no error")
	}
	for range 2 {
		if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrMaybeSpent) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOneRedemptionAtTheProvider(t *testing.T) {
	t.Parallel()
	b, p := enterprise(t)
	b.login(t)
	set(t, p, "token:grant=refresh_token,late=300ms")
	var all sync.WaitGroup
	for i := range 8 {
		c := b.c
		if i%2 == 1 {
			c = b.client(t)
		}
		all.Go(func() {
			if _, err := c.Token(ctx, b.t, 2*3600e9); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p.Count("refresh") > 5 || p.Count("reuse") != 0 { // at most one refresh for each of the five clients: four clients are like separate processes, and four callers share the fifth
		t.Errorf("%d refreshes, %d tokens sent twice", p.Count("refresh"), p.Count("reuse"))
	}
}

// ID tokens, ID-JAGs and the identity provider's access tokens are not stored.
func TestOnlyTheRefreshTokenIsKept(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Fatal(err)
	}
	var all []byte
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, _ := os.ReadFile(path)
			all = append(all, data...)
		}
		return err
	})
	if err != nil || !bytes.Contains(all, []byte(b.stored(t).IDP.Token.RefreshToken)) {
		t.Fatalf("the files do not hold the refresh token: %v", err)
	}
	for _, secret := range p.Secrets() {
		if (strings.HasPrefix(secret, "eyJ") || strings.HasPrefix(secret, "demo-at")) && bytes.Contains(all, []byte(secret)) {
			t.Errorf("%.20s… is stored", secret)
		}
	}
	for _, e := range b.Requests("token") {
		if jag := e.Form.Get("assertion"); jag != "" && bytes.Contains(all, []byte(jag)) {
			t.Error("an ID-JAG is stored")
		}
	}
}

// mcpauth stores a login at the identity provider at once, so that Logout can revoke the login even if the MCP server's authorization
// server refuses the requests that follow. The old login is kept.
func TestSignInIsKept(t *testing.T) {
	t.Parallel()
	b, p := enterprise(t)
	b.login(t)
	before := b.stored(t)
	b.set(t, "token:status=503,n=1")
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil {
		t.Fatal("no error")
	}
	if now := b.stored(t); now.Token != before.Token || now.IDP.Token != before.IDP.Token || now.NextIDP == nil {
		t.Errorf("the record is not that of the old login with the new one at the provider beside it: %v", now)
	}
	b.login(t)
	if now := b.stored(t); len(now.IDP.Retired) != 2 || now.NextIDP != nil {
		t.Errorf("%d grants are remembered, want 2", len(now.IDP.Retired))
	}
	b.set(t, "token:status=503,n=1")
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil {
		t.Fatal("no error")
	}
	if n := p.Count("revoked"); n != 0 {
		t.Errorf("%d grants are revoked by a login", n)
	}
	report, err := b.c.Logout(ctx, b.t, LogoutOptions{})
	if err != nil || !report.Revoked || p.Live() != 0 {
		t.Errorf("logout: %+v, %v; %d grants live at the provider", report, err, p.Live())
	}
}

// If the identity provider has no revocation endpoint, Logout reports that and revokes the other tokens.
func TestProviderWithoutRevocation(t *testing.T) {
	b, p := enterprise(t)
	set(t, p, "metadata:del=revocation_endpoint")
	b.login(t)
	report, err := b.c.Logout(ctx, b.t, LogoutOptions{})
	if err != nil || report.Revoked || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], p.Issuer()+" has no") || b.Live() != 0 {
		t.Errorf("logout: %+v, %v; %d grants live", report, err, b.Live())
	}
}

// A login by another grant revokes the logins at the identity provider.
func TestSignInIsReplaced(t *testing.T) {
	b, p := enterprise(t)
	b.login(t)
	b.set(t, "token:status=503,n=1")
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); err == nil {
		t.Fatal("no error")
	}
	b.t.Settings = Settings{Grant: GrantCode}
	b.login(t)
	if p.Live() != 0 || b.stored(t).IDP != nil {
		t.Errorf("%d grants live at the provider", p.Live())
	}
}

// The account is the one in the identity provider's ID token. If the user expects another account, the new login fails and the old login
// stays stored.
func TestAccountAtTheProvider(t *testing.T) {
	b, p := enterprise(t)
	set(t, p, `id_claims={"email":"ada@example.com"}`)
	if s := b.login(t); s.Account != "ada@example.com" {
		t.Errorf("the account is %q", s.Account)
	}
	before := b.stored(t)
	set(t, p, `id_claims={"email":"eve@example.com"}`)
	b.t.ExpectAccount = "ada@example.com"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrAccount) {
		t.Errorf("got %v", err)
	}
	if now := b.stored(t); now.IDP.Token != before.IDP.Token || now.NextIDP != nil {
		t.Error("the other account's login is stored")
	}
}

// During a request, the handler opens a browser only if two conditions hold: its options allow a browser, and the stored login at the
// identity provider cannot be renewed.
func TestSignInInTheMiddleOfACall(t *testing.T) {
	t.Parallel()
	b, p := enterprise(t)
	b.login(t)
	if err := b.tool(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh}), "secret_note"); err != nil || b.opened.Load() != 1 {
		t.Errorf("a step-up: %v, %d browsers", err, b.opened.Load())
	}
	set(t, p, "revoke")
	b.set(t, "expire")
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthRefresh})); err == nil || b.opened.Load() != 1 {
		t.Errorf("without a browser: %v, %d browsers", err, b.opened.Load())
	}
	if err := b.echo(t, b.c.Handler(b.t, HandlerOptions{Reauth: ReauthBrowser})); err != nil || b.opened.Load() != 2 {
		t.Errorf("with a browser: %v, %d browsers", err, b.opened.Load())
	}
}

// The client secret for the identity provider and the user's ID token are sent only to the provider that they were first used with.
func TestProvidersSecretsAreBound(t *testing.T) {
	t.Parallel()
	b, _ := enterprise(t)
	b.login(t)
	_, evil := enterprise(t)
	moved := b.t
	moved.IDP.Issuer = evil.Issuer()
	moved.Issuer = b.Issuer() // naming the authorization server does not allow another identity provider
	if _, err := b.c.Login(ctx, moved, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) || evil.Count("authorize") != 0 {
		t.Errorf("another provider: %v", err)
	}
	moved.IDP = IDP{TokenEndpoint: evil.IDP(), ClientID: "demo-idp-client", ClientSecret: "demo-cs-idp", IDTokenFile: filepath.Join(t.TempDir(), "id-token")}
	if err := os.WriteFile(moved.IDP.IDTokenFile, []byte(b.IDToken("", 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.Login(ctx, moved, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) {
		t.Errorf("another token endpoint: %v", err)
	}
	file := moved
	file.IDP.TokenEndpoint, file.IDP.ClientSecret = b.IDP(), ""
	_, _ = b.c.Login(ctx, file, LoginOptions{}) // fails because the secret is missing, after the ID token was sent
	file.IDP.TokenEndpoint = evil.IDP()
	if _, err := b.c.Login(ctx, file, LoginOptions{}); !errors.Is(err, ErrIssuerChanged) || evil.Count("idp") != 0 {
		t.Errorf("the ID token at another provider: %v", err)
	}
	if _, err := b.c.Login(ctx, file, LoginOptions{AcceptNewIssuer: true}); errors.Is(err, ErrIssuerChanged) {
		t.Errorf("accepted: %v", err)
	}
}

package flow

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
)

// Seen at oidc-provider: a step-up of a machine's login opened a browser and registered a client.
func TestStepUpKeepsGrantAndClient(t *testing.T) {
	for _, grant := range []string{GrantClientCredentials, GrantCode} {
		t.Run(grant, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			bare := b.t
			b.t.Grant, b.t.ClientID, b.t.ClientSecret, b.t.Scopes = grant, "demo-basic", "demo-cs-basic", []string{"notes:read"}
			b.login(t)
			opened := b.opened.Load()
			if err := b.tool(t, b.c.Handler(bare, HandlerOptions{}), "secret_note"); err != nil {
				t.Fatal(err)
			}
			cred := b.stored(t)
			if cred.Grant != grant || cred.Client.ID != "demo-basic" || cred.Client.Kind != dcr.Preregistered {
				t.Errorf("stepped up as %s by %q", cred.Client, cred.Grant)
			}
			if grant == GrantClientCredentials && b.opened.Load() != opened {
				t.Error("a browser was opened")
			}
			b.counts(t, map[string]int{"registered": 0})
		})
	}
}

// Seen at oidc-provider: a login that follows one with DPoP got an unbound token.
func TestLaterLoginKeepsTheBinding(t *testing.T) {
	b := newBench(t, demo.Options{Settings: demo.Settings{DPoP: "offer"}})
	bare := b.t
	b.t.DPoP = "always"
	b.login(t)
	for _, want := range []struct{ choice, tokenType string }{{"", "DPoP"}, {"never", "Bearer"}, {"", "Bearer"}} {
		b.t = bare
		b.t.DPoP = want.choice
		b.login(t)
		if got := b.stored(t).Token.TokenType; got != want.tokenType {
			t.Errorf("dpop %q: a token of type %q, want %q", want.choice, got, want.tokenType)
		}
	}
}

// Seen at the TypeScript SDK's router: --dpop always was refused only after a person had consented and a client was registered.
func TestDPoPIsRefusedBeforeTheBrowser(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.t.DPoP = "always"
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v, want ErrUnsupported", err)
	}
	if n := b.opened.Load(); n != 0 {
		t.Errorf("the browser was opened %d times", n)
	}
	b.counts(t, map[string]int{"registered": 0})
}

func TestAgain(t *testing.T) {
	machine := Credential{Grant: GrantClientCredentials, KeyFile: "/key", Client: dcr.Client{ID: "m", Kind: dcr.Preregistered}}
	person := Credential{Grant: GrantCode, Client: dcr.Client{ID: "p", Secret: "s", Kind: dcr.Preregistered}}
	strays := Credential{Grant: GrantCode, Client: dcr.Client{ID: "d", Kind: dcr.Dynamic}, Quirks: []string{"assume_pkce_s256", "resource=https://r"}}
	token := "t"
	for _, tt := range []struct {
		name     string
		t, want  Target
		o, wantO LoginOptions
		cred     Credential
	}{
		{name: "nothing stored", t: Target{Scopes: []string{"a"}}, want: Target{Scopes: []string{"a"}}},
		{name: "machine", cred: machine, want: Target{Grant: GrantClientCredentials, ClientID: "m", ClientKeyFile: "/key"}},
		{name: "another grant is another client", cred: machine, t: Target{Grant: GrantCode}, want: Target{Grant: GrantCode}},
		{name: "the user's own client", cred: person, t: Target{ClientID: "q"}, want: Target{Grant: GrantCode, ClientID: "q"}},
		{name: "a secret alone is no client", cred: person, t: Target{ClientSecret: "q"}, want: Target{Grant: GrantCode, ClientSecret: "q"}},
		{name: "--new-client", cred: person, o: LoginOptions{NewClient: true}, wantO: LoginOptions{NewClient: true}, want: Target{Grant: GrantCode}},
		{name: "a call whose client was refused", cred: person, o: LoginOptions{NewClient: true, than: &token},
			wantO: LoginOptions{NewClient: true, than: &token}, want: Target{Grant: GrantCode, ClientID: "p", ClientSecret: "s"}},
		{name: "document", cred: Credential{Client: dcr.Client{ID: "https://c/d", Kind: dcr.MetadataDocument}}, want: Target{ClientMetadataURL: "https://c/d"}},
		{name: "assertion", cred: Credential{Grant: GrantJWTBearer, Assertion: "/a"}, want: Target{Grant: GrantJWTBearer, AssertionFile: "/a"}},
		{name: "identity provider", cred: Credential{Grant: GrantEnterprise, IDP: IDP{ClientID: "i"}}, want: Target{Grant: GrantEnterprise, IDP: IDP{ClientID: "i"}}},
		{name: "called back at localhost", cred: Credential{Client: dcr.Client{Kind: dcr.Dynamic, RedirectURI: "http://localhost:7/callback"}}, want: Target{CallbackHost: "localhost"}},
		{name: "called back elsewhere", cred: Credential{Client: dcr.Client{Kind: dcr.Dynamic, RedirectURI: "http://localhost:7/callback"}},
			t: Target{CallbackHost: "127.0.0.1"}, want: Target{CallbackHost: "127.0.0.1"}},
		{name: "bound", cred: Credential{DPoPKey: json.RawMessage(`{}`)}, want: Target{DPoP: "always"}},
		{name: "bound no more", cred: Credential{DPoPKey: json.RawMessage(`{}`)}, t: Target{DPoP: "never"}, want: Target{DPoP: "never"}},
		{name: "strays", cred: strays, want: Target{Grant: GrantCode}, wantO: LoginOptions{AssumePKCES256: true, Resource: "https://r"}},
		{name: "no resource", cred: Credential{Quirks: []string{"no_resource"}}, wantO: LoginOptions{NoResource: true}},
		{name: "a resource after all", cred: Credential{Quirks: []string{"no_resource"}}, o: LoginOptions{Resource: "https://q"}, wantO: LoginOptions{Resource: "https://q"}},
		{name: "parameters", cred: Credential{AuthParams: [][2]string{{"audience", "x"}}}, wantO: LoginOptions{AuthParams: [][2]string{{"audience", "x"}}}},
		{name: "other parameters", cred: Credential{AuthParams: [][2]string{{"audience", "x"}}}, o: LoginOptions{AuthParams: [][2]string{{"a", "b"}}},
			wantO: LoginOptions{AuthParams: [][2]string{{"a", "b"}}}},
		{name: "the authorization server", cred: Credential{IssuerPin: "https://as"}, want: Target{Issuer: "https://as"}},
		{name: "another authorization server", cred: Credential{IssuerPin: "https://as"}, t: Target{Issuer: "https://bs"}, want: Target{Issuer: "https://bs"}},
		{name: "whichever it is now", cred: Credential{IssuerPin: "https://as"}, o: LoginOptions{AcceptNewIssuer: true}, wantO: LoginOptions{AcceptNewIssuer: true}},
		{name: "strict", cred: Credential{Strict: true}, wantO: LoginOptions{Strict: true}},
		{name: "strict no more", cred: Credential{Strict: true}, o: LoginOptions{NoResource: true}, wantO: LoginOptions{NoResource: true}},
		{name: "strict from now on", cred: strays, o: LoginOptions{Strict: true}, want: Target{Grant: GrantCode}, wantO: LoginOptions{Strict: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, gotO := again(tt.t, tt.o, tt.cred)
			if !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(gotO, tt.wantO) {
				t.Error("not the earlier login over again") // targets hold secrets: they are not printed
			}
		})
	}
}

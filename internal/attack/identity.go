package attack

// Attacks by identity: metadata and answers that are somebody else's, and PKCE that is not there.

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

func spoilt(subject, name, what string, words ...string) Attack {
	return Attack{Name: subject + "/" + name, What: what, Words: words}
}

// idToken is an ID token for that email.
func idToken(email string) string {
	claims, _ := json.Marshal(map[string]string{"email": email, "sub": "1"})
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(claims) + "." + enc([]byte("x"))
}

func identity() []Attack {
	iss := func(name, what, value string) Attack {
		return spoilt("identity", "iss-"+name, what, "authorize:set.iss="+word(value))
	}
	return []Attack{
		spoilt("identity", "resource-foreign", "the resource metadata is another server's", "resource-metadata:set.resource="+word(Evil+"/mcp")),
		spoilt("identity", "resource-port", "the resource is on another port", "resource-metadata:set.resource="+word(MCP+":8443/mcp")),
		spoilt("identity", "resource-suffix", "the resource's host begins like the server's", "resource-metadata:set.resource="+word(MCP+".evil.example/mcp")),
		spoilt("identity", "resource-credentials", "the resource's host hides behind credentials", "resource-metadata:set.resource="+word("https://mcp.attack.example@evil.example/mcp")),
		spoilt("identity", "resource-missing", "the resource metadata names no resource", "resource-metadata:del=resource"),
		spoilt("identity", "resource-long", "the resource has 100 kB of query", "resource-metadata:set.resource="+word(MCP+"/mcp?"+strings.Repeat("a", 100_000))),
		spoilt("identity", "many-issuers", "the resource metadata names ten thousand authorization servers that are not there",
			"resource-metadata:set.authorization_servers=["+strings.Repeat(word(AS+"/door")+",", 9999)+word(AS+"/door")+"]"),
		{Name: "identity/resource-parent", What: "another tenant of the same host names its own resource metadata, for a token that is good for the whole host", Words: []string{
			"mcp:set.resource_metadata=" + word(MCP+"/b/metadata")}, At: "/b/metadata", Do: body(`{"resource":"` + MCP + `/","authorization_servers":["` + AS + `"]}`)},
		{Name: "identity/metadata-redirected", What: "the authorization server's metadata redirects to another origin, for a document that names the right issuer", At: serverPath, Do: away(http.StatusFound)},
		spoilt("identity", "authorize-client", "the authorization endpoint carries a client_id of its own, so that the page asks for another program", "metadata:set.authorization_endpoint="+word(AS+"/authorize?client_id=evil")),
		spoilt("identity", "authorize-redirect", "the same with redirect_uri", "metadata:set.authorization_endpoint="+word(AS+"/authorize?redirect_uri="+Evil)),
		spoilt("identity", "authorize-scope", "the same with scope, in other letters", "metadata:set.authorization_endpoint="+word(AS+"/authorize?x=1&Scope=all")),
		spoilt("identity", "authorize-request", "the same with a request object", "metadata:set.authorization_endpoint="+word(AS+"/authorize?request_uri="+Evil)),
		spoilt("identity", "authorize-semicolon", "the same, behind a semicolon", "metadata:set.authorization_endpoint="+word(AS+"/authorize?a;client_id=evil")),
		spoilt("identity", "device-elsewhere", "the code for another device is to be entered at somebody else's page", "device_authorization:del=verification_uri_complete,set.interval=60,set.verification_uri="+word(Evil+"/device")),
		spoilt("identity", "mix-up", "the authorization endpoint is another, honest server's, whose code is to be carried to the attacker", "metadata:set.authorization_endpoint="+word(AS2+"/authorize")),
		spoilt("identity", "endpoint-elsewhere", "the token endpoint is on another origin than the issuer, who may choose it (RFC 8414 §2)", "metadata:set.token_endpoint="+word(AS2+"/token")),
		spoilt("identity", "account-other", "the person at the browser is logged in there with another account than expected", "token:set.id_token="+word(idToken("eve@example.com"))),
		spoilt("identity", "account-lookalike", "the account's name is the expected one but for a character that is not printed", "token:set.id_token="+word(idToken("ann@example.com\u200b"))),
		spoilt("identity", "account-unknown", "the server does not say which account it is", "token:del=id_token"),
		spoilt("identity", "alias-elsewhere", "the endpoint for clients with a certificate is somebody else's, who would take the request for the user's",
			"metadata:set.mtls_endpoint_aliases={\"token_endpoint\":"+word(AS2+"/token")+"}"),
		spoilt("identity", "issuer-foreign", "the metadata is another issuer's", "metadata:set.issuer="+word(Evil)),
		spoilt("identity", "issuer-case", "the issuer differs by case", "metadata:set.issuer="+word("https://AS.attack.example")),
		spoilt("identity", "issuer-port", "the issuer differs by its port", "metadata:set.issuer="+word(AS+":443")),
		spoilt("identity", "issuer-encoding", "the issuer differs by percent-encoding", "metadata:set.issuer="+word("https://%61s.attack.example")),
		spoilt("identity", "issuer-missing", "the metadata names no issuer", "metadata:del=issuer"),
		iss("foreign", "the answer in the browser is from another authorization server", Evil),
		iss("case", "iss differs by case", "https://AS.attack.example"),
		iss("slash", "iss differs by a slash", AS+"/"),
		iss("port", "iss differs by its port", AS+":443"),
		iss("encoding", "iss differs by percent-encoding", "https://%61s.attack.example"),
		spoilt("identity", "iss-missing", "iss is promised, and missing", "authorize:no-iss"),
		spoilt("identity", "iss-foreign-error", "an error with another's iss", `authorize:set.iss="https://evil.example",set.error=access_denied,set.error_description="call 555-0100 now",del=code`),
		spoilt("identity", "pkce-missing", "the metadata does not promise PKCE", "metadata:no-pkce"),
		spoilt("identity", "pkce-plain", "the metadata promises PKCE without a hash", "metadata:plain-pkce"),
		{Name: "identity/issuer-changed-dynamic", What: "the authorization server is another one at the second login, and the client was registered by mcpauth", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}},
		{Name: "identity/issuer-changed", What: "the authorization server is another one at the second login, and the client is pre-registered", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}},
	}
}

// This file attacks by identity: metadata and answers that are somebody else's, and PKCE that is not there.

package attack

import "strings"

func spoilt(subject, name, what string, words ...string) Attack {
	return Attack{Name: subject + "/" + name, What: what, Words: words}
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
		spoilt("identity", "mix-up", "the authorization endpoint is another, honest server's, whose code is to be carried to the attacker", "metadata:set.authorization_endpoint="+word(AS2+"/authorize")),
		spoilt("identity", "endpoint-elsewhere", "the token endpoint is on another origin than the issuer, who may choose it (RFC 8414 §2)", "metadata:set.token_endpoint="+word(AS2+"/token")),
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
		{Name: "identity/issuer-changed", What: "the authorization server is another one at the second login, and the client is pre-registered", Later: true,
			Words: []string{"resource-metadata:set.authorization_servers=" + "[" + word(AS2) + "]"}},
	}
}

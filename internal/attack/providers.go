package attack

// Attacks on the login at an enterprise's identity provider: by another server in its place, or by codes and tokens of other logins.

func providers() []Attack {
	at := func(name, what, words string) Attack {
		return Attack{Name: "provider/" + name, What: what, Provider: words}
	}
	claim := func(name, what, claims string) Attack {
		return at(name, what, `id_claims=`+claims)
	}
	foreign := at("foreign-audience", "the MCP server names the attacker's authorization server, to get an assertion for it from the identity provider", "ttl=1h")
	foreign.Words = []string{"resource-metadata:set.authorization_servers=[" + word(AS2) + "]"}
	return []Attack{
		at("metadata-foreign", "the identity provider's metadata names another issuer", "metadata:set.issuer="+word(Evil)),
		at("token-http", "the identity provider's token endpoint uses plain http", "metadata:set.token_endpoint="+word("http://idp.attack.example/token")),
		at("mix-up", "the identity provider's authorization endpoint belongs to the MCP server's authorization server, so that mcpauth would send the server's code to the identity provider", "metadata:set.authorization_endpoint="+word(AS+"/authorize")),
		at("iss-foreign", "the identity provider's authorization response has the iss of another issuer", "authorize:set.iss="+word(Evil)),
		at("iss-missing", "the identity provider's metadata announces iss, but its authorization response has none", "authorize:no-iss"),
		claim("issuer", "the ID token has another issuer", `{"iss":"`+Evil+`"}`),
		claim("client", "the ID token has another client as its audience", `{"iss":"`+IDP+`","aud":"another"}`),
		claim("nonce", "the authorization response contains a code of the attacker's login, so that the user is logged in to the attacker's account", `{"iss":"`+IDP+`","nonce":"another"}`),
		claim("expired", "the ID token has expired", `{"iss":"`+IDP+`","exp":1}`),
		foreign,
	}
}

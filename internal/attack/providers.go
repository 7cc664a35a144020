package attack

// Attacks on the login at an enterprise's identity provider: another server poses as it, or codes and tokens come from other logins.

func providers() []Attack {
	at := func(name, what, words string) Attack {
		return Attack{Name: "provider/" + name, What: what, Provider: words}
	}
	claim := func(name, what, claims string) Attack {
		return at(name, what, `id_claims=`+claims)
	}
	foreign := at("foreign-audience", "the MCP server names an authorization server of the attacker, who is to get an assertion for it from the identity provider", "ttl=1h")
	foreign.Words = []string{"resource-metadata:set.authorization_servers=[" + word(AS2) + "]"}
	return []Attack{
		at("metadata-foreign", "the identity provider's metadata is another issuer's", "metadata:set.issuer="+word(Evil)),
		at("token-http", "its token endpoint is plain http", "metadata:set.token_endpoint="+word("http://idp.attack.example/token")),
		at("mix-up", "its authorization endpoint is that of the MCP server's authorization server, whose code is to be carried to it", "metadata:set.authorization_endpoint="+word(AS+"/authorize")),
		at("iss-foreign", "the answer in the browser is from another issuer", "authorize:set.iss="+word(Evil)),
		at("iss-missing", "iss is promised, and missing", "authorize:no-iss"),
		claim("issuer", "the ID token is another issuer's", `{"iss":"`+Evil+`"}`),
		claim("client", "the ID token is for another client", `{"iss":"`+IDP+`","aud":"another"}`),
		claim("nonce", "the code is one of the attacker's own login, put into the answer, so that the user works with the attacker's account", `{"iss":"`+IDP+`","nonce":"another"}`),
		claim("expired", "the ID token is an old one", `{"iss":"`+IDP+`","exp":1}`),
		foreign,
	}
}

package flow

import (
	"slices"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// secrets returns the set that every text of the Client goes through before it is reported, or stored in the part of a record that is not
// encrypted.
func (c *Client) secrets() *httpx.Secrets {
	if c.Secrets != nil {
		return c.Secrets
	}
	return &c.own
}

// knows adds the secrets of a credential to the set.
func (c *Client) knows(cred Credential) {
	for _, login := range []Credential{cred, cred.provider(), cred.next()} {
		c.secrets().Learn(string(login.Token.AccessToken), string(login.Token.RefreshToken), string(login.Token.IDToken), string(login.idToken),
			string(login.Settings.ClientSecret), string(login.Settings.IDP.ClientSecret))
		for _, r := range login.Retired {
			c.secrets().Learn(string(r.Token))
		}
		clients := append([]dcr.Client{login.Client}, login.OldClients...)
		if login.NextClient != nil {
			clients = append(clients, *login.NextClient)
		}
		for _, client := range clients {
			c.secrets().Learn(string(client.Secret), string(client.RegistrationToken))
		}
	}
}

// received adds the secrets of a token answer to the set, and removes scopes that contain a secret. Scopes are stored unencrypted, and the
// next login puts them into the address that the browser opens.
func (c *Client) received(cred Credential, tok token.Token) token.Token {
	c.knows(cred)
	c.knows(Credential{Token: tok})
	if scopes := splitScope(tok.Scope); c.secrets().Holds(tok.Scope) {
		tok.Scope = joinScopes(c.open(scopes))
	}
	return tok
}

// open returns the scopes that contain no secret.
func (c *Client) open(scopes []string) []string {
	if !c.secrets().Holds(joinScopes(scopes)) {
		return scopes
	}
	return slices.DeleteFunc(slices.Clone(scopes), c.secrets().Holds)
}

// account returns the account that an ID token names, or "" if its name contains a secret.
func (c *Client) account(tok token.Token) string {
	if name := tok.Account(); !c.secrets().Holds(name) {
		return name
	}
	return ""
}

// withoutSecrets removes what contains a secret from a discovery: parameters of the challenge, and scopes of the metadata.
func (c *Client) withoutSecrets(r *discovery.Result) {
	for name, value := range r.Challenge.Params {
		if c.secrets().Holds(value) {
			delete(r.Challenge.Params, name)
		}
	}
	r.Resource.ScopesSupported, r.Server.ScopesSupported = c.open(r.Resource.ScopesSupported), c.open(r.Server.ScopesSupported)
}

package flow

import (
	"slices"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// secrets returns the secrets that the Client masks in every text that it reports or stores unencrypted.
func (c *Client) secrets() *httpx.Secrets {
	if c.Secrets != nil {
		return c.Secrets
	}
	return &c.own
}

// knows adds the secrets of a credential to the secrets of the Client.
func (c *Client) knows(cred credential) {
	for _, login := range []credential{cred, cred.provider(), cred.next()} {
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

// received adds the tokens in a response to the secrets of the Client, and removes scopes that contain a secret. Scopes are stored
// unencrypted, and become part of the authorization URL of the next login.
func (c *Client) received(cred credential, tok token.Token) token.Token {
	c.knows(cred)
	c.knows(credential{Token: tok})
	if c.secrets().Holds(tok.Scope) {
		c.warn("scopes that the server granted are left out, because they contain a secret")
		tok.Scope = joinScopes(c.open(splitScope(tok.Scope)))
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

// withoutSecrets removes challenge parameters and scopes that contain a secret from a discovery result.
func (c *Client) withoutSecrets(r *discovery.Result) {
	for name, value := range r.Challenge.Params {
		if c.secrets().Holds(value) {
			delete(r.Challenge.Params, name)
		}
	}
	r.Resource.ScopesSupported, r.Server.ScopesSupported = c.open(r.Resource.ScopesSupported), c.open(r.Server.ScopesSupported)
}

package flow

import (
	"slices"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// maskedSecrets returns the secrets that the Client masks in every text that it reports or stores unencrypted.
func (c *Client) maskedSecrets() *httpx.Secrets {
	if c.Secrets != nil {
		return c.Secrets
	}
	return &c.defaultSecrets
}

// learnSecrets adds the secrets of a credential to the secrets of the Client.
func (c *Client) learnSecrets(cred credential) {
	for _, login := range []credential{cred, cred.providerLogin(), cred.nextProviderLogin()} {
		c.maskedSecrets().Learn(string(login.Settings.ClientSecret), string(login.Settings.IDP.ClientSecret))
		c.maskedSecrets().LearnIssued(string(login.Token.AccessToken), string(login.Token.RefreshToken), string(login.Token.IDToken), string(login.idToken))
		for _, r := range login.Retired {
			c.maskedSecrets().LearnIssued(string(r.Token))
		}
		clients := append([]dcr.Client{login.Client}, login.OldClients...)
		if login.NextClient != nil {
			clients = append(clients, *login.NextClient)
		}
		for _, client := range clients {
			c.maskedSecrets().LearnIssued(string(client.Secret), string(client.RegistrationToken))
		}
	}
}

// learnTokens adds the tokens in a response to the secrets of the Client, and removes scopes that contain a secret. This is needed because
// scopes are stored unencrypted, and the authorization URL of the next login contains them.
func (c *Client) learnTokens(cred credential, tok token.Token) token.Token {
	c.learnSecrets(cred)
	c.learnSecrets(credential{Token: tok})
	if c.maskedSecrets().Holds(tok.Scope) {
		c.warn("scopes that the server granted are left out, because they contain a secret")
		tok.Scope = joinScopes(c.scopesWithoutSecrets(splitScope(tok.Scope)))
	}
	return tok
}

func (c *Client) scopesWithoutSecrets(scopes []string) []string {
	if !c.maskedSecrets().Holds(joinScopes(scopes)) {
		return scopes
	}
	return slices.DeleteFunc(slices.Clone(scopes), c.maskedSecrets().Holds)
}

// withoutSecrets removes challenge parameters and scopes that contain a secret from a discovery result.
func (c *Client) withoutSecrets(r *discovery.Result) {
	for name, value := range r.Challenge.Params {
		if c.maskedSecrets().Holds(value) {
			delete(r.Challenge.Params, name)
		}
	}
	r.Resource.ScopesSupported, r.Server.ScopesSupported = c.scopesWithoutSecrets(r.Resource.ScopesSupported), c.scopesWithoutSecrets(r.Server.ScopesSupported)
}

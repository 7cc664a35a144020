package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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

// refuseSecrets returns token.ErrSecretRepeated if a text that a server chose contains a secret. Such texts become part of the authorization URL,
// which other users of the machine can see in the arguments of the browser, or they are printed or stored unencrypted. A secret in the
// user's own settings does not count, because the user may use a variable in the URL of the server.
func (c *Client) refuseSecrets(t Target, what string, texts ...string) error {
	s := t.Settings
	typed := append([]string{t.URL, s.Issuer, s.Resource, s.ClientID, s.ClientMetadataURL, s.IDP.Issuer, s.IDP.TokenEndpoint, s.IDP.ClientID}, s.Scopes...)
	for _, p := range s.AuthParams {
		typed = append(typed, p[1])
	}
	for _, text := range texts {
		if c.maskedSecrets().Reveals(text, strings.Join(typed, "\n")) {
			return fmt.Errorf("%s: %w: %s", t.URL, token.ErrSecretRepeated, what)
		}
	}
	return nil
}

// refuseSecretsIn calls refuseSecrets with the texts of a discovery result that a login uses or stores.
func (c *Client) refuseSecretsIn(t Target, r *discovery.Result) error {
	return cmp.Or(c.refuseSecrets(t, "the target of the server's redirect", r.Endpoint), c.refuseSecrets(t, "the resource in the metadata", r.ResourceID),
		c.refuseSecrets(t, "a URL in the authorization server metadata", r.Server.URLs()...))
}

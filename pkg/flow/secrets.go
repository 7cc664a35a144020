package flow

import (
	"fmt"
	"net/http"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// LoginSecrets returns the secrets of one login. The Client removes them from OAuth responses, errors and the headers of redirects and
// refusals. An mcpclient.Client of this login should use the same Secrets. They are not masked in texts of another login.
func (c *Client) LoginSecrets(t Target) *httpx.Secrets {
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	s := c.secretsOf[t.key()]
	if s == nil {
		s = &httpx.Secrets{}
		if c.secretsOf == nil {
			c.secretsOf = map[keystore.Key]*httpx.Secrets{}
		}
		c.secretsOf[t.key()] = s
	}
	t.Settings.addTo(s, t.URL, t.Profile)
	for name, values := range t.Header {
		for _, value := range values {
			s.AddHeader(name, value)
		}
	}
	return s
}

// IsCredential reports whether a text is a token or client secret, of at least 16 bytes, of a login that c has used. A URL does not count.
func (c *Client) IsCredential(text string) bool {
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	for _, s := range c.secretsOf {
		if s.IsCredential(text) {
			return true
		}
	}
	return false
}

// MaskIssued applies Secrets.MaskIssued for the login that c has used. If c has used several logins, MaskIssued changes nothing, because the server
// of one login must not change a message about another.
func (c *Client) MaskIssued(text string) string {
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	if len(c.secretsOf) == 1 {
		for _, s := range c.secretsOf {
			return s.MaskIssued(text)
		}
	}
	return text
}

// addTo adds the secrets in the settings, and the texts that the user typed.
func (set Settings) addTo(s *httpx.Secrets, typed ...string) {
	typed = append(append(typed, set.Issuer, set.Resource, set.ClientID, set.ClientMetadataURL, set.IDP.Issuer, set.IDP.TokenEndpoint, set.IDP.ClientID, set.ExpectAccount), set.Scopes...)
	for _, p := range set.AuthParams {
		typed = append(typed, p[1])
	}
	s.AddTyped(typed...)
	s.Learn(string(set.ClientSecret), string(set.IDP.ClientSecret))
}

// clientFor returns the HTTP client for the OAuth requests of a login. hc sends the requests.
func (c *Client) clientFor(t Target, hc *http.Client) *http.Client {
	return c.LoginSecrets(t).Client(hc)
}

// learnSecrets adds the secrets of a stored credential to the secrets of its login.
func (c *Client) learnSecrets(t Target, cred credential) {
	s := c.LoginSecrets(t)
	for _, login := range []credential{cred, cred.providerLogin(), cred.nextProviderLogin()} {
		login.Settings.addTo(s)
		s.Learn(string(login.Token.AccessToken), string(login.Token.RefreshToken), string(login.Token.IDToken), string(login.idToken))
		for _, r := range login.Retired {
			s.Learn(string(r.Token))
		}
		clients := append([]dcr.Client{login.Client}, login.OldClients...)
		if login.NextClient != nil {
			clients = append(clients, *login.NextClient)
		}
		for _, client := range clients {
			if string(client.Secret) != client.ID { // otherwise, the secret is public
				s.Learn(string(client.Secret))
			}
			s.Learn(string(client.RegistrationToken))
		}
	}
}

// cleanError removes the secrets of a login from an error about a token, because a token contains texts of the server that issued it.
func (c *Client) cleanError(cred credential, err error) error {
	if err == nil {
		return nil
	}
	return c.LoginSecrets(cred.target()).CleanError(err)
}

// refuseRedacted returns token.ErrSecretRepeated if a secret was removed from a text that a server chose.
func refuseRedacted(t Target, what, text string) error {
	if httpx.IsRedacted(text) {
		return fmt.Errorf("%s: %w: %s", t.URL, token.ErrSecretRepeated, what)
	}
	return nil
}

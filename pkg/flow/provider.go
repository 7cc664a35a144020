// MCP enterprise-managed authorization: the user signs in once at the enterprise's identity provider, and mcpauth exchanges the ID token
// for tokens of the MCP server.

package flow

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// idTokenClaims contains claims of the ID token of a login. The ID token of a renewal must contain the same claims (OpenID Connect Core
// §12.2).
type idTokenClaims struct {
	Subject string `json:"sub"`
	Nonce   string `json:"nonce"`
}

// providerLogin returns the stored login at the identity provider, or the zero value if there is none.
func (c credential) providerLogin() credential     { return orZero(c.IDP) }
func (c credential) nextProviderLogin() credential { return orZero(c.NextIDP) }

func orZero(c *credential) credential {
	if c == nil {
		return credential{}
	}
	return *c
}

// renewingLogin returns the login to renew. If an enterprise login has no refresh token, renewingLogin returns the login at the identity
// provider.
func (c *credential) renewingLogin() *credential {
	if c.Token.RefreshToken == "" && c.Grant == GrantEnterprise && c.IDP != nil {
		return c.IDP
	}
	return c
}

// setProviderTokens stores the refresh token and the ID token from a response of the identity provider. setProviderTokens drops the access
// token, which is not needed. The ID token stays in memory until it is exchanged.
func (c *credential) setProviderTokens(tok token.Token) {
	c.Token, c.idToken = token.Token{RefreshToken: cmp.Or(tok.RefreshToken, c.Token.RefreshToken)}, tok.IDToken
}

// signInAtProvider logs in to the identity provider, before an enterprise login to the MCP server. During a request, signInAtProvider tries
// to renew the stored login at the identity provider. If only a new login can help, signInAtProvider opens the browser.
func (c *Client) signInAtProvider(k *job, d loginDraft) (*credential, error) {
	idp, err := c.renewProviderLogin(k, d)
	if idp == nil && err == nil || err != nil && needsLogin(err) && !d.o.silent {
		idp, err = c.signInByBrowser(k, d)
	}
	return idp, err
}

func wrapProviderError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrIdentityProvider, err)
}

// renewProviderLogin renews the stored login at the identity provider during a request, and returns nil at any other time.
func (c *Client) renewProviderLogin(k *job, d loginDraft) (*credential, error) {
	if !d.inCall {
		return nil, nil
	}
	unlock, err := c.lockAndReserve(k.Context, d.t)
	if err != nil {
		return nil, err
	}
	defer unlock()
	cred, err := c.loadOrNew(k.Context, d.t)
	if err != nil {
		return nil, err
	}
	if p := cred.providerLogin(); p.Token.RefreshToken == "" || p.Refusal != nil || cred.Settings.IDP != d.t.IDP {
		return nil, ErrNoRefreshToken
	}
	return cred.IDP, c.renewLogin(k, d.t, &cred, cred.IDP, renewalReason{})
}

// signInByBrowser runs the authorization code flow at the identity provider, and stores the new login in NextIDP at once. The new login can
// then be revoked even if the MCP server's authorization server refuses the requests that follow.
func (c *Client) signInByBrowser(k *job, d loginDraft) (*credential, error) {
	i := d.t.IDP
	server, err := discovery.FetchServer(k.Context, i.Issuer, isLocal(d.t.URL), discovery.Options{HTTP: c.clientFor(d.t, c.HTTP), Strict: d.t.Strict})
	if err != nil {
		return nil, wrapProviderError(err)
	}
	c.progress("identity provider " + server.Issuer)
	p := loginDraft{t: Target{URL: d.t.URL, Profile: d.t.Profile}, o: LoginOptions{Timeout: d.o.Timeout, Paste: d.o.Paste}, old: d.old.providerLogin(), began: d.began,
		found: &discovery.Result{Server: server}, notes: d.notes, nonce: rand.Text(),
		bind: func(ctx context.Context, _ credential, _ url.Values) (func(), error) {
			return c.bindSecrets(ctx, Target{URL: d.t.URL, Settings: Settings{IDP: i}}, "", d.o, true)
		},
		plan: Plan{Grant: GrantCode, Issuer: server.Issuer, Scopes: []string{"openid", offlineAccess}}}
	p.t.Settings = Settings{Grant: GrantCode, ClientID: i.ClientID, ClientSecret: i.ClientSecret, CallbackHost: d.t.CallbackHost, CallbackPort: d.t.CallbackPort,
		AuthParams: d.t.AuthParams, ExpectAccount: d.t.ExpectAccount, Strict: d.t.Strict}
	if err := checkFeasible(p.t.Settings, p.found); err != nil {
		return nil, wrapProviderError(err)
	}
	idp, err := c.obtainByCode(k, p)
	var request *StageError
	if errors.As(err, &request) && request.Stage != "callback" {
		err = wrapProviderError(err)
	}
	return &idp, err
}

// storeProviderLogin stores a new login at the identity provider. The caller must have locked the credential.
func (c *Client) storeProviderLogin(ctx context.Context, x tokenRequest, tok token.Token) (idp, replaced credential, err error) {
	idp = x.cred
	idp.setProviderTokens(tok)
	if idp.OpenID.Subject, err = idp.checkIDToken(c); err != nil {
		return credential{}, credential{}, err
	}
	if idp.Account, err = c.checkedAccount(x, tok.Account()); err != nil {
		return credential{}, credential{}, err
	}
	cred, err := c.loadOrNew(ctx, x.t)
	if err != nil {
		return credential{}, credential{}, err
	}
	replaced, idp.ObtainedAt = cred.nextProviderLogin(), c.now()
	idp.Retired, _ = idp.replacedTokens(replaced)
	cred.NextIDP = &idp
	if err := c.saveCredential(ctx, x.t, &cred); err != nil {
		return credential{}, replaced, err
	}
	idp.generation = cred.generation
	c.addToJournal(ctx, x.t, idp, "login", nil)
	if tok.RefreshToken == "" {
		c.warn("the identity provider gave no refresh token, so the next renewal needs the browser again")
	}
	return idp, replaced, nil
}

// chooseProviderLogin chooses between the new login c and the stored login at the identity provider. The new login takes the tokens of the
// stored login as retired tokens. If both are the same login, chooseProviderLogin returns the stored one, because another process may have
// renewed it since c was read.
func (c *credential) chooseProviderLogin(stored *credential) *credential {
	if stored != nil && stored.LoginAt.Equal(c.LoginAt) {
		return stored
	}
	kept, _ := c.replacedTokens(orZero(stored))
	c.Retired = append(kept, c.Retired...)
	c.Retired = c.Retired[:min(len(c.Retired), maxRetired)]
	return c
}

// checkIDToken checks the ID token in the latest response and returns the subject of this ID token.
func (c credential) checkIDToken(client *Client) (subject string, err error) {
	subject, err = token.IDToken{Issuer: c.Issuer, ClientID: c.Client.ID, Nonce: c.OpenID.Nonce, Subject: c.OpenID.Subject}.Check(string(c.idToken), client.now())
	return subject, wrapProviderError(client.cleanError(c, err))
}

// identityAssertion obtains an ID-JAG from the identity provider, in exchange for the ID token or the refresh token (MCP enterprise-managed
// authorization §4, Identity Assertion JWT Authorization Grant §4.3). deviation gets the codes of the deviations in the provider's response.
func (c *Client) identityAssertion(ctx context.Context, cred credential, login LoginOptions, scope string, deviation func(code string)) (string, error) {
	idp, o, err := c.subjectToken(cred, login)
	if err != nil {
		return "", err
	}
	idp.Resource, idp.Deviation = cred.Resource, deviation
	o.RequestedTokenType, o.Audience, o.Scope = token.TypeIDJAG, cred.Issuer, scope
	tok, err := idp.Exchange(ctx, o)
	if err != nil {
		return "", wrapProviderError(err)
	}
	assertion := string(tok.AccessToken)
	err = token.CheckIDJAG(assertion, cred.Issuer, cred.Endpoints.Token, cred.isIssuerNamed())
	if err != nil && !errors.Is(err, token.ErrAudience) { // an ID-JAG without readable audiences could be for another server
		err = fmt.Errorf("%w: the ID-JAG is %w", token.ErrMalformed, err)
	}
	return assertion, wrapProviderError(c.cleanError(cred, err))
}

// subjectToken returns the token endpoint of the identity provider, and the token to exchange at this endpoint.
func (c *Client) subjectToken(cred credential, o LoginOptions) (token.Endpoint, token.ExchangeOptions, error) {
	i := cred.Settings.IDP
	if i.Issuer == "" {
		bind := func(ctx context.Context, _ url.Values) (func(), error) { // the file may contain another token than at the login
			return c.bindSecrets(ctx, Target{URL: cred.Server, Settings: Settings{IDP: i}}, "", o, true)
		}
		idToken, err := readIDToken(i.IDTokenFile)
		// Without metadata, a client with a secret uses client_secret_basic, which every provider must support (RFC 6749 §2.3.1).
		client := token.ClientAuth{ID: i.ClientID, Secret: i.ClientSecret, Method: dcr.AuthMethod(nil, i.ClientSecret != "", false)}
		return token.Endpoint{URL: i.TokenEndpoint, HTTP: c.clientFor(cred.target(), c.HTTP), Now: c.Now, Local: isLocal(cred.Server), Client: client, Strict: cred.Settings.Strict, BeforeSend: bind},
			token.ExchangeOptions{SubjectToken: Secret(idToken), SubjectTokenType: token.TypeIDToken}, err
	}
	idp := cred.providerLogin()
	e, err := c.tokenEndpoint(idp)
	if err == nil && idp.idToken == "" && idp.Suspect {
		err = wrapProviderError(fmt.Errorf("%w: the newest one was refused, and this response contains none", token.ErrIDToken))
	}
	if err != nil || idp.idToken == "" {
		return e, token.ExchangeOptions{SubjectToken: idp.Token.RefreshToken, SubjectTokenType: token.TypeRefreshToken}, err
	}
	_, err = idp.checkIDToken(c)
	return e, token.ExchangeOptions{SubjectToken: idp.idToken, SubjectTokenType: token.TypeIDToken}, err
}

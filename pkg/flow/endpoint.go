// This file makes the token endpoint of a credential, and runs the grants that need nobody at a browser.

package flow

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"mcpauth/pkg/token"
)

// endpoint returns the token endpoint as this credential's client may use it.
func (c *Client) endpoint(cred Credential) (token.Endpoint, error) {
	e := token.Endpoint{URL: cred.Endpoints.Token, HTTP: c.HTTP, Now: c.Now, Resource: cred.Resource, Local: localURL(cred.Server), Strict: cred.Strict}
	e.Client = token.ClientAuth{ID: cred.Client.ID, Secret: cred.Client.Secret, Method: cred.Client.AuthMethod, Audience: cred.Issuer, Algs: cred.Endpoints.SigningAlgs}
	if cred.Client.AuthMethod == "private_key_jwt" {
		key, err := loadKey(cred.KeyFile)
		if err != nil {
			return e, err
		}
		e.Client.Key = key
	}
	if cred.DPoPKey != nil {
		prover, err := token.LoadProver(cred.DPoPKey)
		if err != nil {
			return e, fmt.Errorf("%w: DPoP key", ErrCredential)
		}
		e.DPoP, e.RequireDPoP = prover, true
	}
	return e, nil
}

func loadKey(file string) (*token.Key, error) {
	data, err := readFile("client key", file)
	if err != nil {
		return nil, err
	}
	key, err := token.LoadKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: client key %s: %w", ErrOptions, file, err)
	}
	return key, nil
}

// machineToken gets tokens by the credential's machine grant. Files are read anew each time: platforms replace them.
func (c *Client) machineToken(ctx context.Context, e token.Endpoint, cred Credential, scopes []string) (token.Token, error) {
	switch cred.Grant {
	case GrantClientCredentials:
		return e.ClientCredentials(ctx, joinScopes(scopes))
	case GrantJWTBearer:
		assertion, err := readAssertion(cred.Assertion)
		if err != nil {
			return token.Token{}, err
		}
		if err := forServer(assertion, cred.Issuer, cred.Endpoints.Token); err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, joinScopes(scopes))
	case GrantEnterprise:
		assertion, err := c.identityAssertion(ctx, cred, scopes)
		if err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, joinScopes(scopes))
	}
	return token.Token{}, fmt.Errorf("grant %q: %w", cred.Grant, ErrNoRefreshToken)
}

// identityAssertion exchanges the user's ID token at the enterprise's identity provider for an ID-JAG meant for this authorization
// server and resource (MCP enterprise-managed authorization §4).
func (c *Client) identityAssertion(ctx context.Context, cred Credential, scopes []string) (string, error) {
	idToken, err := readSecret("ID token", cred.IDP.IDTokenFile)
	if err != nil {
		return "", err
	}
	idp := token.Endpoint{URL: cred.IDP.TokenEndpoint, HTTP: c.HTTP, Now: c.Now, Resource: cred.Resource, Local: localURL(cred.Server),
		Client: cred.IDP.clientAuth(), Strict: cred.Strict}
	tok, err := idp.Exchange(ctx, token.ExchangeOptions{SubjectToken: idToken, SubjectTokenType: token.TypeIDToken,
		RequestedTokenType: token.TypeIDJAG, Audience: cred.Issuer, Scope: joinScopes(scopes)})
	if err != nil {
		return "", stage("identity provider", err)
	}
	return tok.AccessToken, nil
}

// clientAuth is how the client proves itself there. There is no metadata to choose by: client_secret_basic is what every provider has to
// know (RFC 6749 §2.3.1).
func (i IDP) clientAuth() token.ClientAuth {
	if i.ClientSecret == "" {
		return token.ClientAuth{ID: i.ClientID, Method: "none"}
	}
	return token.ClientAuth{ID: i.ClientID, Secret: i.ClientSecret, Method: "client_secret_basic"}
}

// maxSecretFile bounds a file with a secret, in bytes: a configuration may name any file, also one without end.
const maxSecretFile = 64 << 10

func readFile(what, file string) ([]byte, error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() { // opening a pipe may take for ever
		return nil, fmt.Errorf("%w: %s %s is no regular file; it is read again at every renewal", ErrOptions, what, file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(data) > maxSecretFile {
		return nil, fmt.Errorf("%w: %s file %s is larger than 64 kB", ErrOptions, what, file)
	}
	return data, nil
}

// readSecret reads a file whose content is sent: without the line end that editors and platforms put there.
func readSecret(what, file string) (string, error) {
	data, err := readFile(what, file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("%w: %s file %s is empty", ErrOptions, what, file)
	}
	return secret, nil
}

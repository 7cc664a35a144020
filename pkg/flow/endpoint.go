package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// keyMethod is the client authentication method that uses the client key (RFC 7523 §2.2).
const keyMethod = "private_key_jwt"

// tokenEndpoint returns the token endpoint for the credential's client. Each request binds the key and the assertion that it contains, because
// their files may have changed since the login.
func (c *Client) tokenEndpoint(cred credential) (token.Endpoint, error) {
	e := token.Endpoint{URL: cred.Endpoints.Token, Now: c.Now, Resource: cred.Resource, Local: isLocal(cred.Server), Strict: cred.Settings.Strict}
	var err error
	if e.HTTP, err = c.endpointHTTP(cred.target(), cred.Issuer); err != nil {
		return e, err
	}
	e.Client = token.ClientAuth{ID: cred.Client.ID, Secret: cred.Client.Secret, Method: cred.Client.AuthMethod, Audience: cred.Issuer, Algs: cred.Endpoints.SigningAlgs}
	key := Target{URL: cred.Server, Settings: Settings{ClientKeyFile: cred.Settings.ClientKeyFile, ApprovedFiles: cred.Settings.ApprovedFiles}}
	e.BeforeSend = func(ctx context.Context, form url.Values) (func(), error) {
		return c.bindRequest(ctx, key, cred, LoginOptions{}, form)
	}
	if cred.Client.AuthMethod == keyMethod {
		if e.Client.Key, err = c.loadKey(cred.Settings); err != nil {
			return e, err
		}
	}
	if cred.DPoPKey != nil {
		if e.DPoP, err = c.provers.of(cred); err != nil {
			return e, err
		}
	}
	return e, nil
}

// proverCache caches the prover of the latest DPoP key, because this prover has the latest nonces.
type proverCache struct {
	mu   sync.Mutex
	jwk  []byte
	last *token.Prover
}

func (p *proverCache) of(cred credential) (*token.Prover, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && bytes.Equal(p.jwk, cred.DPoPKey) {
		return p.last, nil
	}
	prover, err := token.LoadProver(cred.DPoPKey, cred.DPoPNonces)
	if err != nil {
		return nil, fmt.Errorf("%w: DPoP key", ErrCredential)
	}
	p.jwk, p.last = bytes.Clone(cred.DPoPKey), prover
	return prover, nil
}

// bindFunc binds the secrets of a request that is about to be sent, see Client.bindRequest. The form is that of the request.
type bindFunc func(ctx context.Context, cred credential, form url.Values) (unsent func(), err error)

// withEitherAuthMethod sends a request of a login, and binds its secrets immediately before. If the server refuses the client,
// withEitherAuthMethod sends the request again with the method that otherMethod returns (RFC 6749 §2.3.1). The second request is needed because
// the metadata lists the methods of the server, but not the method of this client. The credential stores the method that worked. The first
// request does not use up a code, because a server authenticates the client before it looks at the code.
func withEitherAuthMethod[T any](ctx context.Context, c *Client, cred *credential, supported []string, notes *deviationList, bind bindFunc, request func(token.Endpoint) (T, error)) (T, error) {
	e, err := c.tokenEndpoint(*cred)
	if err != nil {
		return *new(T), err
	}
	e.Deviation = notes.add
	bound := false // a device login polls many times, and an error of the store must not end it
	e.BeforeSend = func(ctx context.Context, form url.Values) (func(), error) {
		if bound {
			return func() {}, nil
		}
		unsent, err := bind(ctx, *cred, form)
		bound = err == nil
		return func() { bound = false; unsent() }, err
	}
	result, err := request(e)
	other := otherMethod(cred.Client, supported)
	var refused *token.Error
	if e.Strict || other == "" || !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return result, err
	}
	e.Client.Method = other
	result, second := request(e)
	if errors.As(second, &refused) && refused.Code == "invalid_client" {
		return result, err // both methods were refused, so the client is unknown or the secret is wrong
	}
	if second == nil {
		cred.Client.AuthMethod = other
		notes.add("other_auth_method")
	}
	return result, second
}

// otherMethod returns the authentication method to try if the first one is refused, or "" if there is none. For a pre-registered client,
// otherMethod replaces client_secret_basic by client_secret_post, or client_secret_post by client_secret_basic. If the registration
// response contained a secret but no method, otherMethod returns client_secret_basic (the default of RFC 7591 §2).
func otherMethod(c dcr.Client, supported []string) string {
	other := ""
	switch {
	case c.Secret == "":
		return ""
	case c.Kind == dcr.Preregistered:
		other = map[string]string{"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[c.AuthMethod]
	case c.AuthMethod == "none", c.AuthMethod == "client_secret_post" && len(supported) == 0:
		other = "client_secret_basic"
	}
	if len(supported) > 0 && !slices.Contains(supported, other) {
		return ""
	}
	return other
}

// nonInteractiveToken requests tokens with the credential's non-interactive grant. nonInteractiveToken reads the files each time, because
// platforms replace them.
func (c *Client) nonInteractiveToken(ctx context.Context, e token.Endpoint, cred credential, o LoginOptions) (token.Token, error) {
	scope := joinScopes(cred.Scopes)
	switch cred.Grant {
	case GrantClientCredentials:
		return e.ClientCredentials(ctx, scope)
	case GrantJWTBearer:
		assertion, err := c.assertionFor(ctx, cred)
		if err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, scope)
	case GrantEnterprise:
		assertion, err := c.identityAssertion(ctx, cred, o, scope, e.Deviation)
		if err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, scope)
	}
	return token.Token{}, fmt.Errorf("grant %q: %w", cred.Grant, ErrNoRefreshToken)
}

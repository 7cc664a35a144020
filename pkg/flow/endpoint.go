package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/token"
)

// endpoint returns the token endpoint for the credential's client.
func (c *Client) endpoint(cred Credential) (token.Endpoint, error) {
	e := token.Endpoint{URL: cred.Endpoints.Token, Now: c.Now, Resource: cred.Resource, Local: local(cred.Server), Strict: cred.Settings.Strict}
	var err error
	if e.HTTP, err = c.endpointHTTP(cred.Settings, cred.Issuer, cred.Server); err != nil {
		return e, err
	}
	e.Client = token.ClientAuth{ID: cred.Client.ID, Secret: cred.Client.Secret, Method: cred.Client.AuthMethod, Audience: cred.Issuer, Algs: cred.Endpoints.SigningAlgs}
	if cred.Client.AuthMethod == "private_key_jwt" {
		key, err := c.guardedKey(cred.Settings.ClientKeyFile)
		if err != nil {
			return e, err
		}
		e.Client.Key = key
	}
	if cred.DPoPKey != nil {
		if e.DPoP, err = c.provers.of(cred); err != nil {
			return e, err
		}
		e.RequireDPoP = true
	}
	return e, nil
}

// provers holds the DPoP keys in use. A key is loaded once, so that later requests know its nonces.
type provers struct {
	mu   sync.Mutex
	jwk  []byte
	last *token.Prover
}

func (p *provers) of(cred Credential) (*token.Prover, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && bytes.Equal(p.jwk, cred.DPoPKey) {
		return p.last, nil
	}
	prover, err := token.LoadProver(cred.DPoPKey)
	if err != nil {
		return nil, fmt.Errorf("%w: DPoP key", ErrCredential)
	}
	prover.Recall(cred.DPoPNonces)
	p.jwk, p.last = bytes.Clone(cred.DPoPKey), prover
	return prover, nil
}

// eitherMethod makes a request, and once more with the secret in the other place, header or body, if the server refuses the client by the
// first: the metadata says what the server can do, not what this client was registered for (RFC 6749 §2.3.1). The method that worked is
// stored in the credential. A code is not lost by this: a server knows its client before it looks at the code.
func (c *Client) eitherMethod(cred *Credential, supported []string, notes *notes, request func(token.Endpoint) error) error {
	e, err := c.endpoint(*cred)
	if err != nil {
		return err
	}
	e.Deviation = notes.add
	err = request(e)
	other := otherMethod(cred.Client, supported)
	var refused *token.Error
	if e.Strict || other == "" || !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return err
	}
	e.Client.Method = other
	second := request(e)
	if errors.As(second, &refused) && refused.Code == "invalid_client" {
		return err // the client is unknown, or the secret wrong: it is not the method
	}
	if second == nil {
		cred.Client.AuthMethod = other
		notes.add("other_auth_method")
	}
	return second
}

// otherMethod is the method to try after the first one was refused: for a pre-registered client the other one with a secret; for one that
// registered and got a secret without a word of how to send it, the default of RFC 7591 §2, which package dcr does not guess. Empty: none.
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

// nonInteractiveToken gets tokens by the credential's non-interactive grant. Files are read anew each time: platforms replace them.
func (c *Client) nonInteractiveToken(ctx context.Context, e token.Endpoint, cred Credential) (token.Token, error) {
	scope := joinScopes(cred.Scopes)
	switch cred.Grant {
	case GrantClientCredentials:
		return e.ClientCredentials(ctx, scope)
	case GrantJWTBearer:
		assertion, err := c.assertion(ctx, cred.Settings, cred.Issuer)
		if err != nil {
			return token.Token{}, err
		}
		if err := token.CheckAudience(assertion, cred.Issuer, cred.Endpoints.Token); err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, scope)
	case GrantEnterprise:
		assertion, err := c.identityAssertion(ctx, cred, scope)
		if err != nil {
			return token.Token{}, err
		}
		return e.JWTBearer(ctx, assertion, scope)
	}
	return token.Token{}, fmt.Errorf("grant %q: %w", cred.Grant, ErrNoRefreshToken)
}

// guard asks whether a file may be used for a request. A login reads its files again at each renewal, and they may have changed since.
func (c *Client) guard(file string) error {
	if c.Guard == nil {
		return nil
	}
	return c.Guard(file)
}

func (c *Client) guardedKey(file string) (*token.Key, error) {
	if err := c.guard(file); err != nil {
		return nil, err
	}
	return loadKey(file)
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

// maxSecretFile limits the size of a file with a secret in bytes, because a configuration may name any file, even an endless one.
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

// readSecret reads a file whose content is sent, without the line end that editors and platforms add.
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

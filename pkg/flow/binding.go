package flow

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// secretBindings records which authorization servers have received each secret of the user, in any login (MCP Authorization Server
// Binding). Without this record, a configuration file that names another server could make mcpauth send a secret of the user to that
// server. The record contains salted PBKDF2 hashes of the secrets. A secret has the same hash for every use. For example, mcpauth detects
// that a client secret was first used at an identity provider. With the postgres store, each machine also keeps a copy of the record,
// because another person may be able to delete a row of the database.
type secretBindings struct {
	Salt    string              `json:"salt"`
	Issuers map[string][]string `json:"issuers"`

	store   *keystore.Store
	hashes  *sync.Map // hashes that the client has computed, by salt and secret
	changed bool
}

func bindingsKey() keystore.Key { return keystore.Key{Server: "mcpauth:bindings"} }

const bindingsNote = "bindings"

// hashRounds is the number of PBKDF2 rounds. One guess at a secret takes about 50 ms.
const hashRounds = 200_000

// minPart is the minimum length of a secret part in bytes. A shorter part could be a word that several secrets contain.
const minPart = 8

// userSecret is a secret of the user that authenticates at an authorization server. The recipient is the issuer of the server that would
// receive the secret. If the issuer of an identity provider is unknown, the recipient is the token endpoint.
type userSecret struct{ what, value, recipient string }

// userSecrets returns the secrets and private keys of the user that a login would use, without its assertion.
func (c *Client) userSecrets(ctx context.Context, t Target, issuer string) ([]userSecret, error) {
	var all []userSecret
	if t.ClientSecret != "" {
		all = append(all, userSecret{what: "client secret", value: string(t.ClientSecret), recipient: issuer})
	}
	for _, part := range t.SecretParts {
		if len(part) >= minPart && part != t.ClientSecret {
			all = append(all, userSecret{what: "variable in the client secret", value: string(part), recipient: issuer})
		}
	}
	if t.ClientKeyFile != "" {
		key, err := c.loadKey(t.Settings)
		if err != nil {
			return nil, err
		}
		all = append(all, userSecret{what: "client key", value: key.Thumbprint(), recipient: issuer})
	}
	place := cmp.Or(t.IDP.Issuer, t.IDP.TokenEndpoint)
	if t.IDP.ClientSecret != "" {
		all = append(all, userSecret{what: "client secret at the identity provider", value: string(t.IDP.ClientSecret), recipient: place})
	}
	if t.IDP.IDTokenFile != "" {
		id, err := readIDToken(t.IDP.IDTokenFile)
		if err != nil {
			return nil, err
		}
		all = append(all, userSecret{what: "ID token", value: assertionID(id, "iss", "sub"), recipient: place})
	}
	return all, nil
}

// assertionFor returns an assertion that the credential's authorization server may receive, and the secrets that bind the assertion. The first
// secret is the subject with the audience, because another issuer could name the audience as its token endpoint. If no audience is at or below
// the issuer, the subject alone is the second secret. Otherwise the subject alone is not bound, because a platform may issue an assertion of
// the same subject for each of several issuers.
func (c *Client) assertionFor(ctx context.Context, cred credential) (assertion string, bound []userSecret, err error) {
	if assertion, err = c.unexpiredAssertion(ctx, cred.Settings, cred.Issuer); err != nil {
		return "", nil, err
	}
	if err := token.CheckAudience(assertion, cred.Issuer, cred.Endpoints.Token, cred.isIssuerNamed()); err != nil {
		return "", nil, err
	}
	if cred.Settings.Assertion == fromActions {
		return assertion, nil, nil
	}
	bound = []userSecret{{what: "assertion", value: assertionID(assertion, "iss", "sub", "aud"), recipient: cred.Issuer}}
	if !token.NamesIssuer(assertion, cred.Issuer) {
		bound = append(bound, userSecret{what: "assertion", value: assertionID(assertion, "iss", "sub"), recipient: cred.Issuer})
	}
	return assertion, bound, nil
}

// assertionID identifies an assertion by some of its claims, because platforms replace assertions every few minutes. The argument must be a
// JWT.
func assertionID(assertion string, claims ...string) string {
	c, _ := token.Claims(assertion)
	var values []json.RawMessage
	for _, name := range claims {
		values = append(values, c[name])
	}
	id, _ := json.Marshal(values)
	return string(id)
}

// bindSecrets returns an error if this login would send a secret to another server than earlier logins. If o.AcceptNewIssuer is true, any
// other server is allowed. If o.IssuerGiven is true, another authorization server is allowed, but not another identity provider. Otherwise,
// if record is true, bindSecrets records which server receives each secret. A login records the servers immediately before its first request
// with a secret: a login that fails earlier binds nothing, and of two logins at the same time, only one can send the secret.
func (c *Client) bindSecrets(ctx context.Context, t Target, issuer string, o LoginOptions, record bool) error {
	secrets, err := c.userSecrets(ctx, t, issuer)
	if err != nil {
		return err
	}
	return c.bindEach(ctx, t.URL, issuer, secrets, o, record)
}

// bindLogin binds the secrets of a login, immediately before a request that may contain them. cred is the new credential without its tokens.
func (c *Client) bindLogin(ctx context.Context, t Target, cred credential, o LoginOptions) error {
	secrets, err := c.userSecrets(ctx, t.forClient(cred.Client), cred.Issuer)
	if err != nil {
		return err
	}
	if cred.Grant == GrantJWTBearer && cred.Settings.Assertion != fromActions { // a GitHub Actions token is only valid for its audience, the issuer
		_, bound, err := c.assertionFor(ctx, cred)
		if err != nil {
			return stage("token request", err)
		}
		secrets = append(secrets, bound...)
	}
	return c.bindEach(ctx, t.URL, cred.Issuer, secrets, o, true)
}

// bindKey binds the client key of a credential. The key's file may have changed since the login.
func (c *Client) bindKey(ctx context.Context, cred credential) error {
	key := Settings{ClientKeyFile: cred.Settings.ClientKeyFile, ApprovedFiles: cred.Settings.ApprovedFiles}
	return c.bindSecrets(ctx, Target{URL: cred.Server, Settings: key}, cred.Issuer, LoginOptions{}, true)
}

// forClient returns the target without a client key if the requests of the client do not use the key. A key that is not sent is not bound.
func (t Target) forClient(client dcr.Client) Target {
	if client.AuthMethod != keyMethod {
		t.ClientKeyFile = ""
	}
	return t
}

// bindEach is bindSecrets for the given secrets. It takes the lock only if it has to record a server.
func (c *Client) bindEach(ctx context.Context, server, issuer string, secrets []userSecret, o LoginOptions, record bool) error {
	if len(secrets) == 0 {
		return nil
	}
	bind := func() ([]*secretBindings, error) {
		all, err := c.loadBindings(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range secrets {
			for _, b := range all {
				if err := context.Cause(ctx); err != nil {
					return nil, err
				}
				if err := b.bindSecret(s, o.AcceptNewIssuer || o.IssuerGiven && s.recipient == issuer); err != nil {
					return nil, fmt.Errorf("%s: %w", server, err)
				}
			}
		}
		return slices.DeleteFunc(all, func(b *secretBindings) bool { return !b.changed }), nil
	}
	changed, err := bind()
	if err != nil || !record || len(changed) == 0 {
		return err
	}
	unlock, err := c.Store.Lock(ctx, bindingsKey(), bindingsNote)
	if err != nil {
		return err
	}
	defer unlock()
	if changed, err = bind(); err != nil { // another process may have recorded a server in the meantime
		return err
	}
	for _, b := range changed {
		if err := b.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) loadBindings(ctx context.Context) ([]*secretBindings, error) {
	stores := []*keystore.Store{c.Store}
	if local := c.Store.Local(); local != c.Store {
		stores = append(stores, local)
	}
	var all []*secretBindings
	for _, store := range stores {
		b := &secretBindings{store: store, hashes: &c.bindingHashes}
		data, err := store.ReadNote(ctx, bindingsKey(), bindingsNote)
		switch {
		case errors.Is(err, keystore.ErrNotFound):
			b.Salt, b.Issuers = rand.Text(), map[string][]string{}
		case err != nil:
			return nil, err
		case json.Unmarshal(data, b) != nil || b.Salt == "" || b.Issuers == nil:
			return nil, store.DamagedNote(bindingsKey(), bindingsNote)
		}
		all = append(all, b)
	}
	return all, nil
}

// bindSecret records that a server receives a secret. If allowOther is false and only other servers have received the secret, bindSecret
// returns an error.
func (b *secretBindings) bindSecret(s userSecret, allowOther bool) error {
	hash, err := b.hash(s.value)
	if err != nil {
		return err
	}
	known := b.Issuers[hash]
	if slices.ContainsFunc(known, func(issuer string) bool { return discovery.SameIssuer(issuer, s.recipient) }) {
		return nil
	}
	if len(known) > 0 && !allowOther {
		return fmt.Errorf("%w: the %s was first used with %q, but would now go to %q (MCP Authorization Server Binding)", ErrIssuerChanged, s.what, known[0], s.recipient)
	}
	b.Issuers[hash], b.changed = mergeLists(known, []string{s.recipient}), true
	return nil
}

func (b *secretBindings) save(ctx context.Context) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return b.store.Note(ctx, bindingsKey(), bindingsNote, data)
}

func (b *secretBindings) hash(value string) (string, error) {
	if known, ok := b.hashes.Load(b.Salt + value); ok {
		return known.(string), nil
	}
	sum, err := pbkdf2.Key(sha256.New, value, []byte(b.Salt), hashRounds, 16)
	if err != nil {
		return "", err
	}
	b.hashes.Store(b.Salt+value, hex.EncodeToString(sum))
	return hex.EncodeToString(sum), nil
}

// checkSameIssuer returns an error if a pre-registered client was last used at another authorization server (MCP client registration,
// Authorization Server Binding). The user can accept the change. For registered clients, dcr.Resolve enforces the same rule.
func checkSameIssuer(d loginDraft) error {
	client, issuer := d.old.Client, d.found.Server.Issuer
	if client.Kind != dcr.Preregistered || client.Issuer == "" || discovery.SameIssuer(client.Issuer, issuer) || d.t.ClientID != client.ID || d.o.AcceptNewIssuer || d.o.IssuerGiven {
		return nil
	}
	return fmt.Errorf("%s: %w: it was %q at the last login and is now %q; client %q was registered with the old one (MCP Authorization Server Binding)",
		d.t.URL, ErrIssuerChanged, client.Issuer, issuer, client.ID)
}

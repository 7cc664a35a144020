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
	"net/url"
	"slices"
	"sync"

	"mcpauth/internal/task"
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
//
// A request binds its secrets before it is sent, and takes back its new bindings if it certainly was not sent. A new binding is also in New.
// The next request that relies on the binding removes it from New, and nobody takes it back any more.
type secretBindings struct {
	Salt    string              `json:"salt"`
	Issuers map[string][]string `json:"issuers"`
	New     map[string]string   `json:"new,omitempty"` // newest issuer of a secret, if only the request that bound it relies on it

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

// assertionFor returns an assertion that the credential's authorization server may receive.
func (c *Client) assertionFor(ctx context.Context, cred credential) (string, error) {
	assertion, err := c.unexpiredAssertion(ctx, cred.Settings, cred.Issuer)
	if err != nil {
		return "", err
	}
	return assertion, token.CheckAudience(assertion, cred.Issuer, cred.Endpoints.Token, cred.isIssuerNamed())
}

// assertionSecrets returns the secrets that bind the assertion in a request. The first secret is the subject with the audience, because another
// issuer could name the audience as its token endpoint. If no audience is at or below the issuer, the subject alone is the second secret.
// Otherwise the subject alone is not bound, because a platform may issue an assertion of the same subject for each of several issuers. A GitHub
// Actions token is not bound, because it is only valid for its audience, the issuer.
func (c credential) assertionSecrets(assertion string) []userSecret {
	if assertion == "" || c.Grant != GrantJWTBearer || c.Settings.Assertion == fromActions {
		return nil
	}
	bound := []userSecret{{what: "assertion", value: assertionID(assertion, "iss", "sub", "aud"), recipient: c.Issuer}}
	if !token.NamesIssuer(assertion, c.Issuer) {
		bound = append(bound, userSecret{what: "assertion", value: assertionID(assertion, "iss", "sub"), recipient: c.Issuer})
	}
	return bound
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
// if record is true, bindSecrets records which server receives each secret, immediately before a request with a secret: a login that fails
// earlier binds nothing, and of two logins at the same time, only one can send the secret. If the request was not sent, call unsent.
func (c *Client) bindSecrets(ctx context.Context, t Target, issuer string, o LoginOptions, record bool) (unsent func(), err error) {
	secrets, err := c.userSecrets(ctx, t, issuer)
	if err != nil {
		return nil, err
	}
	return c.bindEach(ctx, t.URL, issuer, secrets, o, record)
}

// bindRequest binds the secrets of a request with this form to the authorization server of a credential.
func (c *Client) bindRequest(ctx context.Context, t Target, cred credential, o LoginOptions, form url.Values) (unsent func(), err error) {
	secrets, err := c.userSecrets(ctx, t.forClient(cred.Client), cred.Issuer)
	if err != nil {
		return nil, err
	}
	return c.bindEach(ctx, t.URL, cred.Issuer, append(secrets, cred.assertionSecrets(form.Get("assertion"))...), o, true)
}

// forClient returns the target with only the secrets that the requests of the client contain. A key that is not sent is not bound.
func (t Target) forClient(client dcr.Client) Target {
	t.IDP = IDP{}
	if client.AuthMethod != keyMethod {
		t.ClientKeyFile = ""
	}
	return t
}

// bindEach is bindSecrets for the given secrets. It takes the lock only if it has to record a server.
func (c *Client) bindEach(ctx context.Context, server, issuer string, secrets []userSecret, o LoginOptions, record bool) (unsent func(), err error) {
	unsent = func() {}
	if len(secrets) == 0 {
		return unsent, nil
	}
	bind := func(b *secretBindings, s userSecret) error {
		if err := b.bindSecret(s, o.AcceptNewIssuer || o.IssuerGiven && s.recipient == issuer); err != nil {
			return fmt.Errorf("%s: %w", server, err)
		}
		return nil
	}
	changed, err := c.changeBindings(ctx, secrets, bind)
	if err != nil || !record || len(changed) == 0 {
		return unsent, err
	}
	return func() {
		ctx, cancel := task.Outlive(ctx, storeLimit, storeLimit)
		defer cancel()
		if err := c.saveBindings(ctx, secrets, (*secretBindings).takeBack); err != nil {
			c.warn(fmt.Sprintf("%s: a secret was not sent, but it stays bound: %v", server, err))
		}
	}, c.saveBindings(ctx, secrets, bind) // another process may have recorded a server in the meantime
}

// changeBindings calls change for each secret and each record, and returns the changed records.
func (c *Client) changeBindings(ctx context.Context, secrets []userSecret, change func(*secretBindings, userSecret) error) ([]*secretBindings, error) {
	all, err := c.loadBindings(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range secrets {
		for _, b := range all {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			if err := change(b, s); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(all, func(b *secretBindings) bool { return !b.changed }), nil
}

// saveBindings calls changeBindings under the lock, and saves the changed records.
func (c *Client) saveBindings(ctx context.Context, secrets []userSecret, change func(*secretBindings, userSecret) error) error {
	unlock, err := c.Store.Lock(ctx, bindingsKey(), bindingsNote)
	if err != nil {
		return err
	}
	defer unlock()
	changed, err := c.changeBindings(ctx, secrets, change)
	for _, b := range changed {
		if err := b.save(ctx); err != nil {
			return err
		}
	}
	return err
}

func (c *Client) loadBindings(ctx context.Context) ([]*secretBindings, error) {
	stores := []*keystore.Store{c.Store}
	if local := c.Store.Local(); local != c.Store {
		stores = append(stores, local)
	}
	var all []*secretBindings
	for _, store := range stores {
		b := &secretBindings{New: map[string]string{}, store: store, hashes: &c.bindingHashes}
		data, err := store.ReadNote(ctx, bindingsKey(), bindingsNote)
		switch {
		case errors.Is(err, keystore.ErrNotFound):
			b.Salt, b.Issuers = rand.Text(), map[string][]string{}
		case err != nil:
			return nil, err
		case json.Unmarshal(data, b) != nil || b.Salt == "" || b.Issuers == nil || b.New == nil:
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
	if i := slices.IndexFunc(known, func(issuer string) bool { return discovery.SameIssuer(issuer, s.recipient) }); i >= 0 {
		if b.New[hash] == known[i] {
			delete(b.New, hash) // now two requests rely on the binding
			b.changed = true
		}
		return nil
	}
	if len(known) > 0 && !allowOther {
		return fmt.Errorf("%w: the %s was first used with %q, but would now go to %q (MCP Authorization Server Binding)", ErrIssuerChanged, s.what, known[0], s.recipient)
	}
	b.Issuers[hash], b.New[hash], b.changed = mergeLists(known, []string{s.recipient}), s.recipient, true
	return nil
}

// takeBack removes the binding of a request that was not sent, unless another request relies on it.
func (b *secretBindings) takeBack(s userSecret) error {
	hash, err := b.hash(s.value)
	if err != nil || b.New[hash] != s.recipient {
		return err
	}
	delete(b.New, hash)
	b.Issuers[hash] = slices.DeleteFunc(b.Issuers[hash], func(issuer string) bool { return issuer == s.recipient })
	if b.changed = true; len(b.Issuers[hash]) == 0 {
		delete(b.Issuers, hash)
	}
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

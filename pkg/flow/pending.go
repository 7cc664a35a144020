// This file is the login in two processes: one prints the address to open and ends; another, even hours later, is given the address the
// browser ended on. What must survive in between is kept in the store: verifier, state, expected issuer, client.

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"mcpauth/pkg/callback"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/pkce"
	"mcpauth/pkg/token"
)

// pendingFor is how long a pending login can be finished.
const pendingFor = time.Hour

// What the index says of a pending login.
const (
	kindPending = "pending" // it waits for its answer
	kindSpent   = "spent"   // its answer was used
)

// pendingPrefix tells the profile of a pending login's record from those of credentials.
const pendingPrefix = "\x00pending:"

// pending is a login that waits for its answer. Verifier is kept as a plain string because pkce.Verifier hides itself.
type pending struct {
	Credential  Credential `json:"credential"` // all that the login knows but the tokens
	Verifier    string     `json:"verifier"`
	State       string     `json:"state"`
	RedirectURI string     `json:"redirect_uri"`
	IssRequired bool       `json:"iss_required,omitempty"`
	AuthMethods []string   `json:"auth_methods,omitempty"` // of the metadata
	Began       time.Time  `json:"began"`

	Spent   time.Time `json:"spent,omitzero"` // when its answer was used; then nothing secret is left in the record
	SpentBy int       `json:"spent_by,omitempty"`
}

// String names the pending login without its secrets.
func (p pending) String() string { return "pending login at " + p.Credential.Server }

// GoString is String.
func (p pending) GoString() string { return p.String() }

// Pending begins a login and returns the address to open. Finish ends it, within an hour, in this or any other process.
func (c *Client) Pending(ctx context.Context, t Target, o LoginOptions) (string, error) {
	cred, err := c.loadOrNew(ctx, t)
	if err != nil {
		return "", err
	}
	t, o = again(t, o, cred)
	if err := checkTarget(t); err != nil {
		return "", err
	}
	if t.grant() != GrantCode {
		return "", fmt.Errorf("%w: only the grant %s has an address to open", ErrOptions, GrantCode)
	}
	if err := c.Store.Writable(ctx, t.key()); err != nil {
		return "", err
	}
	c.sweepPending(ctx, t)
	a := &attempt{c: c, t: t, o: o, cred: cred, began: c.now()}
	if err := a.discover(ctx); err != nil {
		return "", err
	}
	a.describe()
	if err := feasible(a.t, a.found); err != nil {
		return "", err
	}
	redirectURI, err := a.freeRedirectURI(ctx)
	if err != nil {
		return "", stage("callback", err)
	}
	if err := a.resolve(ctx, redirectURI); err != nil {
		return "", err
	}
	if _, err := a.bound(); err != nil {
		return "", err
	}
	verifier, state := pkce.New(), pkce.State()
	address, err := a.authorizationURL(redirectURI, verifier, state)
	if err != nil {
		return "", err
	}
	return address, c.keepPending(ctx, t, state, pending{Credential: a.cred, Verifier: string(verifier), State: state, RedirectURI: redirectURI,
		IssRequired: a.found.Server.AuthorizationResponseIssParameterSupported, AuthMethods: a.found.Server.TokenEndpointAuthMethodsSupported, Began: a.began})
}

// freeRedirectURI names a callback that nobody listens on: the browser ends there with an address to be copied.
func (a *attempt) freeRedirectURI(ctx context.Context) (string, error) {
	l, err := a.listen(ctx)
	if err != nil {
		return "", err
	}
	return l.RedirectURI(), l.Close()
}

// Finish ends a pending login with the address that the browser ended on, or the query of it.
func (c *Client) Finish(ctx context.Context, t Target, answer string) (Status, error) {
	state, err := stateOf(answer)
	if err != nil {
		return none(t), stage("authorization", err)
	}
	_, _, err = c.once(ctx, "", loginLimit, func(k *task) (Credential, error) { return Credential{}, c.finishAlone(k, t, state, answer) })
	if err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

// finishAlone redeems the answer, unless that was done before, or a login that began later has been stored meanwhile: the newer one is what
// the user wants. The pending login is marked as spent before its code is sent: strict servers revoke what a code gave when they see it
// again.
func (c *Client) finishAlone(k *task, t Target, state, answer string) error {
	ctx := k.ctx
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockLogin)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := c.loadOrNew(ctx, t)
	if err != nil {
		return err
	}
	p, err := c.loadPending(ctx, t, state)
	switch {
	case err != nil:
		return err
	case !p.Spent.IsZero():
		return p.alreadySpent(t, old)
	case old.LoginAt.After(p.Began):
		return fmt.Errorf("%s: %w: a newer login has replaced it", t.URL, ErrNoPending)
	}
	code, err := callback.Parse(answer, callback.Expect{State: p.State, Issuer: p.Credential.Issuer, IssRequired: p.IssRequired})
	if err != nil {
		return stage("authorization", err)
	}
	a := &attempt{c: c, k: k, t: t, old: old, cred: p.Credential, began: p.Began, found: &discovery.Result{}}
	a.found.Server.TokenEndpointAuthMethodsSupported = p.AuthMethods
	e, err := a.endpoint()
	if err != nil {
		return err
	}
	if err := c.keepPending(ctx, t, state, pending{Began: p.Began, Spent: c.now(), SpentBy: os.Getpid()}); err != nil {
		return err
	}
	err = a.redeem("token exchange", func(ctx context.Context) (token.Token, error) {
		return a.byEitherMethod(e, func(e token.Endpoint) (token.Token, error) { return e.Code(ctx, code, p.Verifier, p.RedirectURI) })
	})
	if err != nil && unsent(err) {
		ctx, cancel := k.store()
		defer cancel()
		return errors.Join(err, c.keepPending(ctx, t, state, p))
	}
	return err
}

// unsent reports whether a token request failed before the server can have seen it.
func unsent(err error) bool {
	var request *StageError
	var refused *token.Error
	return errors.As(err, &request) && !token.Ambiguous(err) && !errors.As(err, &refused)
}

// alreadySpent says what became of a pending login whose answer has been used.
func (p pending) alreadySpent(t Target, stored Credential) error {
	came := "no login came of it: begin a new one"
	if stored.hasToken() && stored.LoginAt.Equal(p.Began) {
		came = "the login that came of it is stored"
	}
	return fmt.Errorf("%s: %w: process %d has used this answer at %s, and %s", t.URL, ErrNoPending, p.SpentBy, p.Spent.UTC().Format(time.RFC3339), came)
}

// loadPending reads a pending login that can still be finished.
func (c *Client) loadPending(ctx context.Context, t Target, state string) (pending, error) {
	r, err := c.Store.Get(ctx, pendingKey(t, state))
	if errors.Is(err, keystore.ErrNotFound) {
		return pending{}, fmt.Errorf("%s: %w: begun on another machine, or older than %s", t.URL, ErrNoPending, pendingFor)
	}
	if err != nil {
		return pending{}, err
	}
	var p pending
	if err := json.Unmarshal(r.Secret, &p); err != nil {
		return pending{}, fmt.Errorf("%w: pending login", ErrCredential)
	}
	if c.now().Sub(p.Began) > pendingFor {
		return pending{}, errors.Join(fmt.Errorf("%s: %w: it is older than %s", t.URL, ErrNoPending, pendingFor), c.Store.Delete(ctx, pendingKey(t, state)))
	}
	return p, nil
}

// keepPending stores a pending login under its state, so that several can wait side by side.
func (c *Client) keepPending(ctx context.Context, t Target, state string, p pending) error {
	p.Credential.Token, p.Credential.NextClient = Credential{}.Token, nil
	secret, err := json.Marshal(p)
	if err != nil {
		return err
	}
	kind := kindPending
	if !p.Spent.IsZero() {
		kind = kindSpent
	}
	pub, err := json.Marshal(public{Kind: kind, Name: t.Profile, ObtainedAt: p.Began})
	if err != nil {
		return err
	}
	_, err = c.Store.Put(ctx, pendingKey(t, state), keystore.Record{Secret: secret, Public: pub})
	return err
}

// sweepPending deletes the pending logins of this server that nobody can finish any more.
func (c *Client) sweepPending(ctx context.Context, t Target) {
	entries, _ := c.Store.List(ctx)
	for _, e := range entries {
		var p public
		if e.Key.Server == t.URL && json.Unmarshal(e.Public, &p) == nil && p.Kind != "" && c.now().Sub(p.ObtainedAt) > pendingFor {
			_ = c.Store.Delete(ctx, e.Key)
		}
	}
}

// pendingKey names the record by a fingerprint: the state itself is as good as the answer to a thief.
func pendingKey(t Target, state string) keystore.Key {
	return keystore.Key{Server: t.URL, Profile: t.Profile + pendingPrefix + fingerprint(state)}
}

// stateOf finds the state in an answer before anything of it is believed.
func stateOf(answer string) (string, error) {
	answer = strings.TrimSpace(answer)
	if _, query, ok := strings.Cut(answer, "?"); ok {
		answer = query
	}
	answer, _, _ = strings.Cut(answer, "#") // some servers end the address in #_=_
	query, err := url.ParseQuery(answer)
	if err != nil || query.Get("state") == "" {
		return "", fmt.Errorf("%w: paste the whole address that the browser ended on; it holds code and state", callback.ErrBareCode)
	}
	return query.Get("state"), nil
}

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/task"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// pendingLifetime is the time after which a pending login can no longer be finished.
const pendingLifetime = time.Hour

// pendingPrefix separates the profile from the fingerprint of the state in the key of a pending login.
const pendingPrefix = "\x00pending:"

// The kinds of index entries for pending logins.
const (
	kindPending = "pending" // the login waits for its response
	kindSpent   = "spent"   // the response was used
)

// pendingLogin is a login that waits for its response. A pending login is stored, because one process prints the authorization URL and
// another process receives the response.
type pendingLogin struct {
	Credential  credential `json:"credential"` // the new credential without its tokens
	Verifier    Secret     `json:"verifier"`
	State       Secret     `json:"state"`
	RedirectURI string     `json:"redirect_uri"`
	IssRequired bool       `json:"iss_required,omitempty"`
	AuthMethods []string   `json:"auth_methods,omitempty"` // client authentication methods that the metadata lists
	Began       time.Time  `json:"began"`
	Replaces    time.Time  `json:"replaces,omitzero"` // LoginAt of the login that was stored when this login began; zero: none was stored

	Flags           Settings `json:"flags,omitzero"`              // Target.Flags of the command that began the login
	SecretParts     []Secret `json:"secret_parts,omitempty"`      // Settings.SecretParts, which Credential does not store
	AcceptNewIssuer bool     `json:"accept_new_issuer,omitempty"` // see LoginOptions
	IssuerGiven     bool     `json:"issuer_given,omitempty"`      // see LoginOptions
	OfProject       bool     `json:"of_project,omitempty"`        // Credential has settings of a project's file

	Spent   time.Time `json:"spent,omitzero"` // when the response was used; the record then contains no secret
	SpentBy int       `json:"spent_by,omitempty"`
}

// Pending starts a login and returns the authorization URL. Any process can complete the login with Finish within an hour.
func (c *Client) Pending(ctx context.Context, t Target, o LoginOptions) (string, error) {
	old, err := c.completeSettings(ctx, &t, o, loginReason{})
	if err != nil {
		return "", err
	}
	if t.grantOrDefault() != GrantCode {
		return "", fmt.Errorf("%w: only a login with the grant %s can be finished later", ErrOptions, GrantCode)
	}
	if err := c.Store.Writable(ctx, t.key()); err != nil {
		return "", err
	}
	_ = c.forgetPending(ctx, t, false) // the error is ignored, because the new login does not depend on this clean-up
	d, err := c.prepareLogin(ctx, t, o, old, loginReason{})
	if err != nil {
		return "", err
	}
	l, err := c.startListener(ctx, d) // only to choose a port: the browser ends on an error page, and the user copies the URL of that page
	if err != nil {
		return "", stage("callback", err)
	}
	if err := l.Close(); err != nil {
		return "", stage("callback", err)
	}
	r, err := c.prepareAuthorization(ctx, d, l.RedirectURI(), true)
	if err != nil {
		return "", err
	}
	r.cred.Deviations = mergeLists(r.cred.Deviations, d.notes.codes)
	return r.address, c.storePending(ctx, t, r.state, pendingLogin{Credential: r.cred, Verifier: Secret(r.verifier), State: Secret(r.state), RedirectURI: l.RedirectURI(),
		IssRequired: d.found.Server.AuthorizationResponseIssParameterSupported, AuthMethods: d.found.Server.TokenEndpointAuthMethodsSupported, Began: d.began, Replaces: d.old.LoginAt,
		Flags: t.Flags, SecretParts: t.SecretParts, AcceptNewIssuer: o.AcceptNewIssuer, IssuerGiven: o.IssuerGiven,
		OfProject: t.IfStored != nil})
}

// Finish completes a login that Pending started. answer is the callback URL from the browser's address bar, or only the URL's query. The login
// has the settings that were given to Pending. If t names a setting that the pending login does not have, the error is ErrOtherSettings.
func (c *Client) Finish(ctx context.Context, t Target, answer string) (Status, error) {
	state, err := stateOf(answer)
	if err != nil {
		return none(t), stage("authorization", err)
	}
	if _, _, err := c.jobs.Once(ctx, "", loginLimit, func(k *job) (credential, error) { return c.finishAlone(k, t, state, answer) }); err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

// finishAlone redeems the code in a pasted answer. finishAlone returns an error if the response was used before, or if a newer login is
// stored. Before finishAlone sends the code, it marks the pending login as spent. A strict server that receives a code twice revokes the
// tokens. If the database ends the connection that holds LockLogin, another machine can read the same pending login. Therefore finishAlone
// reads it again while requestTokens holds LockCredential: a reservation keeps other machines out even after the connection has ended.
func (c *Client) finishAlone(k *job, t Target, state, answer string) (credential, error) {
	ctx := k.Context
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockLogin)
	if err != nil {
		return credential{}, err
	}
	defer unlock()
	p, err := c.loadUnspent(ctx, t, state)
	if err != nil {
		return credential{}, err
	}
	code, err := callback.Parse(answer, callback.Expect{State: string(p.State), Issuer: p.Credential.Issuer, IssRequired: p.IssRequired, Clean: c.LoginSecrets(t).Clean})
	if err != nil {
		return credential{}, stage("authorization", err)
	}
	bound, o := p.Credential.target(), LoginOptions{AcceptNewIssuer: p.AcceptNewIssuer, IssuerGiven: p.IssuerGiven}
	bound.SecretParts = p.SecretParts
	cred, err := c.requestTokens(k, tokenRequest{t: t, cred: p.Credential, methods: p.AuthMethods, notes: &deviationList{}, stage: "token exchange", limit: redeemLimit, keep: c.storeLogin,
		bind: func(ctx context.Context, cred credential, form url.Values) (func(), error) {
			return c.bindRequest(ctx, bound, cred, o, form)
		},
		ready: func(ctx context.Context) error {
			_, err := c.loadUnspent(ctx, t, state)
			return err
		},
		request: func(ctx context.Context, e token.Endpoint) (token.Token, error) {
			if err := c.storePending(ctx, t, state, pendingLogin{Began: p.Began, Spent: c.now(), SpentBy: os.Getpid()}); err != nil {
				return token.Token{}, err
			}
			return e.Code(ctx, code, string(p.Verifier), p.RedirectURI)
		}})
	if err == nil || !isCodeUnsent(err) {
		return cred, err
	}
	ctx, cancel := task.Outlive(k.Context, storeLimit, storeLimit)
	defer cancel()
	return cred, errors.Join(err, c.storePending(ctx, t, state, p))
}

// loadUnspent reads a pending login whose response was not used yet. If a newer or stronger login is stored, or if the pending login has other
// settings than the target, loadUnspent returns an error.
func (c *Client) loadUnspent(ctx context.Context, t Target, state string) (pendingLogin, error) {
	old, err := c.loadOrNew(ctx, t)
	if err != nil {
		return pendingLogin{}, err
	}
	p, err := c.loadPending(ctx, t, state)
	switch {
	case err != nil:
		return pendingLogin{}, err
	case !p.Spent.IsZero():
		return pendingLogin{}, p.spentError(t, old)
	case old.LoginAt.After(p.Began) && !old.LoginAt.Equal(p.Replaces): // if the clock was set back, the replaced login can seem to be newer
		return pendingLogin{}, fmt.Errorf("%s: %w: a newer login has replaced it", t.URL, ErrNoPending)
	}
	// A login that was stored in the meantime may be stronger, and a project's file never changes it.
	weaker := old.DPoPKey != nil && p.Credential.DPoPKey == nil && p.Credential.Settings.DPoP != DPoPNever || old.Settings.Strict && !p.Credential.Settings.Strict
	if old.Grant != "" && !old.LoginAt.Equal(p.Replaces) && (weaker || p.OfProject || t.IfStored != nil) {
		return pendingLogin{}, fmt.Errorf("%s: %w: another login has been stored since", t.URL, ErrNoPending)
	}
	return p, p.checkSettings(t)
}

// checkSettings returns an error if the target of Finish names a setting that the pending login does not have. Otherwise Finish would ignore a
// setting such as ExpectAccount or Strict, and store a login that the user did not want.
func (p pendingLogin) checkSettings(t Target) error {
	given := t.ownSettings().Without(p.Flags)
	if p.Flags.namesClient() { // a configuration of another client does not count
		given.ClientID, given.ClientSecret, given.ClientMetadataURL, given.ClientKeyFile = "", "", "", ""
	}
	given, pending := given.With(t.Flags), p.Credential.Settings
	pending.Grant = pending.grantOrDefault()
	name, own, other := pending.Difference(given)
	switch {
	case given.DPoP == DPoPAuto && pending.DPoP == DPoPNever:
		name, own, other = "dpop", pending.DPoP, given.DPoP
	case name == "dpop" && given.DPoP == DPoPAuto: // DPoPAlways is stronger than DPoPAuto
		given.DPoP = ""
		name, own, other = pending.Difference(given)
	}
	if name == "" && len(given.Scopes) > 0 && len(missingScopes(pending.Scopes, given.Scopes)) > 0 {
		name, own, other = "scopes", pending.Scopes, given.Scopes
	}
	if name == "" {
		return nil
	}
	return fmt.Errorf("%s: %w: %s is %q there, and %q in this command; the code was not sent", t.URL, ErrOtherSettings, strings.ReplaceAll(name, "_", " "),
		fmt.Sprint(own), fmt.Sprint(other)) // fmt prints no secret
}

// isCodeUnsent reports whether the server certainly did not receive the code.
func isCodeUnsent(err error) bool {
	var request *StageError
	var refused *token.Error
	return errors.As(err, &request) && !token.Ambiguous(err) && !errors.As(err, &refused)
}

// spentError returns the error for a pending login whose response was already used.
func (p pendingLogin) spentError(t Target, stored credential) error {
	came := "the login failed: start a new one"
	if stored.hasToken() && stored.LoginAt.Equal(p.Began) {
		came = "the login succeeded"
	}
	return fmt.Errorf("%s: %w: process %d used this answer at %s, and %s", t.URL, ErrNoPending, p.SpentBy, p.Spent.UTC().Format(time.RFC3339), came)
}

// loadPending reads a pending login. If the login can no longer be finished, the error is ErrNoPending.
func (c *Client) loadPending(ctx context.Context, t Target, state string) (pendingLogin, error) {
	r, err := c.Store.Get(ctx, pendingKey(t, state))
	if errors.Is(err, keystore.ErrNotFound) {
		return pendingLogin{}, fmt.Errorf("%s: %w: the login began on another machine, began more than %s ago, or its own command waited for the browser", t.URL, ErrNoPending, pendingLifetime)
	}
	if err != nil {
		return pendingLogin{}, err
	}
	var p pendingLogin
	if err := json.Unmarshal(r.Secret, &p); err != nil {
		return pendingLogin{}, fmt.Errorf("%w: pending login", ErrCredential)
	}
	if c.now().Sub(p.Began) > pendingLifetime {
		return pendingLogin{}, errors.Join(fmt.Errorf("%s: %w: it is older than %s", t.URL, ErrNoPending, pendingLifetime), c.Store.Delete(ctx, pendingKey(t, state)))
	}
	return p, nil
}

// storePending stores a pending login. The state is part of its key, so that several pending logins can exist at the same time. Pending and
// Finish never write the same pending login at the same time: Pending chooses a new state, and Finish holds the locks of the server's login.
func (c *Client) storePending(ctx context.Context, t Target, state string, p pendingLogin) error {
	secret, err := json.Marshal(p)
	if err != nil {
		return err
	}
	kind := kindPending
	if !p.Spent.IsZero() {
		kind = kindSpent
	}
	pub, err := json.Marshal(publicRecord{Kind: kind, Name: t.Profile, ObtainedAt: p.Began})
	if err != nil {
		return err
	}
	_, err = c.Store.Put(ctx, pendingKey(t, state), keystore.Record{Secret: secret, Public: pub})
	return err
}

// listPending returns the entries of all pending logins of this server and profile, including spent ones.
func (c *Client) listPending(ctx context.Context, t Target) ([]keystore.Entry, error) {
	entries, err := c.Store.List(ctx)
	var all []keystore.Entry
	for _, e := range entries {
		if kindOf(e) != "" && targetOf(e).key() == t.key() {
			all = append(all, e)
		}
	}
	return all, err
}

// HasPending reports whether a pending login of this server and profile can still be finished.
func (c *Client) HasPending(ctx context.Context, t Target) bool {
	entries, err := c.listPending(ctx, t)
	return err != nil || slices.ContainsFunc(entries, func(e keystore.Entry) bool { return kindOf(e) == kindPending && !c.isOverdue(e) })
}

// isOverdue reports whether a pending login can no longer be finished.
func (c *Client) isOverdue(e keystore.Entry) bool {
	var p publicRecord
	return json.Unmarshal(e.Public, &p) == nil && c.now().Sub(p.ObtainedAt) > pendingLifetime
}

// forgetPending deletes the pending logins of this server and profile. If all is false, forgetPending deletes only overdue logins.
func (c *Client) forgetPending(ctx context.Context, t Target, all bool) error {
	entries, err := c.listPending(ctx, t)
	if errors.Is(err, keystore.ErrCorrupt) {
		err = nil // the damaged entry is about another server, so it is ignored
	}
	for _, e := range entries {
		if all || c.isOverdue(e) {
			err = errors.Join(err, c.Store.Delete(ctx, e.Key))
		}
	}
	return err
}

// isPending reports whether a pasted answer belongs to an unfinished login that Pending started.
func (c *Client) isPending(ctx context.Context, t Target, answer string) bool {
	state, err := stateOf(answer)
	if err != nil {
		return false
	}
	e, err := c.Store.Entry(ctx, pendingKey(t, state))
	return !errors.Is(err, keystore.ErrNotFound) && kindOf(e) != kindSpent
}

// pendingKey returns the key of a pending login. The key contains only a fingerprint of the state, because anybody who knows the state can
// forge a response.
func pendingKey(t Target, state string) keystore.Key {
	return keystore.Key{Server: t.URL, Profile: t.Profile + pendingPrefix + fingerprint(Secret(state))}
}

// targetOf returns the target of an entry. For a pending login, the result is the target of that login.
func targetOf(e keystore.Entry) Target {
	profile, _, _ := strings.Cut(e.Key.Profile, pendingPrefix)
	return Target{URL: e.Key.Server, Profile: profile}
}

// stateOf returns the state parameter of a response that has not been checked.
func stateOf(answer string) (string, error) {
	answer = strings.TrimSpace(answer)
	if _, query, ok := strings.Cut(answer, "?"); ok {
		answer = query
	}
	answer, _, _ = strings.Cut(answer, "#") // some servers append #_=_ to the URL
	query, err := url.ParseQuery(answer)
	if err != nil || query.Get("state") == "" {
		return "", fmt.Errorf("%w: paste the whole address that the browser ended on; it holds code and state", callback.ErrBareCode)
	}
	return query.Get("state"), nil
}

// This file is the login, told as a story, for every grant.

package flow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// LoginOptions are the user's choices for one login. The zero value asks for an ordinary login.
type LoginOptions struct {
	IfNeeded        bool          // do nothing when a usable or renewable token is stored
	NewClient       bool          // register again
	AcceptNewIssuer bool          // the server's authorization server changed: go on with the pre-registered client
	AssumePKCES256  bool          // the metadata does not promise S256
	NoResource      bool          // leave out the resource parameter
	Resource        string        // another value for it; empty: what the resource metadata says
	ClientName      string        // name to register with; empty: "mcpauth"
	AuthParams      [][2]string   // added to the authorization request
	Strict          bool          // no tolerance: each deviation of Tolerances is an error
	Timeout         time.Duration // how long to wait for the browser; 0: 5 minutes
	Paste           Paste         // another way for the browser's answer to come; nil: the callback alone

	challenges []discovery.Challenge // of a 401 or 403 that was received, by which discovery begins
	stepUp     []string              // scopes to ask for beside the stored ones
	than       *string               // adopt any other usable token than this one
}

// attempt is one login under way.
type attempt struct {
	c     *Client
	k     *task
	t     Target
	o     LoginOptions
	old   Credential // as stored before
	cred  Credential // what the login makes of it
	found *discovery.Result
	began time.Time

	reused  bool     // the client registration is an earlier login's
	strays  []string // what was put up with so far, see Tolerances
	earlier []string // what was put up with when the stored client was registered
}

// Login authorizes mcpauth at the server and stores the credential:
//
//  1. prove that the store can be written, before anyone is asked for anything
//  2. wait for another login to the same server, and adopt its result
//  3. discover the server's authorization
//  4. obtain tokens by the grant, which registers a client where one is needed
//  5. store the credential, which reads back; the old one is usable until then
//  6. revoke the old grant, and delete the client registration that is used no more, where the server can
//
// A client registration that the server turns out to have forgotten is made anew, once.
func (c *Client) Login(ctx context.Context, t Target, o LoginOptions) (Status, error) {
	err := c.login(ctx, t, o)
	var other *otherAnswer
	if errors.As(err, &other) { // finished without this login's lock
		return c.Finish(ctx, t, other.text)
	}
	if err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

func (c *Client) login(ctx context.Context, t Target, o LoginOptions) error {
	_, _, err := c.once(ctx, "", loginLimit, func(k *task) (Credential, error) { return Credential{}, c.loginAlone(k, t, o) })
	return err
}

// loginLimit bounds all of a login before its tokens are asked for.
const loginLimit = time.Hour

func (c *Client) loginAlone(k *task, t Target, o LoginOptions) error {
	ctx := k.ctx
	before, err := c.loadOrNew(ctx, t)
	if err != nil {
		return err
	}
	t, o = again(t, o, before)
	if err := checkTarget(t); err != nil {
		return err
	}
	if err := checkFiles(t); err != nil {
		return err
	}
	if o.IfNeeded && needless(before, t, c.now()) {
		return nil
	}
	if err := c.Store.Writable(ctx, t.key()); err != nil {
		return err
	}
	unlock, err := c.Store.Lock(ctx, t.key(), "login")
	if err != nil {
		return err
	}
	defer unlock()
	a := &attempt{c: c, k: k, t: t, o: o, began: c.now()}
	if a.cred, err = c.loadOrNew(ctx, t); err != nil {
		return err
	}
	if a.adopts(before) {
		c.progress("another process has just logged in; its login is used")
		return nil
	}
	if err := a.discover(ctx); err != nil {
		return err
	}
	a.old = a.cred
	err = a.obtain(ctx)
	if errors.Is(err, ErrClientRejected) && a.reused {
		c.warn("the authorization server no longer knows this client; registering again")
		a.o.NewClient = true
		a.cred = a.old
		err = a.obtain(ctx)
	}
	return err
}

// redeem asks for tokens and stores what comes; no caller can stop it.
func (a *attempt) redeem(name string, request func(context.Context) (token.Token, error)) error {
	ctx, done, err := a.k.spend()
	if err != nil {
		return err
	}
	defer done()
	tok, err := request(ctx)
	if err != nil {
		return stage(name, clientRefused(err))
	}
	a.take(tok)
	ctx, cancel := a.k.store()
	defer cancel()
	return a.store(ctx, a.old)
}

// checkTarget refuses options that cannot work together, before anything is sent.
func checkTarget(t Target) error {
	grant := t.grant()
	switch {
	case !slices.Contains(Grants(), grant):
		return fmt.Errorf("%w: unknown grant %q", ErrOptions, grant)
	case t.ClientSecret != "" && t.ClientID == "":
		return fmt.Errorf("%w: a client secret needs the client id it belongs to", ErrOptions)
	case t.ClientSecret != "" && t.ClientKeyFile != "":
		return fmt.Errorf("%w: a client authenticates by a secret or by a key, not both", ErrOptions)
	case t.ClientKeyFile != "" && t.ClientID == "" && t.ClientMetadataURL == "":
		return fmt.Errorf("%w: a client key needs the client id it belongs to", ErrOptions)
	case grant == GrantClientCredentials && (t.ClientID == "" || t.ClientSecret == "" && t.ClientKeyFile == ""):
		return fmt.Errorf("%w: client_credentials needs a client id and a secret or a key", ErrOptions)
	case grant == GrantJWTBearer && t.AssertionFile == "":
		return fmt.Errorf("%w: jwt_bearer needs an assertion file", ErrOptions)
	case grant == GrantEnterprise && (t.IDP.TokenEndpoint == "" || t.IDP.ClientID == "" || t.IDP.IDTokenFile == "" || t.ClientID == ""):
		return fmt.Errorf("%w: enterprise needs the identity provider's token endpoint, its client id, an ID token file and the client id here", ErrOptions)
	}
	return nil
}

// checkFiles refuses files that are not what they are named for, before anything is sent.
func checkFiles(t Target) error {
	if t.ClientKeyFile != "" {
		if _, err := loadKey(t.ClientKeyFile); err != nil {
			return err
		}
	}
	if t.grant() == GrantJWTBearer {
		if _, err := readAssertion(t.AssertionFile); err != nil {
			return err
		}
	}
	return nil
}

func (t Target) grant() string {
	if t.Grant == "" {
		return GrantCode
	}
	return t.Grant
}

// needless reports whether a login would bring nothing new.
func needless(cred Credential, t Target, now time.Time) bool {
	return (alive(cred.Token, now) || cred.hasToken() && cred.renewable()) && len(missing(t.Scopes, union(cred.granted(), cred.Scopes))) == 0
}

// adopts reports whether, while this login waited for its turn, another one stored what it was to get.
func (a *attempt) adopts(before Credential) bool {
	if !alive(a.cred.Token, a.c.now()) || len(missing(union(a.t.Scopes, a.o.stepUp), union(a.cred.granted(), a.cred.Scopes))) > 0 {
		return false
	}
	if a.o.than != nil {
		return !a.cred.same(*a.o.than)
	}
	return a.cred.LoginAt.After(before.LoginAt)
}

// discover finds the authorization server, and makes the credential one of that server.
func (a *attempt) discover(ctx context.Context) error {
	r, err := a.c.discover(ctx, a.t, a.o)
	if err != nil {
		return err
	}
	a.found = r
	if err := a.sameIssuer(); err != nil {
		return err
	}
	a.c.progress(fmt.Sprintf("authorization server %s", r.Server.Issuer))
	return nil
}

// sameIssuer keeps client credentials from going to another authorization server than the one that gave them (MCP client registration,
// Authorization Server Binding). Registrations are left behind by dcr.Resolve; for a pre-registered client the user must say yes.
func (a *attempt) sameIssuer() error {
	old := a.cred.Client
	if old.Kind != dcr.Preregistered || old.Issuer == "" || old.Issuer == a.found.Server.Issuer || a.t.ClientID != old.ID || a.o.AcceptNewIssuer {
		return nil
	}
	return fmt.Errorf("%s: %w: it was %q at the last login, and is %q now; client %q was registered with the former (MCP Authorization Server Binding)",
		a.t.URL, ErrIssuerChanged, old.Issuer, a.found.Server.Issuer, old.ID)
}

// obtain gets tokens by the grant into a.cred.
func (a *attempt) obtain(ctx context.Context) error {
	a.describe()
	if err := feasible(a.t, a.found); err != nil { // before anybody is asked for anything
		return err
	}
	switch a.t.grant() {
	case GrantCode:
		return a.obtainByCode(ctx)
	case GrantDevice:
		return a.obtainByDevice(ctx)
	}
	return a.obtainByMachine(ctx)
}

// describe writes into the credential what is known before the tokens are.
func (a *attempt) describe() {
	cred, r, p := &a.cred, a.found, newPlan(a.t, a.o, a.found)
	cred.Server, cred.Profile, cred.Grant, cred.Issuer = a.t.URL, a.t.Profile, p.Grant, p.Issuer
	cred.Endpoints = Endpoints{Token: r.Server.TokenEndpoint, Revocation: r.Server.RevocationEndpoint,
		SigningAlgs: r.Server.TokenEndpointAuthSigningAlgValuesSupported}
	cred.Resource, cred.Scopes, cred.AuthParams = p.Resource, p.Scopes, a.o.AuthParams
	cred.IssuerPin, cred.Strict = a.t.Issuer, a.o.Strict
	a.strays, a.earlier, cred.Quirks = nil, ofRegistration(cred.Quirks), p.Quirks
	cred.KeyFile, cred.Assertion, cred.IDP = absolute(a.t.ClientKeyFile), absolute(a.t.AssertionFile), a.t.IDP
	cred.IDP.IDTokenFile = absolute(a.t.IDP.IDTokenFile)
}

// absolute lets a later command, begun in another folder, find the file again.
func absolute(file string) string {
	if file == "" {
		return ""
	}
	if whole, err := filepath.Abs(file); err == nil {
		return whole
	}
	return file
}

// resolve finds out which client we are, and stores a new registration at once: servers do not like to register a client per attempt.
func (a *attempt) resolve(ctx context.Context, redirectURI string) error {
	stored := &a.cred.Client
	if a.cred.NextClient != nil {
		stored = a.cred.NextClient
	}
	o := clientOptions(a.t, a.o, a.found, a.cred.Scopes)
	o.HTTP, o.SoftwareVersion, o.RedirectURI, o.Stored, o.Stray = a.c.HTTP, a.c.Version, redirectURI, stored, a.stray
	client, err := dcr.Resolve(ctx, o)
	if err != nil {
		return stage("client", err)
	}
	a.reused = client.Kind == dcr.Dynamic && client.ID == stored.ID
	if a.reused {
		a.strays = append(a.strays, a.earlier...)
	}
	if client.Kind == dcr.Dynamic && !a.reused {
		_, err := a.c.update(ctx, a.t, func(cred *Credential) error { cred.NextClient = &client; return nil })
		if err != nil {
			return err
		}
		a.c.progress(fmt.Sprintf("registered as client %q", client.ID))
	}
	a.cred.Client, a.cred.NextClient, a.cred.Quirks = client, nil, union(a.cred.Quirks, a.strays)
	return nil
}

// stray notes a deviation that is put up with.
func (a *attempt) stray(code string) { a.strays = append(a.strays, code) }

// take makes fresh tokens part of the credential.
func (a *attempt) take(tok token.Token) {
	tok.IDToken = "" // large, and nobody asks for it
	a.cred.Token, a.cred.ObtainedAt, a.cred.LoginAt = tok, a.c.now(), a.began
	a.cred.Quirks = union(a.cred.Quirks, a.strays)
	if lost := missing(a.cred.Scopes, a.cred.granted()); len(lost) > 0 {
		a.c.warn(fmt.Sprintf("asked for %s, but the server granted %s", quoteScopes(a.cred.Scopes), quoteScopes(a.cred.granted())))
	}
}

// store replaces the stored credential, then ends the grant that it replaces.
func (a *attempt) store(ctx context.Context, old Credential) error {
	stored, err := a.c.update(ctx, a.t, func(now *Credential) error {
		a.cred.generation, a.cred.unknown = now.generation, now.unknown
		old.Token = now.Token // it may have been renewed while the browser was open
		*now = a.cred
		return nil
	})
	if err != nil {
		return err
	}
	if unlock, err := a.c.Store.Lock(ctx, a.t.key(), "credential"); err == nil { // another process may be adding a line
		a.c.journal(ctx, a.t, stored, "login", nil)
		unlock()
	}
	a.c.revokeReplaced(ctx, old, stored)
	if deletable(old.Client) && old.Client.ID != stored.Client.ID {
		_ = dcr.Delete(ctx, a.c.HTTP, old.Client) // a server that keeps it costs the new login nothing; --verbose shows its answer
	}
	return nil
}

package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// LoginOptions are the options of one login. A login does not store its LoginOptions.
type LoginOptions struct {
	IfNeeded        bool          // do nothing if a usable or renewable token is stored
	NewClient       bool          // do not use the stored client; register a new one
	AcceptNewIssuer bool          // allow a pre-registered client and the user's secrets at another authorization server than before
	IssuerGiven     bool          // true: the user named Target.Issuer for this login, so the client and secrets may be used there; false: a configuration file named it
	Timeout         time.Duration // time limit of the wait for the browser; 0: 5 minutes
	Paste           Paste         // reads a response that the user pastes; nil: only the callback receives responses

	silent bool // do not open a browser
}

// loginReason is the reason why a handler logs in. The zero value means that the user asked for the login.
type loginReason struct {
	challenges []discovery.Challenge // challenges of the 401 or 403 response; discovery starts with them
	scopes     []string              // extra scopes to request, in addition to the scopes that the server chooses
	rejected   *Secret               // access token that the server refused; any other usable token can replace it; nil: the user asked for the login
	open       func() error          // called before a login that needs the user; an error ends the login; nil: no limit
}

// loginLimit is the time limit of a login, from its start until mcpauth sends the code.
const loginLimit = time.Hour

// loginDraft is a login whose client is not chosen yet.
type loginDraft struct {
	t     Target // target with complete Settings
	o     LoginOptions
	old   credential // the stored credential
	began time.Time
	found *discovery.Result
	plan  Plan
	notes *deviationList
	bind  bindFunc // called before each request that may contain a secret of the login

	inCall bool   // a Handler started this login during a request
	nonce  string // OpenID Connect nonce for an identity provider; empty: not sent
}

// storedClient returns the newest stored client of the authorization server that discovery found. If there is none, storedClient returns the
// newest client of another server. A client that an unfinished login registered is newer than the client of the stored login.
func (d loginDraft) storedClient() *dcr.Client {
	all := append([]dcr.Client{d.old.Client}, d.old.OldClients...)
	if d.old.NextClient != nil {
		all = slices.Insert(all, 0, *d.old.NextClient)
	}
	i := slices.IndexFunc(all, func(client dcr.Client) bool { return client.Issuer == d.found.Server.Issuer })
	return &all[max(i, 0)]
}

// deviationList collects the deviations that other packages report.
type deviationList struct{ codes []string }

func (n *deviationList) add(code string) { n.codes = mergeLists(n.codes, []string{code}) }

// Login authorizes mcpauth at the server and stores the credential:
//
//  1. complete the settings from the stored login
//  2. check that the store is writable, before a browser opens
//  3. wait until no other login to this server is running, and use the result of that login if it satisfies this one
//  4. discover the authorization server and decide what to request
//  5. register a client if needed, and get the user's approval if the grant requires it
//  6. exchange the response for tokens and store them; the old credential stays usable until then
//
// If the authorization server no longer knows the stored client registration, Login registers a new client, once.
func (c *Client) Login(ctx context.Context, t Target, o LoginOptions) (Status, error) {
	_, err := c.loginOnce(ctx, "", t, o, loginReason{})
	var other *pendingAnswerError
	if errors.As(err, &other) { // Finish takes the login lock itself
		return c.Finish(ctx, t, other.text)
	}
	if err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

// loginOnce runs loginAlone as a task. Callers with the same name share the task. A task without a name is not shared.
func (c *Client) loginOnce(ctx context.Context, name string, t Target, o LoginOptions, why loginReason) (credential, error) {
	cred, _, err := c.jobs.Once(ctx, name, loginLimit, func(k *job) (credential, error) { return c.loginAlone(k, t, o, why) })
	return cred, err
}

func (c *Client) loginAlone(k *job, t Target, o LoginOptions, why loginReason) (credential, error) {
	ctx, asked := k.Context, t
	before, err := c.completeSettings(ctx, &t, o, why)
	if err != nil {
		return credential{}, err
	}
	if o.IfNeeded && isLoginNeedless(before, t.Settings, c.now()) {
		if before.Settings.NameOfProject && !t.NameOfProject { // the user gives the login its name
			return c.updateCredential(ctx, t, func(cred *credential) { cred.Settings.NameOfProject = false })
		}
		return before, nil
	}
	if err := c.Store.Writable(ctx, t.key()); err != nil {
		return credential{}, err
	}
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockLogin)
	if err != nil {
		return credential{}, err
	}
	defer unlock()
	t = asked
	old, err := c.completeSettings(ctx, &t, o, why) // the stored login may have changed during the wait for the lock
	if err != nil {
		return credential{}, err
	}
	if c.isServedBy(old, before, asked.settingsFor(old), o, why) {
		c.progress("another process has just logged in; using its login")
		return old, nil
	}
	d, err := c.prepareLogin(ctx, t, o, old, why)
	if err != nil {
		return credential{}, err
	}
	if why.open != nil && d.needsUser() {
		if err := why.open(); err != nil {
			return credential{}, err
		}
	}
	cred, err := c.obtainTokens(k, d)
	if errors.Is(err, errForgotten) {
		c.warn("the authorization server no longer knows this client; registering again")
		d.o.NewClient, d.notes = true, &deviationList{}
		cred, err = c.obtainTokens(k, d)
	}
	return cred, err
}

// needsUser reports whether the login can open the browser or show a device code.
func (d loginDraft) needsUser() bool {
	return !d.o.silent && (!d.plan.Grant.nonInteractive() || d.t.IDP.Issuer != "")
}

// completeSettings completes t.Settings with the settings of the stored credential, checks them, and returns this credential.
func (c *Client) completeSettings(ctx context.Context, t *Target, o LoginOptions, why loginReason) (stored credential, err error) {
	if stored, err = c.loadOrNew(ctx, *t); err != nil {
		return stored, err
	}
	t.Settings = o.mergeSettings(stored, t.settingsFor(stored), why)
	return stored, c.validate(t.Settings)
}

// settingsFor returns the given settings for a login that replaces the stored one.
func (t Target) settingsFor(stored credential) Settings {
	if stored.Grant == "" {
		return t.Settings
	}
	return t.ownSettings()
}

// ownSettings returns the settings that do not come from a project's file.
func (t Target) ownSettings() Settings {
	if t.IfStored == nil {
		return t.Settings
	}
	s := *t.IfStored
	s.CertFile, s.CertKeyFile = t.CertFile, t.CertKeyFile
	return s
}

// mergeSettings adds the stored settings to the given settings. The given settings take precedence.
func (o LoginOptions) mergeSettings(cred credential, given Settings, why loginReason) Settings {
	stored := cred.Settings
	if o.NewClient && why.rejected == nil {
		stored.ClientID, stored.ClientSecret, stored.ClientMetadataURL, stored.ClientKeyFile = "", "", "", ""
	}
	if o.AcceptNewIssuer {
		stored.Issuer, stored.IssuerOfProject = "", false
	}
	if strings.HasPrefix(given.Assertion, "exec:") && given.AssertionDir == "" {
		given.AssertionDir = workingDir() // only for a given command: a stored command never runs in the working directory of a later login
	}
	s := stored.Overlay(given)
	s.NameOfProject = s.NameOfProject && !cred.hasOwnName()
	if (s.DPoP == "" || s.DPoP == DPoPAuto) && cred.DPoPKey != nil {
		s.DPoP = DPoPAlways // do not replace a bound token by a bearer token, which would be usable if stolen
	}
	return s.withAbsolutePaths()
}

// withAbsolutePaths returns the settings with absolute paths in AssertionFile, also for the assertion file:FILE, and in the other files.
func (s Settings) withAbsolutePaths() Settings {
	if file, ok := strings.CutPrefix(s.Assertion, "file:"); ok && s.AssertionFile == "" {
		s.Assertion, s.AssertionFile = "", file
	}
	for _, file := range []*string{&s.ClientKeyFile, &s.AssertionFile, &s.AssertionDir, &s.IDP.IDTokenFile, &s.CertFile, &s.CertKeyFile} {
		*file = absolutePath(*file)
	}
	return s
}

// absolutePath makes a path absolute, so that a later command in another folder finds the file.
func absolutePath(file string) string {
	if whole, err := filepath.Abs(file); err == nil && file != "" {
		return whole
	}
	return file
}

// workingDir returns the working directory without links, because a cloned repository can contain the link through which the user entered it.
func workingDir() string {
	if dir, err := filepath.EvalSymlinks(absolutePath(".")); err == nil {
		return dir
	}
	return "."
}

// isLoginNeedless reports whether the stored login already satisfies the settings for its account, its scopes and its security.
func isLoginNeedless(cred credential, s Settings, now time.Time) bool {
	usable := isUnexpired(cred.Token, now) || cred.hasToken() && cred.isRenewable()
	secure := (s.DPoP != DPoPAlways || cred.DPoPKey != nil) && (!s.Strict || cred.Settings.Strict) && (s.Issuer == "" || isSameSetting(s.Issuer, cred.Issuer))
	return usable && secure && (s.ExpectAccount == "" || s.ExpectAccount == cred.Account) && len(missingScopes(s.Scopes, mergeLists(cred.grantedScopes(), cred.Scopes))) == 0
}

// isServedBy reports whether the credential that another login has stored satisfies this login.
func (c *Client) isServedBy(stored, before credential, given Settings, o LoginOptions, why loginReason) bool {
	if !isUnexpired(stored.Token, c.now()) || len(missingScopes(mergeLists(given.Scopes, why.scopes), mergeLists(stored.grantedScopes(), stored.Scopes))) > 0 {
		return false
	}
	if why.rejected != nil {
		return !stored.same(*why.rejected)
	}
	return !stored.LoginAt.Equal(before.LoginAt) && !o.NewClient && o.mergeSettings(stored, given, why).equal(stored.Settings)
}

// prepareLogin discovers the authorization server and decides what to request.
func (c *Client) prepareLogin(ctx context.Context, t Target, o LoginOptions, old credential, why loginReason) (loginDraft, error) {
	d := loginDraft{t: t, o: o, old: old, began: c.now(), notes: &deviationList{}, inCall: why.rejected != nil}
	c.warnOpenKey(t.Settings)
	var err error
	if d.found, err = c.runDiscovery(ctx, t, old.Issuer, why.challenges); err != nil {
		return d, err
	}
	if err := checkSameIssuer(d); err != nil {
		return d, err
	}
	d.bind = func(ctx context.Context, cred credential, form url.Values) (func(), error) {
		return c.bindRequest(ctx, t, cred, o, form)
	}
	if _, err := c.bindSecrets(ctx, t, d.found.Server.Issuer, o, false); err != nil { // fail before a browser opens
		return d, err
	}
	was := cmp.Or(d.old.NextClient, &dcr.Client{})
	if d.old.Client.Issuer != "" { // a client of an unfinished login proves nothing, because the user may have ended that login because of the warning
		was = &d.old.Client
	}
	if was.Kind == dcr.Dynamic && was.Issuer != "" && was.Issuer != d.found.Server.Issuer {
		c.warn(fmt.Sprintf("the authorization server was %s at the last login, and is now %s; using a new client registration there", httpx.Quote(was.Issuer, 200), httpx.Quote(d.found.Server.Issuer, 200)))
	}
	if d.found.Endpoint != "" && d.found.Endpoint != d.found.URL {
		c.progress("the server redirects to " + d.found.Endpoint + "; calls go there directly")
	}
	c.progress(fmt.Sprintf("authorization server %s", d.found.Server.Issuer))
	c.warnNotShown(t, d.found.Server)
	d.plan = newPlan(t.Settings, d.found, old)
	d.plan.Scopes = mergeLists(why.scopes, d.plan.Scopes)
	if err := checkScopes(d.plan.Scopes, t); err != nil {
		return d, err
	}
	if d.plan.Resource == d.found.ResourceID && d.found.ResourceIsWider() {
		if d.inCall && old.Resource != "" && old.Resource != d.plan.Resource {
			return d, fmt.Errorf("%s: %w: the login is for %q, and the metadata now names %s", t.URL, ErrWiderResource, old.Resource, httpx.Quote(d.plan.Resource, 200))
		}
		c.progress(fmt.Sprintf("the login is for %s, which is not the URL of the server", httpx.Quote(d.plan.Resource, 200)))
	}
	return d, checkFeasible(t.Settings, d.found) // an infeasible login fails before a browser opens
}

func (c *Client) obtainTokens(k *job, d loginDraft) (credential, error) {
	switch d.plan.Grant {
	case GrantCode:
		return c.obtainByCode(k, d)
	case GrantDevice:
		return c.obtainByDevice(k, d)
	}
	return c.obtainNonInteractively(k, d)
}

// newTokenRequest chooses or registers the client, and returns the token request of this login. The caller must set x.request.
func (c *Client) newTokenRequest(ctx context.Context, d loginDraft, redirectURI string) (x tokenRequest, err error) {
	x = tokenRequest{t: d.t, methods: d.found.Server.TokenEndpointAuthMethodsSupported, notes: d.notes, bind: d.bind, limit: redeemLimit, keep: c.storeLogin}
	var client dcr.Client
	if needsClient(d.t.Settings) {
		if client, x.reused, err = c.resolveClient(ctx, d, redirectURI); err != nil {
			return x, err
		}
	}
	codes := d.plan.Deviations
	if x.reused {
		codes = mergeLists(codes, registrationCodes(d.old.Deviations))
	}
	s := d.t.Settings
	x.cred = credential{Server: d.t.URL, Moved: movedURL(d), Profile: d.t.Profile, Resource: d.plan.Resource, Grant: d.plan.Grant, Issuer: d.plan.Issuer,
		Endpoints: endpoints(d.found.Server), AcceptedIssuer: d.old.AcceptedIssuer, Client: client, Settings: s, Scopes: d.plan.Scopes, LoginAt: d.began, Deviations: codes}
	if d.o.AcceptNewIssuer {
		x.cred.AcceptedIssuer = d.plan.Issuer
	}
	if d.nonce != "" {
		x.cred.OpenID, x.keep = &idTokenClaims{Nonce: d.nonce}, c.storeProviderLogin
	}
	if !d.plan.DPoP {
		return x, nil
	}
	prover, err := token.NewProver() // a fresh key for each login (RFC 9449 §5)
	if err != nil {
		return x, err
	}
	x.cred.Settings.DPoP = cmp.Or(s.DPoP, DPoPAlways)
	x.cred.DPoPKey, err = prover.Marshal()
	return x, err
}

// movedURL returns the URL to which the server redirects calls. A login that starts from a challenge keeps the stored URL, because such a
// login sends no request to the server's own URL.
func movedURL(d loginDraft) string {
	switch d.found.Endpoint {
	case "":
		return d.old.Moved
	case d.found.URL:
		return ""
	}
	return d.found.Endpoint
}

// resolveClient chooses or registers the client. A new registration is stored at once, so that a repeated login does not register another
// client.
func (c *Client) resolveClient(ctx context.Context, d loginDraft, redirectURI string) (client dcr.Client, reused bool, err error) {
	o := clientOptions(d)
	if o.HTTP, err = c.endpointHTTP(d.t, d.plan.Issuer); err != nil {
		return client, false, err
	}
	o.SoftwareVersion, o.RedirectURI, o.Deviation = c.Version, redirectURI, d.notes.add
	if client, err = dcr.Resolve(ctx, o); err != nil {
		return client, false, stage("client", err)
	}
	if client.Kind != dcr.Dynamic || client.ID == o.Stored.ID {
		return client, client.Kind == dcr.Dynamic, nil
	}
	if err := refuseRedacted(d.t, "the client_id in the registration response", client.ID); err != nil {
		return client, false, err
	}
	if _, err := c.updateCredential(ctx, d.t, func(cred *credential) { cred.addRegistration(client) }); err != nil {
		return client, false, err
	}
	c.progress(fmt.Sprintf("registered as client %s", httpx.Quote(client.ID, 200)))
	return client, false, nil
}

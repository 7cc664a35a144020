package flow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mcpauth/internal/task"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

const (
	redeemLimit = 30 * time.Second // time limit of a request that uses a one-time secret
	storeLimit  = 30 * time.Second // time limit for storing a result, long enough for the failover of a database
	lockedLimit = 75 * time.Second // time limit of work that locks the credential, including the wait for the lock (keystore.Options.LockWait)
)

// A job is a renewal or a login that runs in a goroutine of the Client. When no caller waits for a job any more, its context is cancelled.
// A request that uses a one-time secret is not interrupted, and its result is stored.
type job = task.Task[credential]

// Wait cancels the work of the Client. Call Wait before every exit of the program. If a request has sent a refresh token or a code, Wait
// waits until the result is stored. The wait takes at most 30 seconds plus the time to store the result.
func (c *Client) Wait(ctx context.Context) error {
	return c.jobs.Wait(ctx, func() {
		c.progress(fmt.Sprintf("finishing a request that uses a one-time secret, within %s; interrupt again to exit at once", redeemLimit))
	}, func() { c.progress("its result is stored") })
}

// tokenRequest is the token request at the end of a login.
type tokenRequest struct {
	t       Target
	cred    credential // new credential; its tokens are not set yet
	reused  bool       // the client was registered by an earlier login
	methods []string   // client authentication methods that the metadata lists
	notes   *deviationList
	bind    bindFunc                    // called before each request
	ready   func(context.Context) error // called after the credential is locked; nil: nothing
	stage   string                      // name of the stage in errors
	limit   time.Duration               // time limit of the request
	keep    func(context.Context, tokenRequest, token.Token) (stored, replaced credential, err error)
	request func(context.Context, token.Endpoint) (token.Token, error)
}

// requestTokens redeems a code, a device code or a non-interactive grant, once, and stores the new login:
//
//  1. lock the credential and reserve space for the new record; a device login does this after step 3
//  2. check that the request may still be sent
//  3. bind the secrets that the request contains to the authorization server, and send the request; from here on, no caller can cancel the
//     task, see spend
//  4. put the tokens and the replaced grants into the credential, and store it
//  5. revoke the replaced grants that are separate from the new one, and delete the registrations that are no longer used
//
// A device login takes the lock late, because the user may take minutes to approve.
func (c *Client) requestTokens(k *job, x tokenRequest) (credential, error) {
	unlock, err := func() {}, error(nil)
	if x.limit == redeemLimit {
		if unlock, err = c.lockAndReserve(k.Context, x.t); err != nil {
			return credential{}, err
		}
	}
	defer func() { unlock() }()
	if x.ready != nil {
		if err := x.ready(k.Context); err != nil {
			return credential{}, err
		}
	}
	ctx, done, err := spend(k, x.cred, x.limit)
	if err != nil {
		return credential{}, err
	}
	defer done()
	tok, err := withEitherAuthMethod(ctx, c, &x.cred, x.methods, x.notes, x.bind, func(e token.Endpoint) (token.Token, error) { return x.request(ctx, e) })
	if err != nil {
		return credential{}, stage(x.stage, wrapUnknownClient(err, x.reused))
	}
	ctx, cancel := task.Outlive(k.Context, lockedLimit, lockedLimit)
	defer cancel()
	if x.limit != redeemLimit {
		if unlock, err = c.lockAndReserve(ctx, x.t); err != nil {
			return credential{}, err
		}
	}
	stored, replaced, err := x.keep(ctx, x, tok)
	unlock()
	done()
	if err == nil {
		k.Settle(stored) // the login succeeds even if the clean-up at the server takes long
		c.cleanUpReplaced(k.Context, stored, replaced)
	}
	return stored, err
}

// spend returns the context of a token request. No caller can cancel the request, unless a program can repeat it: with a client's credentials,
// or with an assertion or ID token from a file or a variable.
func spend(k *job, cred credential, limit time.Duration) (ctx context.Context, done func(), err error) {
	if cred.Grant.nonInteractive() && cred.Token.RefreshToken == "" && cred.IDP == nil {
		ctx, done = context.WithTimeout(k.Context, limit)
		return ctx, done, k.Context.Err()
	}
	return k.Spend(redeemLimit, limit)
}

// lockAndReserve locks the credential and reserves space in the store for its next record.
func (c *Client) lockAndReserve(ctx context.Context, t Target) (unlock func(), err error) {
	if unlock, err = c.Store.Lock(ctx, t.key(), keystore.LockCredential); err != nil {
		return func() {}, err
	}
	if err := c.Store.Reserve(ctx, t.key()); err != nil {
		unlock()
		return func() {}, err
	}
	return unlock, nil
}

// storeLogin stores a new login in place of the stored one. The caller must have locked the credential.
func (c *Client) storeLogin(ctx context.Context, x tokenRequest, tok token.Token) (stored, replaced credential, err error) {
	if replaced, err = c.loadOrNew(ctx, x.t); err != nil {
		return credential{}, replaced, err
	}
	cred := x.cred
	cred.Token, cred.ObtainedAt, cred.Deviations = tok, c.now(), mergeLists(cred.Deviations, x.notes.codes)
	cred.Token.IDToken = ""
	cred.Settings.NameOfProject = cred.Settings.NameOfProject && !replaced.hasOwnName()
	if cred.IDP != nil {
		cred.IDP = cred.IDP.chooseProviderLogin(replaced.IDP)
	}
	account := cmp.Or(cred.providerLogin().Account, tok.Account())
	if cred.Account, err = c.checkedAccount(x, account); err != nil {
		c.revokeWrongAccount(ctx, cred, replaced, account)
		return credential{}, replaced, err
	}
	cred.Retired, _ = cred.replacedTokens(replaced)
	if c.HasPending(ctx, x.t) {
		cred.OldClients = slices.DeleteFunc(replaced.deletableClients(), func(client dcr.Client) bool { return client.ID == cred.Client.ID })
	}
	cred.generation, cred.read = replaced.generation, replaced.read
	if err := c.saveCredential(ctx, x.t, &cred); err != nil {
		return credential{}, replaced, err
	}
	c.addToJournal(ctx, x.t, cred, "login", nil)
	if lost := missingScopes(cred.Scopes, cred.grantedScopes()); len(lost) > 0 {
		c.warn(fmt.Sprintf("requested %s, but the server granted %s", quoteScopes(cred.Scopes), quoteScopes(cred.grantedScopes())))
	}
	return cred, replaced, nil
}

// checkedAccount returns the account name that the server sent. If the user expects another account, the result is an error. If the name
// contains a secret, the result is "".
func (c *Client) checkedAccount(x tokenRequest, said string) (string, error) {
	secrets := c.LoginSecrets(x.t)
	if want := x.cred.Settings.ExpectAccount; want != "" && said != want {
		return "", fmt.Errorf("%s: %w: the server says %q, expected %q; nothing is stored", x.t.URL, ErrAccount, secrets.Clean(said), want)
	}
	if secrets.Holds(said) {
		return "", nil
	}
	return said, nil
}

// revokeWrongAccount revokes a new grant if its account is not the one that the user expects. Some servers have only one grant for each
// account and client. If the revocation could therefore end a stored login, revokeWrongAccount does nothing.
func (c *Client) revokeWrongAccount(ctx context.Context, refused, stored credential, account string) {
	if account == "" || refused.Client.Kind != dcr.Dynamic || stored.hasToken() && (stored.Account == "" || stored.Account == account) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	_, apart := credential{}.replacedTokens(refused)
	c.revokeTokens(ctx, refused, apart, &LogoutReport{})
}

// cleanupLimit is the time limit for cleaning up the replaced login at the server. A failed clean-up is harmless, because the new login
// works.
const cleanupLimit = 5 * time.Second

// cleanUpReplaced revokes replaced grants that are separate from the new one, and deletes client registrations that are no longer used.
func (c *Client) cleanUpReplaced(ctx context.Context, stored, replaced credential) {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	var report LogoutReport
	for _, pair := range [][2]credential{{stored, replaced}, {stored.providerLogin(), replaced.providerLogin()}, {stored.providerLogin(), replaced.nextProviderLogin()}} {
		if _, apart := pair[0].replacedTokens(pair[1]); len(apart) > 0 {
			c.revokeTokens(ctx, pair[1], apart, &report)
		}
	}
	for _, w := range report.Warnings {
		c.progress("the replaced login: " + w)
	}
	used := slices.Concat([]dcr.Client{stored.Client}, stored.OldClients)
	for _, client := range replaced.deletableClients() {
		if !slices.ContainsFunc(used, func(u dcr.Client) bool { return u.ID == client.ID }) {
			_ = c.deleteClient(ctx, stored, client) // a failure is shown only by --verbose
		}
	}
}

// This file renews a credential: one refresh at a time on the whole machine, never one without the lock, and never a token lost to an
// error that does not prove it dead (RFC 6749 §6, OAuth 2.1 §4.3).

package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// lockWait bounds the wait for another process's refresh; the kernel releases the lock of a process that died.
const lockWait = 45 * time.Second

// Refresh renews the credential when less than minTTL is left of it (0: always) and tells its new state. It never opens a browser.
func (c *Client) Refresh(ctx context.Context, t Target, minTTL time.Duration) (Status, error) {
	stored, err := c.load(ctx, t)
	if err != nil {
		return none(t), err
	}
	if minTTL > 0 && enough(stored.Token, c.now(), minTTL) {
		return c.Status(ctx, t)
	}
	if _, err := c.renew(ctx, t, renewal{minTTL: minTTL, than: stored.Token.AccessToken}); err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

// Token returns an access token with at least minTTL left, renewing it if need be. It never opens a browser.
func (c *Client) Token(ctx context.Context, t Target, minTTL time.Duration) (token.Token, error) {
	cred, err := c.load(ctx, t)
	if err != nil {
		return token.Token{}, err
	}
	if !enough(cred.Token, c.now(), minTTL) {
		renewed, err := c.renew(ctx, t, renewal{minTTL: minTTL, than: cred.Token.AccessToken})
		switch {
		case err == nil:
			cred = renewed
		case ctx.Err() != nil || !alive(cred.Token, c.now()):
			return token.Token{}, err
		default:
			c.warn(fmt.Sprintf("%v; the stored token is still good for %s", err, left(cred.Token, c.now())))
		}
	}
	if cred.DPoPKey != nil {
		return token.Token{}, fmt.Errorf("%s: %w", t.URL, ErrBoundToken)
	}
	return cred.Token, nil
}

// renewal says why a credential is to be renewed, so that the work of another process can be adopted.
type renewal struct {
	minTTL   time.Duration // adopt a token with at least this much left; 0: only another token than the one below
	than     string        // the access token that the caller knows
	rejected bool          // the server rejected it: not even with time left is it to be kept
}

// renew renews a credential, once at a time in this process: callers that come meanwhile share the result.
func (c *Client) renew(ctx context.Context, t Target, why renewal) (Credential, error) {
	for {
		cred, joined, err := c.once(ctx, "renew "+t.String(), lockWait, func(k *task) (Credential, error) { return c.renewAlone(k, t, why) })
		if err != nil || !joined || adoptable(cred, why, c.now()) {
			return cred, err
		}
	}
}

// renewAlone is the one place that redeems a refresh token:
//
//  1. lock the credential, for at most lockWait
//  2. read it again
//  3. adopt what another process renewed meanwhile
//  4. reserve the place of the new record, which proves that the store can be written
//  5. note the intent, so that a crash from here on can be told truthfully
//  6. redeem once; from here on no caller can stop the task
//  7. store, which reads back
//  8. clear the intent
func (c *Client) renewAlone(k *task, t Target, why renewal) (Credential, error) {
	ctx := k.ctx
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockCredential)
	if err != nil {
		return Credential{}, err
	}
	defer unlock()
	cred, err := c.load(ctx, t)
	if err != nil {
		return Credential{}, err
	}
	if adoptable(cred, why, c.now()) {
		return cred, nil
	}
	if !cred.renewable() {
		if !cred.hasToken() {
			return Credential{}, fmt.Errorf("%s: %w", t.URL, ErrLoginRequired)
		}
		if why.rejected {
			c.expire(k, t, cred)
		}
		return Credential{}, fmt.Errorf("%s: %w", t.URL, ErrNoRefreshToken)
	}
	if err := c.Store.Reserve(ctx, t.key()); err != nil {
		return Credential{}, err
	}
	before, err := c.begin(ctx, t, cred)
	if err != nil {
		return Credential{}, err
	}
	ctx, done, err := k.spend()
	if err != nil {
		c.unspent(k.ctx, t, cred, "kept", before, err)
		return Credential{}, err
	}
	defer done()
	tok, err := c.redeem(ctx, &cred)
	ctx, cancel := k.store()
	defer cancel()
	if err != nil {
		return Credential{}, c.refused(ctx, t, cred, why, before, err)
	}
	cred.Token, cred.ObtainedAt = merge(cred.Token, tok), c.now()
	if err := c.save(ctx, t, &cred); err != nil {
		c.journal(ctx, t, cred, "unstored", err) // the intent stays: the stored refresh token is spent
		return Credential{}, fmt.Errorf("%s: renewed, but what came could not be stored, and the stored refresh token is spent now: %w", t.URL, err)
	}
	c.finish(ctx, t, cred, "renewed", nil)
	return cred, nil
}

// expire records that the server refused a token which has time left and cannot be renewed, so that status and login --if-needed do not
// take it for usable: oidc-provider ends the access token with the grant when it sees a refresh token twice. The token itself is kept: a
// 401 is no proof that it is dead.
func (c *Client) expire(k *task, t Target, cred Credential) {
	if !alive(cred.Token, c.now()) {
		return
	}
	cred.Token.Expiry = c.now()
	ctx, cancel := k.store()
	defer cancel()
	if err := c.save(ctx, t, &cred); err != nil {
		c.warn(err.Error())
	}
}

// adoptable reports whether the stored credential already is what the caller wants, because another process renewed it.
func adoptable(cred Credential, why renewal, now time.Time) bool {
	switch {
	case !cred.hasToken():
		return false
	case cred.same(why.than):
		return !why.rejected && why.minTTL > 0 && enough(cred.Token, now, why.minTTL)
	}
	return alive(cred.Token, now)
}

// redeem asks the authorization server for new tokens with what the credential has: its refresh token, else its machine grant.
func (c *Client) redeem(ctx context.Context, cred *Credential) (token.Token, error) {
	e, err := c.endpoint(*cred)
	if err != nil {
		return token.Token{}, err
	}
	e.Stray = func(code string) { cred.Quirks = union(cred.Quirks, []string{code}) }
	if cred.Token.RefreshToken == "" {
		return c.machineToken(ctx, e, *cred, cred.Scopes)
	}
	return e.Refresh(ctx, cred.Token.RefreshToken, "")
}

// refused sorts the failure of a redemption. Only the authorization server's own word that the grant is dead changes the stored
// credential: the refresh token that was sent is dropped, and the access token with it unless that is still good. Everything else keeps
// all of it.
func (c *Client) refused(ctx context.Context, t Target, cred Credential, why renewal, before intent, err error) error {
	err = stage("refresh", err)
	switch {
	case grantDead(err) && machine(cred.Grant) && cred.Token.RefreshToken == "":
		c.finish(ctx, t, cred, "rejected", err) // a key or an assertion was rejected: there is nothing to drop
		return err
	case grantDead(err):
		c.finish(ctx, t, cred, "rejected", err)
		cred.Token.RefreshToken = ""
		if why.rejected || !alive(cred.Token, c.now()) {
			cred.Token = token.Token{}
		}
		if saveErr := c.save(ctx, t, &cred); saveErr != nil {
			return errors.Join(err, saveErr)
		}
		if before.interrupted() {
			return fmt.Errorf("%w (%s): %w", ErrMaybeSpent, before.when(), err)
		}
		return fmt.Errorf("%w: %w", ErrGrantRejected, err)
	case clientDead(err):
		c.unspent(ctx, t, cred, "rejected", before, err)
		return fmt.Errorf("%w: %w", ErrClientRejected, err)
	case token.Ambiguous(err):
		c.journal(ctx, t, cred, "unknown", err) // the intent stays: the token may be spent
		return err
	}
	c.unspent(ctx, t, cred, "kept", before, err)
	return err
}

// merge keeps what a refresh answer leaves out: the refresh token stays good (RFC 6749 §6), and so does the granted scope (§5.1).
func merge(old, fresh token.Token) token.Token {
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = old.RefreshToken
	}
	if !fresh.ScopeGiven {
		fresh.Scope, fresh.ScopeGiven = old.Scope, old.ScopeGiven
	}
	fresh.IDToken = "" // not needed again, and large
	return fresh
}

// grantDead reports whether the authorization server said that the grant is not valid (RFC 6749 §5.2).
func grantDead(err error) bool {
	var e *token.Error
	return errors.As(err, &e) && (e.Code == "invalid_grant" || refreshTokenInvalid(e))
}

// clientDead reports whether the authorization server said that it does not know the client or does not let it do this.
func clientDead(err error) bool {
	var e *token.Error
	return errors.As(err, &e) && (e.Code == "invalid_client" || e.Code == "unauthorized_client")
}

// alive reports whether a token may still be used: its expiry is unknown or ahead.
func alive(t token.Token, now time.Time) bool {
	return t.AccessToken != "" && (t.Expiry.IsZero() || now.Before(t.Expiry))
}

// enough reports whether at least min is left of a token, or its lifetime is unknown. Where more seems to be left than the token ever had,
// the clock went back since, and nobody here knows how much it really is.
func enough(t token.Token, now time.Time, min time.Duration) bool {
	rest := t.Expiry.Sub(now)
	clockWentBack := t.Lifetime > 0 && rest > t.Lifetime+time.Minute
	return t.AccessToken != "" && (t.Expiry.IsZero() || rest >= min && !clockWentBack)
}

// due reports whether a token is to be renewed before it is used: when less than a tenth of its lifetime is left, or a minute where
// that is less.
func due(t token.Token, now time.Time) bool {
	early := time.Minute
	if t.Lifetime > 0 {
		early = min(early, t.Lifetime/10)
	}
	return !enough(t, now, early)
}

func left(t token.Token, now time.Time) time.Duration { return t.Expiry.Sub(now).Truncate(time.Second) }

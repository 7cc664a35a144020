package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/task"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// Refresh renews the credential if it is valid for less than minTTL, or if minTTL is 0. Refresh never opens a browser.
func (c *Client) Refresh(ctx context.Context, t Target, minTTL time.Duration) (Status, error) {
	stored, err := c.loadCredential(ctx, t)
	if err != nil {
		return none(t), err
	}
	if minTTL > 0 && hasTTL(stored.Token, c.now(), minTTL) {
		return c.Status(ctx, t)
	}
	if _, err := c.renewOnce(ctx, t, renewalReason{minTTL: minTTL, oldToken: stored.Token.AccessToken, insist: true}); err != nil {
		return none(t), err
	}
	return c.Status(ctx, t)
}

// Token returns an access token that is valid for at least minTTL, and renews the stored token if needed. A minTTL of 0 means one minute,
// or a tenth of the lifetime if that is less. A token that another process has just obtained is returned even if its remaining lifetime is
// shorter than minTTL. Token never opens a browser.
func (c *Client) Token(ctx context.Context, t Target, minTTL time.Duration) (token.Token, error) {
	cred, err := c.loadCredential(ctx, t)
	if err != nil {
		return token.Token{}, err
	}
	if minTTL == 0 {
		minTTL = earlyTTL(cred.Token)
	}
	if !hasTTL(cred.Token, c.now(), minTTL) {
		renewed, err := c.renewOnce(ctx, t, renewalReason{minTTL: minTTL, oldToken: cred.Token.AccessToken})
		switch {
		case err == nil:
			cred = renewed
		case errors.Is(ctx.Err(), context.Canceled) || !isUnexpired(cred.Token, c.now()):
			return token.Token{}, err
		default:
			c.warn(fmt.Sprintf("%v; the stored token is valid for another %s", err, left(cred.Token, c.now())))
		}
	}
	if cred.DPoPKey != nil {
		return token.Token{}, fmt.Errorf("%s: %w", t.URL, ErrBoundToken)
	}
	return cred.Token, nil
}

// renewalReason is the reason for a renewal. The reason decides whether a token from another process can be used instead.
type renewalReason struct {
	oldToken Secret        // access token that the caller has; any other unexpired token can replace it
	minTTL   time.Duration // oldToken may be used if its remaining lifetime is at least minTTL; 0: oldToken must be replaced
	rejected bool          // true: the MCP server refused oldToken
	insist   bool          // the user asked for the renewal, so a refresh token that was refused before is sent again
}

// renewOnce renews a credential. Concurrent callers in one process share one renewal and its result.
func (c *Client) renewOnce(ctx context.Context, t Target, why renewalReason) (credential, error) {
	for {
		cred, joined, err := c.jobs.Once(ctx, "renew "+t.String(), lockedLimit, func(k *job) (credential, error) { return c.renewAlone(k, t, why) })
		if err != nil || !joined || canUseStored(cred, why, c.now()) {
			return cred, err
		}
	}
}

// renewAlone renews a credential. If the credential has a login at an identity provider, steps 5 to 8 may run twice: first for the tokens
// of the identity provider, and then for the credential. The new refresh token of the identity provider is stored before the second request
// is sent.
//
//  1. lock the credential
//  2. read the credential again
//  3. use a token that another process has obtained since
//  4. reserve space for the new record, which proves that the store is writable
//  5. write the intent, so that after a crash the next process knows that the refresh token may be used up
//  6. send the refresh token once; from here on, no caller can cancel the task
//  7. store the new tokens; the store reads them back
//  8. remove the intent
func (c *Client) renewAlone(k *job, t Target, why renewalReason) (credential, error) {
	unlock, err := c.Store.Lock(k.Context, t.key(), keystore.LockCredential)
	if err != nil {
		return credential{}, err
	}
	defer unlock()
	cred, err := c.loadCredential(k.Context, t)
	if err != nil {
		return credential{}, err
	}
	if canUseStored(cred, why, c.now()) {
		return cred, nil
	}
	if err := c.checkRenewable(k, t, cred, why); err != nil {
		return credential{}, err
	}
	if err := c.Store.Reserve(k.Context, t.key()); err != nil {
		return credential{}, err
	}
	if login := cred.renewingLogin(); login != &cred {
		if err := c.renewLogin(k, t, &cred, login, why); err != nil {
			return credential{}, err
		}
	}
	return cred, c.renewLogin(k, t, &cred, &cred, why)
}

// renewLogin performs steps 5 to 8 of renewAlone for one login: the credential itself, or its login at the identity provider. No other
// function redeems a refresh token.
func (c *Client) renewLogin(k *job, t Target, cred, login *credential, why renewalReason) error {
	before, err := c.writeIntent(k.Context, t, *login)
	if err != nil {
		return err
	}
	ctx, done, err := spend(k, *login, redeemLimit)
	if err != nil {
		c.recordOutcome(k.Context, t, *login, before, "kept", err)
		return err
	}
	defer done()
	tok, err := c.requestRenewal(ctx, k.Context, login)
	if login != cred {
		err = wrapProviderError(err)
	}
	ctx, cancel := task.Outlive(k.Context, storeLimit, storeLimit)
	defer cancel()
	if err != nil {
		return c.handleFailedRefresh(ctx, t, cred, login, why, before, err)
	}
	login.Token, login.ObtainedAt, login.Refusal = token.Merge(login.Token, tok), c.now(), nil
	if login != cred {
		login.setProviderTokens(tok)
		if tok.IDToken != "" {
			_, refused := login.checkIDToken(c)
			login.Suspect = refused != nil
		}
	} else if cred.IDP != nil {
		cred.IDP.idToken = "" // the ID token has been exchanged
	}
	if err := c.saveCredential(ctx, t, cred); err != nil {
		c.addToJournal(ctx, t, *login, "unstored", err) // the intent stays, because the stored refresh token is used up
		return fmt.Errorf("%s: renewed, but the new tokens could not be stored, and the stored refresh token is now used up: %w", t.URL, err)
	}
	c.recordOutcome(ctx, t, *login, intent{}, "renewed", nil)
	return nil
}

// checkRenewable returns an error if the credential cannot be renewed. The error states the reason.
func (c *Client) checkRenewable(k *job, t Target, cred credential, why renewalReason) error {
	login := cred.renewingLogin()
	switch {
	case cred.isRenewable(), why.insist && login.Token.RefreshToken != "":
		return nil
	case !cred.hasToken() && login.Refusal == nil:
		return fmt.Errorf("%s: %w", t.URL, ErrLoginRequired)
	}
	if why.rejected && isUnexpired(cred.Token, c.now()) {
		// If oidc-provider receives a refresh token twice, it ends the access token too. The access token is marked as expired, so that Status
		// and login --if-needed do not count it as usable. A 401 does not prove that the access token is invalid, so the token stays stored.
		cred.Token.Expiry = c.now()
		if err := c.saveCredential(k.Context, t, &cred); err != nil {
			c.warn(err.Error())
		}
	}
	if login.Refusal != nil {
		return login.Refusal.err(t)
	}
	return fmt.Errorf("%s: %w", t.URL, ErrNoRefreshToken)
}

// canUseStored reports whether the stored token can be used instead of a renewal. A token from another process is used even if it expires
// soon, because a further renewal might invalidate this token.
func canUseStored(cred credential, why renewalReason, now time.Time) bool {
	if cred.hasToken() && cred.same(why.oldToken) {
		return !why.rejected && why.minTTL > 0 && hasTTL(cred.Token, now, why.minTTL)
	}
	return isUnexpired(cred.Token, now)
}

// requestRenewal requests new tokens with the refresh token or the non-interactive grant of the credential. A token endpoint that answers
// 404 or 410 has not processed the request. In this case, requestRenewal discovers the token endpoint of the issuer again, and repeats the
// request once, if the context of the callers has not ended. ctx is the context of the token requests.
func (c *Client) requestRenewal(ctx, callers context.Context, cred *credential) (token.Token, error) {
	tok, err := c.requestRenewalOnce(ctx, cred)
	var gone *token.Error
	if !errors.As(err, &gone) || gone.URL != cred.Endpoints.Token || gone.StatusCode != http.StatusNotFound && gone.StatusCode != http.StatusGone {
		return tok, err
	}
	hc, noClient := c.httpForOrigins(cred.target(), cred.Issuer)
	if noClient != nil {
		return tok, err
	}
	search, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(callers, cancel)()
	server, notFound := discovery.FetchServer(search, cred.Issuer, isLocal(cred.Server), discovery.Options{HTTP: hc, Strict: cred.Settings.Strict, IgnorePKCE: true}) // a renewal needs no authorization endpoint
	if cred.Settings.CertFile != "" {
		server = server.MutualTLS()
	}
	if notFound != nil || callers.Err() != nil || server.TokenEndpoint == cred.Endpoints.Token {
		return tok, err
	}
	c.progress(fmt.Sprintf("the token endpoint moved to %s", httpx.Text(server.TokenEndpoint, 300)))
	cred.Endpoints = endpoints(server)
	return c.requestRenewalOnce(ctx, cred)
}

func (c *Client) requestRenewalOnce(ctx context.Context, cred *credential) (token.Token, error) {
	e, err := c.tokenEndpoint(*cred)
	if err != nil {
		return token.Token{}, err
	}
	e.Deviation = func(code string) { cred.Deviations = mergeLists(cred.Deviations, []string{code}) }
	if cred.Token.RefreshToken == "" {
		return c.nonInteractiveToken(ctx, e, *cred, LoginOptions{})
	}
	return e.Refresh(ctx, cred.Token.RefreshToken)
}

// tokenFate is the state of the refresh token after a failed refresh.
type tokenFate int

const (
	fateKept    tokenFate = iota // the refresh token is still usable: the request was not sent, or the answer is not about the token (404, 410, 429, an error page of a firewall)
	fateUnknown                  // the server may have used up the refresh token
	fateRefused                  // the server refused the refresh token with an error code other than invalid_grant
	fateDead                     // the server says that the grant is no longer valid (RFC 6749 §5.2)
)

// fateOf derives the state of the refresh token from the error of a refresh.
func fateOf(err error) tokenFate {
	var e *token.Error
	refused := errors.As(err, &e)
	switch {
	case refused && (e.Code == "invalid_grant" || refreshTokenInvalid(e)):
		return fateDead
	case token.Ambiguous(err):
		return fateUnknown
	case refused && refusesToken(e):
		return fateRefused
	}
	return fateKept
}

// refusesToken reports whether the status and the content of a refusal are about the token. The error page of a firewall and a response
// about too many requests are not about the token.
func refusesToken(e *token.Error) bool {
	switch e.StatusCode {
	case http.StatusOK: // GitHub, Slack
		return strings.Contains(e.Code, "token") || strings.Contains(e.Code, "grant")
	case http.StatusBadRequest, http.StatusUnauthorized:
		return (e.Code != "" || e.Description != "") && e.Code != "temporarily_unavailable" && e.Code != "server_error" && e.Code != "slow_down"
	case http.StatusForbidden:
		return e.Code != ""
	}
	return false
}

// isPermanent reports whether the server would refuse a later request in the same way, because the refusal is about the client or the grant
// type (RFC 6749 §5.2). Any other refusal may concern only this early refresh, because some servers refuse to refresh while the access
// token is valid.
func isPermanent(err error) bool {
	var e *token.Error
	return isClientRefused(err) || errors.As(err, &e) && e.Code == "unsupported_grant_type"
}

// handleFailedRefresh records the outcome of a failed refresh. If the grant is no longer valid, it records the refusal and drops the
// refresh token that was sent, and an access token that is no longer usable. For any other refusal, it records the refusal and keeps the refresh token.
func (c *Client) handleFailedRefresh(ctx context.Context, t Target, cred, login *credential, why renewalReason, earlier intent, err error) error {
	err = stage("refresh", err)
	outcome := fateOf(err)
	nonInteractive := login.Token.RefreshToken == "" // a key or an assertion was refused, so there is no token to drop
	switch {
	case outcome == fateUnknown:
		c.addToJournal(ctx, t, *login, "unknown", err) // the intent stays
		return err
	case outcome == fateKept:
		c.recordOutcome(ctx, t, *login, earlier, "kept", err)
		return err
	case outcome == fateDead && !nonInteractive:
		c.recordOutcome(ctx, t, *login, intent{}, "rejected", err)
		login.Token.RefreshToken = ""
		if why.rejected || !isUnexpired(cred.Token, c.now()) {
			cred.Token = token.Token{}
		}
		login.Refusal = refusalOf(err)
		if earlier.interrupted() {
			login.Refusal.Interrupted = earlier.when()
		}
		return errors.Join(fmt.Errorf("%w: %w", login.Refusal.kind(), err), c.saveCredential(ctx, t, cred))
	}
	c.recordOutcome(ctx, t, *login, earlier, "rejected", err)
	good := isUnexpired(cred.Token, c.now())
	if !nonInteractive && (why.rejected || !good || isPermanent(err)) {
		login.Refusal = refusalOf(err)
		if why.rejected && good {
			cred.Token.Expiry = c.now()
		}
		if err := c.saveCredential(ctx, t, cred); err != nil {
			c.warn(err.Error())
		}
	}
	switch {
	case isClientRefused(err):
		return fmt.Errorf("%w: %w", ErrClientRejected, err)
	case !nonInteractive:
		return fmt.Errorf("%w: %w", ErrGrantRejected, err)
	}
	return err
}

// isClientRefused reports whether the authorization server does not know the client, or does not allow the client to send the request.
func isClientRefused(err error) bool {
	var e *token.Error
	return !errors.Is(err, ErrIdentityProvider) && errors.As(err, &e) && (e.Code == "invalid_client" || e.Code == "unauthorized_client" && !refreshTokenInvalid(e))
}

// isUnexpired reports whether a token may still be used: its expiry is unknown or in the future.
func isUnexpired(t token.Token, now time.Time) bool {
	return t.AccessToken != "" && (t.Expiry.IsZero() || now.Before(t.Expiry))
}

// hasTTL reports whether a token is valid for at least minTTL, or has no known expiry. If the remaining time exceeds the lifetime of the
// token, the clock was set back, and the result is false.
func hasTTL(t token.Token, now time.Time, minTTL time.Duration) bool {
	rest := t.Expiry.Sub(now)
	clockWentBack := t.Lifetime > 0 && rest > t.Lifetime+time.Minute
	return t.AccessToken != "" && (t.Expiry.IsZero() || rest >= minTTL && !clockWentBack)
}

// earlyTTL returns the remaining lifetime at which a token is renewed: a minute, or a tenth of the lifetime if that is less.
func earlyTTL(t token.Token) time.Duration {
	if t.Lifetime > 0 {
		return min(time.Minute, t.Lifetime/10)
	}
	return time.Minute
}

// needsRefresh reports whether a token must be renewed before use.
func needsRefresh(t token.Token, now time.Time) bool { return !hasTTL(t, now, earlyTTL(t)) }

// isNew reports whether the token of a credential was obtained less than minUse ago. A time of the future is not new, because the clock was set
// back.
func (c credential) isNew(now time.Time) bool {
	age := now.Sub(c.ObtainedAt)
	return age >= 0 && age < minUse
}

func left(t token.Token, now time.Time) time.Duration { return t.Expiry.Sub(now).Truncate(time.Second) }

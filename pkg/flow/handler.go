package flow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
	"mcpauth/internal/task"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// Reauth limits how a Handler obtains a new token.
type Reauth string

// Values of HandlerOptions.Reauth.
const (
	ReauthBrowser Reauth = "browser" // refresh the token, or else log in through the browser
	ReauthRefresh Reauth = "refresh" // refresh the token, but never open a browser
	ReauthNever   Reauth = "never"   // never renew and never log in
)

// HandlerOptions configures Client.Handler.
type HandlerOptions struct {
	Reauth Reauth   // empty: ReauthBrowser
	Scopes []string // scopes to request in addition to the stored ones

	LoginTimeout time.Duration // time limit of the wait for the browser; 0: 5 minutes
}

// Handler uses the stored credential to authorize the requests of an MCP client to one server. Handler implements auth.OAuthHandler of the
// official Go SDK. A Handler logs in only after a 401 or 403, and renews tokens before they expire. A Handler is safe for concurrent use. A
// request with a valid token does not wait for the renewal or the login of another request.
type Handler struct {
	c *Client
	t Target
	o HandlerOptions

	latest   atomic.Pointer[snapshot] // stored credential and DPoP key; nil: the store has not been read yet
	renewing atomic.Bool              // an early renewal is under way

	mu           sync.Mutex
	address      string              // URL for the requests, see Endpoint; empty: the store has not been read yet
	stepUps      map[string][]Secret // key: a set of requested scopes; value: the tokens that lacked a scope of this set
	logins       []time.Time         // when the latest logins of this handler began, see countLogin
	issued       Secret              // latest access token that replaced a refused one
	issuedAt     time.Time           // when issued was obtained
	refusedToken Secret              // a refresh token that the server refused while the access token was valid
	refusal      error               // the server's refusal of refusedToken
}

// A snapshot contains the token and the DPoP key for requests. A snapshot is immutable, because a request must not combine the token of one
// login with the key of another login.
type snapshot struct {
	cred   credential    // stored credential; zero: no credential is stored
	prover *token.Prover // makes proofs with the credential's DPoP key; nil: the token is a bearer token
}

// Handler returns a handler for the target.
func (c *Client) Handler(t Target, o HandlerOptions) *Handler {
	if o.Reauth == "" {
		o.Reauth = ReauthBrowser
	}
	return &Handler{c: c, t: t, o: o, stepUps: map[string][]Secret{}}
}

const (
	maxStepUps   = 2               // maximum number of step-ups for the same scopes (MCP authorization, Step-Up Authorization Flow, step 4)
	justIssued   = 2 * time.Minute // a refused token that is younger than this is not renewed, because the next token would be refused too
	minUse       = 5 * time.Second // a token that is younger than this is used until the server refuses it, even if the token has expired
	earlyPause   = time.Second     // how long a request waits for the early renewal that it started
	proverOfCred = "prover"        // key of the *token.Prover in the extra fields of an oauth2.Token
)

// currentSnapshot returns the latest snapshot. Only the first call reads the store.
func (h *Handler) currentSnapshot(ctx context.Context) (*snapshot, error) {
	if s := h.latest.Load(); s != nil {
		return s, nil
	}
	return h.reload(ctx)
}

func (h *Handler) reload(ctx context.Context) (*snapshot, error) {
	cred, err := h.c.loadCredential(ctx, h.t)
	if err != nil && !errors.Is(err, ErrLoginRequired) {
		return nil, err
	}
	return h.use(cred)
}

// Endpoint returns the URL for the requests: the server's URL, or its redirect target that the login stored. From then on, the Handler
// refuses a login with another redirect target, because the client would send the token of that login to the old URL. If the store cannot
// be read, Endpoint returns the server's URL, and a later method of the Handler returns the error.
func (h *Handler) Endpoint(ctx context.Context) string {
	if s, err := h.currentSnapshot(ctx); err == nil {
		return h.keepAddress(s.cred)
	}
	return h.keepAddress(credential{})
}

// keepAddress returns the URL for the requests. The first call takes the URL from the credential.
func (h *Handler) keepAddress(cred credential) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.address = cmp.Or(h.address, cred.Moved, h.t.URL)
	return h.address
}

func (h *Handler) use(cred credential) (*snapshot, error) {
	if address := h.keepAddress(cred); cred.hasToken() && cmp.Or(cred.Moved, h.t.URL) != address {
		return nil, fmt.Errorf("%s: %w: requests go to %s, and the login is for %s", h.t.URL, ErrMoved, address, cmp.Or(cred.Moved, h.t.URL))
	}
	s := &snapshot{cred: cred}
	if cred.DPoPKey != nil {
		var err error
		if s.prover, err = h.c.provers.of(cred); err != nil {
			return nil, err
		}
	}
	h.latest.Store(s)
	return s, nil
}

// TokenSource returns the stored token, and renews a token that is about to expire. A token that was obtained less than 5 seconds ago is not
// renewed, because an authorization server that issues tokens with a lifetime of milliseconds would otherwise make each request
// renew. If no token is stored, TokenSource returns nil, and the client sends the request without a token.
func (h *Handler) TokenSource(ctx context.Context) (oauth2.TokenSource, error) {
	s, err := h.currentSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	if s.cred.hasToken() && h.o.Reauth != ReauthNever && s.cred.isRenewable() && !s.cred.isNew(h.c.now()) && needsRefresh(s.cred.Token, h.c.now()) {
		if isUnexpired(s.cred.Token, h.c.now()) {
			h.renewInBackground(ctx, s)
		} else if err := h.renewEarly(ctx, s); err != nil {
			return nil, err
		}
		s = h.latest.Load()
	}
	if !s.cred.hasToken() {
		return nil, nil
	}
	tok := &oauth2.Token{AccessToken: string(s.cred.Token.AccessToken), TokenType: s.cred.Token.TokenType}
	return oauth2.StaticTokenSource(tok.WithExtra(map[string]any{proverOfCred: s.prover})), nil
}

// renewInBackground renews a token that is still valid. Only the request that starts the renewal waits for it, and only for a short time.
func (h *Handler) renewInBackground(ctx context.Context, s *snapshot) {
	if !h.renewing.CompareAndSwap(false, true) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.renewing.Store(false)
		own, cancel := task.Outlive(ctx, lockedLimit, lockedLimit)
		defer cancel()
		_ = h.renewEarly(own, s) // the error does not matter while the token is valid
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(earlyPause):
	}
}

// renewEarly renews a token before the server refuses it. If the renewal fails, a valid token stays in use. If the token has expired and
// only a login can help, renewEarly drops the token, so that the server answers 401 and a login follows.
func (h *Handler) renewEarly(ctx context.Context, s *snapshot) error {
	cred, err := h.c.renewOnce(ctx, h.t, renewalReason{oldToken: s.cred.Token.AccessToken, minTTL: max(1, earlyTTL(s.cred.Token))})
	switch {
	case err == nil:
		_, err = h.use(cred)
		return err
	case errors.Is(err, context.Canceled):
		return err
	case isUnexpired(s.cred.Token, h.c.now()):
		if fateOf(err) == fateRefused {
			h.mu.Lock()
			h.refusedToken, h.refusal = s.cred.Token.RefreshToken, err
			h.mu.Unlock()
		}
		h.c.warn(fmt.Sprintf("%v; using the current token, which is valid for another %s", err, left(s.cred.Token, h.c.now())))
	case needsLogin(err):
		h.latest.CompareAndSwap(s, &snapshot{})
	default:
		return err
	}
	return nil
}

// needsLogin reports whether only a new login can help. A login is needed if the credential cannot be renewed, or if the authorization
// server refused the renewal with a 4xx status other than 429. For example, a token endpoint that has moved answers 404. After a 5xx status
// or a network error, a renewal may still succeed.
func needsLogin(err error) bool {
	var refused *token.Error
	if errors.As(err, &refused) && refused.StatusCode >= 400 && refused.StatusCode < 500 && refused.StatusCode != http.StatusTooManyRequests {
		return true
	}
	return slices.ContainsFunc([]error{ErrLoginRequired, ErrNoRefreshToken, ErrGrantRejected, ErrMaybeSpent, ErrClientRejected},
		func(e error) bool { return errors.Is(err, e) })
}

// Decorate adds an access token to a request, and adds a DPoP proof if the token is bound to a key (RFC 9449 §7.1). If the origin of the
// request is not that of the MCP server, Decorate returns an error. MCP clients call Decorate instead of setting the Authorization header.
func (h *Handler) Decorate(req *http.Request, tok *oauth2.Token) error {
	if !hasOriginOf([]string{h.t.URL})(req.URL) {
		return &httpx.AddressError{Address: httpx.Text(req.URL.String(), 200), Reason: "the access token is for " + h.t.URL}
	}
	prover, _ := tok.Extra(proverOfCred).(*token.Prover)
	if prover == nil || !strings.EqualFold(tok.TokenType, "DPoP") {
		req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
		return nil
	}
	proof, err := prover.Proof(req.Method, req.URL.String(), tok.AccessToken)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "DPoP "+tok.AccessToken)
	req.Header.Set("DPoP", proof)
	return nil
}

// Observe stores the DPoP nonce in the response to an authorized request, and the next proof contains this nonce (RFC 9449 §8.2). Without
// Observe, the server refuses requests with an old nonce.
func (h *Handler) Observe(resp *http.Response) {
	if s := h.latest.Load(); s != nil && s.prover != nil && resp.Request != nil {
		s.prover.Remember(resp.Request.URL.String(), resp.Header)
	}
}

// Grant returns an identifier of the login, or "" if there is none. The identifier is a hash of the issuer, the client and the time of the
// login. A refresh does not change the identifier, so a cache can use it to separate the data of different logins.
func (h *Handler) Grant(ctx context.Context) (string, error) {
	s, err := h.currentSnapshot(ctx)
	if err != nil {
		return "", err
	}
	return s.cred.grantID(), nil
}

func (c credential) grantID() string {
	if !c.hasToken() {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d", c.Issuer, c.Client.ID, c.LoginAt.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// Authorize handles a 401 or 403 response. If Authorize returns nil, the client should send the request again.
//
//	401: use another process's newer token, else refresh, else log in if a browser is allowed
//	403: log in for the scopes of earlier logins and those of the challenge; a refresh cannot add scopes
//
// If the server refuses a token that Authorize has just obtained, the error is ErrTokenRefused, because a newer token would not help. If this
// token has expired, Authorize renews it, but does not log in.
func (h *Handler) Authorize(ctx context.Context, req *http.Request, resp *http.Response) error {
	httpx.Drain(resp.Body)
	sent := sentToken(req)
	secrets := h.c.LoginSecrets(h.t)
	secrets.Learn(string(sent))
	challenges := discovery.ParseChallenges(secrets.CleanHeader(resp.Header)) // another transport than ours may have sent the request
	challenge, _ := discovery.Bearer(challenges)
	if resp.StatusCode != http.StatusForbidden && h.rememberNonce(req, resp, challenge) {
		return nil
	}
	if resp.StatusCode != http.StatusForbidden && h.o.Reauth == ReauthNever {
		return fmt.Errorf("%s: the server answers 401, and renewal is disabled: %w%s", h.t.URL, ErrLoginRequired, serverMessage(challenge))
	}
	s, err := h.reload(ctx) // read the store again, because another process may have renewed the credential
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusForbidden {
		return h.stepUp(ctx, s, challenges, challenge, sent)
	}
	if isUnexpired(s.cred.Token, h.c.now()) && !s.cred.same(sent) {
		return nil
	}
	issued := h.wasIssued(sent)
	if issued && (isUnexpired(s.cred.Token, h.c.now()) || !s.cred.isRenewable()) {
		return fmt.Errorf("%s: %w%s", h.t.URL, ErrTokenRefused, serverMessage(challenge))
	}
	err = fmt.Errorf("%s: %w", h.t.URL, ErrLoginRequired)
	if s.cred.hasToken() {
		err = h.renewRefused(ctx, s, sent)
	}
	if err == nil || !needsLogin(err) {
		return err
	}
	if issued || !h.mayLogin(s) { // a server that refuses each new token must not open the browser again and again
		return fmt.Errorf("%w%s", err, serverMessage(challenge))
	}
	return h.loginAgain(ctx, errors.Is(err, ErrClientRejected), loginReason{challenges: challenges, scopes: h.o.Scopes, rejected: &sent}, err)
}

// serverMessage returns the error_description of a challenge in a form that can be appended to an error message.
func serverMessage(ch discovery.Challenge) string {
	words := httpx.Text(ch.ErrorDescription(), 300)
	if words == "" {
		return ""
	}
	return fmt.Sprintf("; the server says: %q", words)
}

// mayLogin reports whether the handler may log in, with a browser or by the credential's non-interactive grant.
func (h *Handler) mayLogin(s *snapshot) bool {
	grant := cmp.Or(s.cred.Grant, h.t.grantOrDefault())
	return h.o.Reauth == ReauthBrowser || h.o.Reauth == ReauthRefresh && grant.nonInteractive()
}

// renewRefused renews a token that the MCP server refused. If the authorization server has already refused the refresh token, renewRefused
// returns that refusal.
func (h *Handler) renewRefused(ctx context.Context, s *snapshot, sent Secret) error {
	h.mu.Lock()
	refusal := h.refusal
	if h.refusedToken == "" || h.refusedToken != s.cred.Token.RefreshToken || !s.cred.same(sent) {
		refusal = nil
	}
	h.mu.Unlock()
	if refusal != nil {
		_, err := h.c.updateCredential(ctx, h.t, func(cred *credential) {
			if cred.same(sent) {
				cred.Refusal, cred.Token.Expiry = refusalOf(refusal), h.c.now()
			}
		})
		return cmp.Or(err, refusal)
	}
	cred, err := h.c.renewOnce(ctx, h.t, renewalReason{oldToken: s.cred.Token.AccessToken, rejected: s.cred.same(sent)})
	if err != nil {
		return err
	}
	return h.useReplacement(cred)
}

// useReplacement makes the handler use a credential whose token replaces a refused token.
func (h *Handler) useReplacement(cred credential) error {
	h.mu.Lock()
	h.issued, h.issuedAt = cred.Token.AccessToken, h.c.now()
	h.mu.Unlock()
	_, err := h.use(cred)
	return err
}

func (h *Handler) wasIssued(sent Secret) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sent != "" && sent == h.issued && h.c.now().Sub(h.issuedAt) < justIssued
}

// loginAgain logs in, and makes the handler use the new credential. Requests of this process for the same scopes share one login. If too
// many logins opened the browser, loginAgain returns the error instead.
func (h *Handler) loginAgain(ctx context.Context, newClient bool, why loginReason, instead error) error {
	why.open = func() error { return h.countLogin(instead) }
	o := LoginOptions{NewClient: newClient, Timeout: h.o.LoginTimeout, silent: h.o.Reauth != ReauthBrowser}
	cred, err := h.c.loginOnce(ctx, "login "+h.t.String()+" "+scopeSetKey(why.scopes), h.t, o, why)
	if err != nil {
		return err
	}
	return h.useReplacement(cred)
}

// rememberNonce stores the nonce that the server requires in DPoP proofs (RFC 9449 §9). The result is true if the request should be sent
// again.
func (h *Handler) rememberNonce(req *http.Request, resp *http.Response, ch discovery.Challenge) bool {
	s := h.latest.Load()
	if s == nil || s.prover == nil || ch.Error() != "use_dpop_nonce" || resp.Header.Get("DPoP-Nonce") == "" {
		return false
	}
	s.prover.Remember(req.URL.String(), resp.Header) // if a concurrent request has stored the same nonce already, nothing changes
	return true
}

func sentToken(req *http.Request) Secret {
	_, tok, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return Secret(tok)
}

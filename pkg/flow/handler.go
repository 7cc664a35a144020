// This file lets an MCP client use a stored credential: it implements the official SDK's auth.OAuthHandler, so OAuth starts only on a
// 401, tokens are renewed before they expire, and a refused token is answered by the cheapest thing that helps.

package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// How far a Handler may go to obtain authorization.
const (
	ReauthBrowser = "browser" // refresh, else log in through the browser
	ReauthRefresh = "refresh" // refresh only
	ReauthNever   = "never"   // use the stored token or none
)

// HandlerOptions configures Client.Handler.
type HandlerOptions struct {
	Reauth string       // see ReauthBrowser; empty: ReauthBrowser
	Scopes []string     // scopes that the credential must have, beside the stored ones
	Login  LoginOptions // for logins that the handler begins
}

// Handler implements auth.OAuthHandler of the official Go SDK for one server. It is safe for concurrent use.
type Handler struct {
	c *Client
	t Target
	o HandlerOptions

	mu      sync.Mutex // one decision at a time in this process; the locks of the store do the same between processes
	loaded  bool
	cred    Credential    // zero when there is none
	prover  *token.Prover // of the credential's DPoP key; nil: bearer. It remembers the server's nonces
	stepUps int
}

// Handler returns a handler for that server.
func (c *Client) Handler(t Target, o HandlerOptions) *Handler {
	if o.Reauth == "" {
		o.Reauth = ReauthBrowser
	}
	return &Handler{c: c, t: t, o: o}
}

// maxStepUps bounds how often one handler asks for more scope (MCP authorization, Step-Up Authorization Flow, step 4).
const maxStepUps = 2

// TokenSource returns the stored token, renewed when it is about to expire; nil when there is none, so that the server is asked
// without one. The store is read once.
func (h *Handler) TokenSource(ctx context.Context) (oauth2.TokenSource, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(ctx); err != nil {
		return nil, err
	}
	if !h.cred.hasToken() {
		return nil, nil
	}
	if due(h.cred.Token, h.c.now()) && h.o.Reauth != ReauthNever && h.cred.renewable() {
		if err := h.renewEarly(ctx); err != nil {
			return nil, err
		}
	}
	if !h.cred.hasToken() {
		return nil, nil
	}
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: h.cred.Token.AccessToken, TokenType: h.cred.Token.TokenType}), nil
}

func (h *Handler) load(ctx context.Context) error {
	if h.loaded {
		return nil
	}
	cred, err := h.c.load(ctx, h.t)
	if err != nil && !errors.Is(err, ErrLoginRequired) {
		return err
	}
	if cred.DPoPKey == nil {
		h.prover = nil
	} else if !bytes.Equal(cred.DPoPKey, h.cred.DPoPKey) {
		if h.prover, err = token.LoadProver(cred.DPoPKey); err != nil {
			return fmt.Errorf("%w: DPoP key", ErrCredential)
		}
	}
	h.cred, h.loaded = cred, true
	return nil
}

// renewEarly renews a token before the server has refused it. Where that fails, a token that is still good is used, and one whose
// grant is dead is given up, so that the server's 401 leads to a login.
func (h *Handler) renewEarly(ctx context.Context) error {
	early := h.cred.Token.Lifetime / 10
	cred, err := h.c.renew(ctx, h.t, renewal{than: h.cred.Token.AccessToken, minTTL: max(1, min(lockWait, early))})
	switch {
	case err == nil:
		h.cred = cred
	case alive(h.cred.Token, h.c.now()):
		h.c.warn(fmt.Sprintf("%v; the token is still good for %s and is used", err, left(h.cred.Token, h.c.now())))
	case needsLogin(err):
		h.cred = Credential{}
	default:
		return err
	}
	return nil
}

// needsLogin reports whether only a new login can help: there is nothing to renew with, or the authorization server answered that it will
// not renew, in whatever words (one that has moved away answers 404). Its failures and those of the network prove nothing.
func needsLogin(err error) bool {
	var refused *token.Error
	if errors.As(err, &refused) && refused.StatusCode >= 400 && refused.StatusCode < 500 && refused.StatusCode != http.StatusTooManyRequests {
		return true
	}
	for _, e := range []error{ErrLoginRequired, ErrNoRefreshToken, ErrGrantRejected, ErrMaybeSpent, ErrClientRejected} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Decorate authorizes a request with the token: a bearer token, or one bound to the credential's DPoP key with a proof for this very
// request (RFC 9449 §7.1). MCP clients that know it call it in place of setting the header themselves.
func (h *Handler) Decorate(req *http.Request, tok *oauth2.Token) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.prover == nil || !strings.EqualFold(tok.TokenType, "DPoP") {
		req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
		return nil
	}
	proof, err := h.prover.Proof(req.Method, req.URL.String(), tok.AccessToken)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "DPoP "+tok.AccessToken)
	req.Header.Set("DPoP", proof)
	return nil
}

// Authorize answers a 401 or 403. A nil error means that the request is worth sending again.
//
//	401: another process's newer token, else a refresh, else a login where a browser is allowed
//	403: a login for the union of the scopes asked for before and those of the challenge; never a refresh, which cannot widen
func (h *Handler) Authorize(ctx context.Context, req *http.Request, resp *http.Response) error {
	drain(resp)
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := sentToken(req)
	challenges := without(sent, discovery.ParseChallenges(resp.Header))
	challenge, _ := discovery.Bearer(challenges)
	if resp.StatusCode == http.StatusForbidden {
		return h.stepUp(ctx, challenges, challenge, sent)
	}
	if h.nonce(req, resp, challenge) {
		return nil
	}
	if h.o.Reauth == ReauthNever {
		return fmt.Errorf("%s: the server answers 401 and renewal is switched off: %w", h.t.URL, ErrLoginRequired)
	}
	err := h.replace(ctx, sent)
	if err == nil || !needsLogin(err) {
		return err
	}
	if h.o.Reauth != ReauthBrowser && !machine(h.t.grant()) {
		return err
	}
	o := h.o.Login
	o.than, o.challenges, o.stepUp = &sent, challenges, h.scopes()
	o.NewClient = o.NewClient || errors.Is(err, ErrClientRejected)
	return h.login(ctx, o)
}

// replace looks for a better token than the one that was refused: another process's, else a refreshed one.
func (h *Handler) replace(ctx context.Context, sent string) error {
	h.loaded = false
	if err := h.load(ctx); err != nil {
		return err
	}
	if alive(h.cred.Token, h.c.now()) && !h.cred.same(sent) {
		return nil
	}
	if !h.cred.hasToken() {
		return fmt.Errorf("%s: %w", h.t.URL, ErrLoginRequired)
	}
	cred, err := h.c.renew(ctx, h.t, renewal{than: h.cred.Token.AccessToken, rejected: true})
	if err != nil {
		return err
	}
	h.cred = cred
	return nil
}

// stepUp answers insufficient_scope. A 403 with a scope but without the error is taken for one: the official Go SDK's servers send it.
func (h *Handler) stepUp(ctx context.Context, challenges []discovery.Challenge, ch discovery.Challenge, sent string) error {
	if ch.Error() != "insufficient_scope" && ch.Scope() == "" {
		return fmt.Errorf("%s: the server answers 403: %w", h.t.URL, ErrForbidden)
	}
	if err := h.load(ctx); err != nil {
		return err
	}
	asked := union(h.cred.Scopes, h.cred.granted(), h.o.Scopes)
	wanted := union(asked, splitScope(ch.Scope()))
	news := len(missing(wanted, asked)) > 0
	switch {
	case !news && alive(h.cred.Token, h.c.now()) && !h.cred.same(sent):
		return nil // another request of this process has stepped up meanwhile
	case h.stepUps == maxStepUps, h.stepUps > 0 && !news:
		return fmt.Errorf("%s: %w", h.t.URL, &ScopeError{Scopes: wanted, Granted: true})
	case h.o.Reauth != ReauthBrowser && !machine(h.cred.Grant):
		return fmt.Errorf("%s: %w", h.t.URL, &ScopeError{Scopes: wanted})
	}
	h.stepUps++
	h.c.progress("the server wants " + quoteScopes(splitScope(ch.Scope())))
	o := h.o.Login
	o.IfNeeded, o.than, o.challenges, o.stepUp = false, &sent, challenges, wanted
	return h.login(ctx, o)
}

// login runs one and takes its result.
func (h *Handler) login(ctx context.Context, o LoginOptions) error {
	if err := h.c.login(ctx, h.t, o); err != nil {
		return err
	}
	h.loaded = false
	return h.load(ctx)
}

// scopes are those a login by this handler asks for beside the server's.
func (h *Handler) scopes() []string {
	if len(h.o.Scopes) == 0 {
		return nil
	}
	return union(h.o.Scopes, h.cred.Scopes)
}

// nonce takes a nonce that the server demands for DPoP proofs (RFC 9449 §9), and reports whether the request is worth repeating.
func (h *Handler) nonce(req *http.Request, resp *http.Response, ch discovery.Challenge) bool {
	if h.prover == nil || ch.Error() != "use_dpop_nonce" || resp.Header.Get("DPoP-Nonce") == "" {
		return false
	}
	h.prover.Remember(req.URL.String(), resp.Header) // known already when requests went out side by side
	return true
}

// without drops the parameters that give the refused token back: a scope goes into messages, and into the address that a browser opens.
func without(token string, challenges []discovery.Challenge) []discovery.Challenge {
	forms := httpx.Forms([]string{token})
	for _, c := range challenges {
		maps.DeleteFunc(c.Params, func(_, value string) bool { return httpx.Mask(value, forms) != value })
	}
	return challenges
}

// sentToken is the token that the refused request carried.
func sentToken(req *http.Request) string {
	if req == nil {
		return ""
	}
	_, tok, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return tok
}

// drain reads a little of an answer and closes it, so that its connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

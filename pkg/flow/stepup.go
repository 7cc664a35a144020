package flow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mcpauth/pkg/discovery"
)

// stepUp logs in with more scopes after a 403 with insufficient_scope (RFC 6750 §3.1). It also accepts a challenge with a scope but without
// an error, because servers with the official Go SDK send such a challenge.
func (h *Handler) stepUp(ctx context.Context, s *snapshot, challenges []discovery.Challenge, ch discovery.Challenge, sent Secret) error {
	if ch.Error() != "insufficient_scope" && ch.Scope() == "" {
		return fmt.Errorf("%s: the server answers 403: %w%s", h.t.URL, ErrForbidden, serverMessage(ch))
	}
	asked := mergeLists(s.cred.Scopes, s.cred.grantedScopes(), h.o.Scopes)
	wanted := mergeLists(asked, splitScope(ch.Scope()))
	if err := checkScopes(wanted, h.t); err != nil {
		return err
	}
	news := len(wanted) > len(asked) // missingScopes would not count offline_access
	if !news && isUnexpired(s.cred.Token, h.c.now()) && !s.cred.same(sent) {
		return nil // another request or process has obtained the scopes
	}
	if !h.mayLogin(s) || news && h.isUnattended(s) {
		return fmt.Errorf("%s: %w%s", h.t.URL, &ScopeError{Scopes: wanted}, serverMessage(ch))
	}
	if !h.countStepUp(wanted, sent, news) {
		return fmt.Errorf("%s: %w%s", h.t.URL, &ScopeError{Scopes: wanted, Granted: true}, serverMessage(ch))
	}
	if ch.Scope() == "" {
		h.c.progress("the server requires more scopes, but names none")
	} else {
		h.c.progress("the server requires " + quoteScopes(splitScope(ch.Scope())))
	}
	return h.loginAgain(ctx, false, loginReason{challenges: challenges, scopes: wanted, rejected: &sent}, fmt.Errorf("%s: %w", h.t.URL, &ScopeError{Scopes: wanted}))
}

// isUnattended reports whether nobody approves the scopes of a login and the user named them. A server must not add scopes to such a login.
// The client may abort a step-up without a user (MCP authorization, Step-Up Authorization Flow).
func (h *Handler) isUnattended(s *snapshot) bool {
	named := len(s.cred.Settings.Scopes)+len(h.t.settingsFor(s.cred).Scopes)+len(h.o.Scopes) > 0
	return named && cmp.Or(s.cred.Grant, h.t.grantOrDefault()).nonInteractive()
}

// countStepUp counts a step-up for these scopes and reports whether the step-up is allowed. If several requests were refused with the same
// token, their step-ups count as one.
func (h *Handler) countStepUp(wanted []string, sent Secret, news bool) bool {
	name := scopeSetKey(wanted)
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.stepUps[name]
	switch {
	case slices.Contains(before, sent) && news:
		return true
	case len(before) >= maxStepUps || len(before) > 0 && !news:
		return false
	}
	h.stepUps[name] = append(before, sent)
	return true
}

const (
	maxLogins   = 5 // maximum number of logins of a handler in loginPeriod
	loginPeriod = 10 * time.Minute
)

// countLogin counts a login that a 401 or 403 response starts. If there were too many logins, countLogin returns the reason for the login as
// an error. Without this limit, a server could open the browser for each request: it requires other scopes each time, or its authorization
// server ends each login at once.
func (h *Handler) countLogin(reason error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.c.now()
	h.logins = slices.DeleteFunc(h.logins, func(began time.Time) bool { return now.Sub(began) >= loginPeriod })
	if len(h.logins) >= maxLogins {
		return fmt.Errorf("%w; mcpauth has already started %d logins within %.0f minutes", reason, maxLogins, loginPeriod.Minutes())
	}
	h.logins = append(h.logins, now)
	return nil
}

package mcphttp

import (
	"slices"
	"strings"
	"sync"

	"mcpauth/internal/httpx"
)

// maxMasked limits how many tokens are remembered. A server repeats the token that it has just refused, so a few are enough, and masking
// does not become slower as the process ages.
const maxMasked = 4

// masked holds the credentials that must not appear in errors, because some servers repeat the token that they refuse.
type masked struct {
	fixed []string // forms of Link.Secrets

	mu     sync.Mutex
	tokens []string // the last ones that were sent
}

// add remembers the credential of an Authorization header.
func (m *masked) add(authorization string) {
	_, token, ok := strings.Cut(authorization, " ")
	if !ok {
		token = authorization
	}
	if token == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.tokens, token) {
		return
	}
	if len(m.tokens) == maxMasked {
		m.tokens = slices.Delete(m.tokens, 0, 1)
	}
	m.tokens = append(m.tokens, token)
}

// hidden are the credentials in the forms in which they may come back.
func (l *Link) hidden() []string {
	l.masked.mu.Lock()
	defer l.masked.mu.Unlock()
	return append(httpx.Forms(l.masked.tokens), l.masked.fixed...)
}

// HoldsToken reports whether a text that must not be changed contains one of the last tokens.
func (l *Link) HoldsToken(s string) bool {
	l.masked.mu.Lock()
	defer l.masked.mu.Unlock()
	return httpx.Holds(s, httpx.Forms(l.masked.tokens))
}

// Clean takes the credentials out of the server's words.
func (l *Link) Clean(s string) string {
	if hidden := l.hidden(); s != "" && len(hidden) > 0 {
		return httpx.Mask(s, hidden)
	}
	return s
}

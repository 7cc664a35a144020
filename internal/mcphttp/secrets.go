package mcphttp

import (
	"slices"
	"strings"
	"sync"

	"mcpauth/internal/httpx"
)

// maxMasked limits how many sent tokens are remembered for masking. A small number is enough, because a server that repeats a token repeats
// the token that it has just refused.
const maxMasked = 4

// maskedSecrets contains the credentials to mask in errors, because some servers repeat the token that they refuse.
type maskedSecrets struct {
	fixed []string // encoded forms of Link.Secrets, see httpx.Forms

	mu     sync.Mutex
	tokens []string // the last tokens sent
}

// addToken stores the credential of an Authorization header, and returns the credential.
func (m *maskedSecrets) addToken(authorization string) (token string) {
	token = authorization[strings.IndexByte(authorization, ' ')+1:] // without the scheme
	m.mu.Lock()
	defer m.mu.Unlock()
	if token == "" || slices.Contains(m.tokens, token) {
		return token
	}
	if len(m.tokens) == maxMasked {
		m.tokens = slices.Delete(m.tokens, 0, 1)
	}
	m.tokens = append(m.tokens, token)
	return token
}

// secretForms returns the credentials in all encodings in which a server may repeat them.
func (l *Link) secretForms() []string {
	l.masked.mu.Lock()
	defer l.masked.mu.Unlock()
	return append(httpx.Forms(l.masked.tokens), l.masked.fixed...)
}

func (l *Link) known() *httpx.Secrets {
	if l.Known != nil {
		return l.Known
	}
	return &l.ownSecrets
}

// HoldsToken reports whether s contains a recent token or another secret. Use HoldsToken if s cannot be masked, for example a URL.
func (l *Link) HoldsToken(s string) bool {
	l.masked.mu.Lock()
	defer l.masked.mu.Unlock()
	return httpx.HoldsWhole(s, httpx.Forms(l.masked.tokens)) || l.known().Holds(s)
}

// MayKeep reports whether data of the server contains no secret, so that the data may be stored in a file.
func (l *Link) MayKeep(data string) bool { return l.known().MayStore(data) }

// Clean masks the credentials and the known secrets in text from the server.
func (l *Link) Clean(s string) string {
	if hidden := l.secretForms(); s != "" && len(hidden) > 0 {
		s = httpx.Mask(s, hidden)
	}
	return l.known().Mask(s)
}

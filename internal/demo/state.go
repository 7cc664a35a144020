package demo

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
)

// state is what the authorization server remembers, and what "migrate" throws away. It is guarded by Server.mu; no request is made while
// that is held.
type state struct {
	clients map[string]*Client
	grants  []*grant
	codes   map[string]*code
	access  map[string]*access
	refresh map[string]*grant // spent refresh tokens too, to know them again
	devices map[string]*device
	pages   map[string]*approval // pending pages of an interactive server
	pushed  map[string]*pushed   // by request_uri
	proofs  map[string]time.Time // jti of DPoP proofs and client assertions, until when they matter
	nonce   string
	last    int // number of the latest grant

	idTokens []string // that were given
}

func (t *state) init() {
	*t = state{clients: map[string]*Client{}, codes: map[string]*code{}, access: map[string]*access{}, refresh: map[string]*grant{},
		devices: map[string]*device{}, pages: map[string]*approval{}, pushed: map[string]*pushed{}, proofs: map[string]time.Time{}, nonce: secret("nonce")}
}

// grant is one approval and all tokens that came of it, what RFC 9700 §4.14 calls a family. What it shares with other grants is up to
// Settings.Share.
type grant struct {
	id         int
	kind       string // grant_type that began it
	client     string
	subject    string
	browser    string // session of the browser in which it was approved; empty: none
	nonce      string // of the authorization request, for the ID token
	scopes     []string
	resource   string
	key        string // thumbprint of the DPoP key; empty: bearer tokens
	cert       string // thumbprint of the client's TLS certificate that the tokens are bound to; empty: none
	refresh    string // the good refresh token; empty: there is none
	spent      map[string]time.Time
	generation int // number of token answers
	expires    time.Time
	revoked    bool
}

// access is one access token.
type access struct {
	grant      *grant
	scopes     []string
	generation int
	expires    time.Time
	revoked    bool
}

// code is an authorization code.
type code struct {
	grant       *grant
	challenge   string
	redirectURI string
	expires     time.Time
	used        bool
	key         string // dpop_jkt of the authorization request
}

// secret makes a token that can be recognised anywhere: "demo-rt-…".
func secret(kind string) string { return "demo-" + kind + "-" + rand.Text() }

// pad makes a token as long as asked.
func pad(token string, size int) string {
	if n := size - len(token); n > 0 {
		return token + strings.Repeat("x", n)
	}
	return token
}

// newGrant begins a family. The lock is held.
func (s *Server) newGrant(kind, client, subject, resource string, scopes []string) *grant {
	s.state.last++
	g := &grant{id: s.state.last, kind: kind, client: client, subject: subject, resource: resource, scopes: scopes,
		spent: map[string]time.Time{}}
	s.state.grants = append(s.state.grants, g)
	return g
}

// newAccess gives the grant another access token, good for its scopes or for fewer. The lock is held.
func (s *Server) newAccess(g *grant, scopes []string) string {
	if s.settings.Single {
		s.endAccess(func(a *access) bool { return a.grant == g })
	}
	g.generation++
	g.expires = s.now().Add(s.settings.ttl())
	token := pad(secret(fmt.Sprintf("at-%d", g.generation)), s.settings.Bytes)
	s.state.access[token] = &access{grant: g, scopes: scopes, generation: g.generation, expires: g.expires}
	return token
}

// newRefresh gives the grant another refresh token; the one before is spent. The lock is held.
func (s *Server) newRefresh(g *grant) string {
	if g.refresh != "" {
		g.spent[g.refresh] = s.now()
	}
	g.refresh = pad(secret("rt"), s.settings.Bytes)
	s.state.refresh[g.refresh] = g
	return g.refresh
}

// revoke ends a grant with all its tokens, and every grant that shares its fate. The lock is held.
func (s *Server) revoke(g *grant) {
	for _, other := range s.state.grants {
		if other == g || s.settings.shared(g, other) {
			other.revoked = true
		}
	}
	s.endAccess(func(a *access) bool { return a.grant.revoked })
}

// shared reports whether this server treats two grants as one.
func (v Settings) shared(a, b *grant) bool {
	switch {
	case a.client != b.client:
		return false
	case v.Share == "client":
		return a.subject == b.subject
	case v.Share == "browser":
		return a.browser != "" && a.browser == b.browser
	}
	return false
}

func (s *Server) endAccess(which func(*access) bool) {
	for _, a := range s.state.access {
		if which(a) {
			a.revoked = true
		}
	}
}

// introspect is how the resource asks what a token is worth.
func (s *Server) introspect(token string) (access, grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.state.access[token]
	if a == nil || a.revoked || a.grant.revoked || !s.now().Before(a.expires) {
		return access{}, grant{}, false
	}
	return *a, *a.grant, true
}

// ExpireAccess lets every access token expire now.
func (s *Server) ExpireAccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.state.access {
		a.expires = s.now()
		a.grant.expires = s.now()
	}
}

// RevokeGrants ends every grant: access and refresh tokens are worth nothing.
func (s *Server) RevokeGrants() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.state.grants {
		g.revoked = true
	}
	s.endAccess(func(a *access) bool { return true })
}

// ForgetClients forgets all clients that registered themselves. Their grants stay, and are of no use to anyone.
func (s *Server) ForgetClients() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.state.clients {
		if c.dynamic {
			delete(s.state.clients, id)
		}
	}
}

// Deny lets the next n MCP requests be answered 401, whatever token they carry.
func (s *Server) Deny(n int) { s.Inject(Fault{Endpoint: "mcp", Deny: true, N: n}) }

// Clear removes all faults; settings stay.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Migrate moves the authorization server to another issuer, which knows none of the clients that registered and none of the tokens.
func (s *Server) Migrate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.state.clients
	s.state.init()
	for id, c := range kept {
		if !c.dynamic {
			s.state.clients[id] = c
		}
	}
	s.issuerPath = "/as-" + strings.ToLower(rand.Text()[:6])
}

// Live returns how many grants are good, with a refresh token or a good access token.
func (s *Server) Live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := map[*grant]bool{}
	for _, g := range s.state.refresh {
		if !g.revoked {
			alive[g] = true
		}
	}
	for _, a := range s.state.access {
		if !a.revoked && !a.grant.revoked && s.now().Before(a.expires) {
			alive[a.grant] = true
		}
	}
	return len(alive)
}

// granted cuts scopes down to what this server gives at all.
func (v Settings) granted(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return slices.Contains(v.Withhold, scope) })
}

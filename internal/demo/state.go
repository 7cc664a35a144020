package demo

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
)

// state is the memory of the authorization server. The action "migrate" clears the state, except for pre-registered clients. Server.mu
// guards the state. The server never sends a request while it holds Server.mu.
type state struct {
	clients map[string]*Client
	grants  []*grant
	codes   map[string]*code
	access  map[string]*access
	refresh map[string]*grant // by refresh token; used refresh tokens are included, so that the server recognizes a second use
	devices map[string]*device
	pages   map[string]*approval // approval pages that wait for the user, by ticket
	pushed  map[string]*pushed   // by request_uri
	proofs  map[string]time.Time // jti of DPoP proofs and client assertions, with the time until which they are remembered
	nonce   string
	last    int // ID of the latest grant

	idTokens []string // issued ID tokens
}

func (t *state) init() {
	*t = state{clients: map[string]*Client{}, codes: map[string]*code{}, access: map[string]*access{}, refresh: map[string]*grant{},
		devices: map[string]*device{}, pages: map[string]*approval{}, pushed: map[string]*pushed{}, proofs: map[string]time.Time{}, nonce: secret("nonce")}
}

// grant is one approval with all tokens that were issued for it, which RFC 9700 §4.14 calls a family. Settings.Share can make a revocation
// end several grants.
type grant struct {
	id         int
	kind       string // grant_type of the first token request
	client     string
	subject    string
	browser    string // session of the browser in which the user approved; empty: none
	nonce      string // nonce of the authorization request, for the ID token
	scopes     []string
	resource   string
	key        string // thumbprint of the DPoP key; empty: bearer tokens
	cert       string // thumbprint of the client's TLS certificate to which the tokens are bound; empty: none
	refresh    string // the valid refresh token; empty: none
	spent      map[string]time.Time
	generation int // number of access tokens that were issued
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

// secret returns a random token with a prefix by which tests recognize it, such as "demo-rt-…".
func secret(kind string) string { return "demo-" + kind + "-" + rand.Text() }

// pad lengthens a token to the given number of bytes.
func pad(token string, size int) string {
	if n := size - len(token); n > 0 {
		return token + strings.Repeat("x", n)
	}
	return token
}

// newGrant adds a grant. The caller holds the lock.
func (s *Server) newGrant(kind, client, subject, resource string, scopes []string) *grant {
	s.state.last++
	g := &grant{id: s.state.last, kind: kind, client: client, subject: subject, resource: resource, scopes: scopes,
		spent: map[string]time.Time{}}
	s.state.grants = append(s.state.grants, g)
	return g
}

// newAccess issues an access token for some or all scopes of the grant. The caller holds the lock.
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

// newRefresh issues a refresh token and marks the previous one as used. The caller holds the lock.
func (s *Server) newRefresh(g *grant) string {
	if g.refresh != "" {
		g.spent[g.refresh] = s.now()
	}
	g.refresh = pad(secret("rt"), s.settings.Bytes)
	s.state.refresh[g.refresh] = g
	return g.refresh
}

// revoke revokes a grant with all its tokens. Every other grant that Settings.Share joins to this grant is revoked too. The caller holds
// the lock.
func (s *Server) revoke(g *grant) {
	for _, other := range s.state.grants {
		if other == g || s.settings.shared(g, other) {
			other.revoked = true
		}
	}
	s.endAccess(func(a *access) bool { return a.grant.revoked })
}

// shared reports whether a revocation of one grant also revokes the other.
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

// introspect returns the access token and its grant if the token is valid. The MCP server calls introspect for every request.
func (s *Server) introspect(token string) (access, grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.state.access[token]
	if a == nil || a.revoked || a.grant.revoked || !s.now().Before(a.expires) {
		return access{}, grant{}, false
	}
	return *a, *a.grant, true
}

// ExpireAccess makes every access token expire now.
func (s *Server) ExpireAccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.state.access {
		a.expires = s.now()
		a.grant.expires = s.now()
	}
}

// RevokeGrants revokes every grant with its access and refresh tokens.
func (s *Server) RevokeGrants() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.state.grants {
		g.revoked = true
	}
	s.endAccess(func(a *access) bool { return true })
}

// ForgetClients removes all clients that registered dynamically. Their grants remain, but cannot be refreshed.
func (s *Server) ForgetClients() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.state.clients {
		if c.dynamic {
			delete(s.state.clients, id)
		}
	}
}

// Deny makes the server answer the next n MCP requests with 401, even if their token is valid.
func (s *Server) Deny(n int) { s.Inject(Fault{Endpoint: "mcp", Deny: true, N: n}) }

// Clear removes all faults. The settings do not change.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Migrate moves the authorization server to a new issuer without the dynamically registered clients and without the tokens.
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

// Live returns the number of grants that have a refresh token or a valid access token.
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

// granted returns the scopes without those in Settings.Withhold.
func (v Settings) granted(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return slices.Contains(v.Withhold, scope) })
}

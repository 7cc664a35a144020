package demo

import (
	"net/http"
	"strings"
)

// serveRevoke is the revocation endpoint (RFC 7009). A refresh token is revoked with its grant, an access token alone. For an unknown
// token, it responds with 200 (RFC 7009 §2.2).
func (s *Server) serveRevoke(w http.ResponseWriter, r *request) {
	token, c, refused := s.readTokenQuery(r)
	if refused != nil {
		s.writeError(w, r, refused)
		return
	}
	s.mu.Lock()
	kind := ""
	if g := s.state.refresh[token]; g != nil && g.client == c.ID && !g.revoked {
		s.revoke(g)
		kind = "revoked"
	}
	if a := s.state.access[token]; a != nil && a.grant.client == c.ID && !a.revoked {
		a.revoked = true
		kind = "revoked/access"
	}
	s.mu.Unlock()
	if kind != "" {
		s.count(kind)
	}
	w.WriteHeader(http.StatusOK)
}

// serveIntrospect is the introspection endpoint (RFC 7662).
func (s *Server) serveIntrospect(w http.ResponseWriter, r *request) {
	token, _, refused := s.readTokenQuery(r)
	if refused != nil {
		s.writeError(w, r, refused)
		return
	}
	a, g, ok := s.introspect(token)
	if !ok {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"active": true, "client_id": g.client, "sub": g.subject, "aud": g.resource,
		"scope": strings.Join(a.scopes, " "), "exp": a.expires.Unix(), "iss": s.Issuer()})
}

// readTokenQuery reads the token in a revocation or introspection request.
func (s *Server) readTokenQuery(r *request) (token string, c *Client, refused *oauthError) {
	if r.Method != http.MethodPost || r.entry.Form == nil {
		return "", nil, refuse("invalid_request", "POST a form")
	}
	if c, refused = s.authenticate(r); refused != nil {
		return "", nil, refused
	}
	if token = r.entry.Form.Get("token"); token == "" {
		return "", nil, refuse("invalid_request", "token is missing (RFC 7009 section 2.1)")
	}
	return token, c, nil
}

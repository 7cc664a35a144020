package demo

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// StartProvider starts another instance of the authorization server as the identity provider of an enterprise. The provider authenticates
// users (OpenID Connect), and s accepts its ID-JAGs. The settings that o leaves empty get values that are usual for an identity provider.
func StartProvider(s *Server, o Options) (*Server, error) {
	v := &o.Settings
	v.IDTokens, v.Resource, v.Offline, v.ASM = orText(v.IDTokens, "always"), orText(v.Resource, "optional"), orText(v.Offline, "scope"), orText(v.ASM, "oidc")
	v.Scopes = orWords(v.Scopes, "openid", "offline_access")
	p, err := Start(o)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.customers = append(p.customers, s)
	p.mu.Unlock()
	s.mu.Lock()
	s.provider = p
	s.mu.Unlock()
	return p, nil
}

// trusted returns the identity provider whose ID-JAGs are accepted in addition to the server's own, or nil.
func (s *Server) trusted() *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.provider
}

// isProvider reports whether issuer is an issuer of this server's ID tokens.
func (s *Server) isProvider(issuer string) bool {
	return issuer == s.asOrigin+"/idp" || issuer == s.Issuer() && s.Settings().IDTokens != ""
}

// idToken returns the ID token for a token response (OpenID Connect Core §2). The caller holds the lock.
func (s *Server) idToken(g *grant, refreshed bool) string {
	if !slices.Contains(g.scopes, "openid") || s.settings.IDTokens == "" || refreshed && s.settings.IDTokens != "always" {
		return ""
	}
	c := s.claimsFor(s.asOrigin+s.issuerPath, g.subject, g.client, 0)
	if !refreshed {
		c.Nonce = g.nonce
	}
	data, _ := json.Marshal(c)
	var all map[string]any
	json.Unmarshal(data, &all)
	if s.settings.IDClaims != "" {
		json.Unmarshal([]byte(s.settings.IDClaims), &all)
	}
	token := s.sign("JWT", all)
	s.state.idTokens = append(s.state.idTokens, token)
	return token
}

// serveIDP is the token endpoint of an identity provider that only exchanges ID tokens.
func (s *Server) serveIDP(w http.ResponseWriter, r *request) {
	t, refused := s.readToken(w, r)
	if refused == nil && t.form.Get("grant_type") != grantExchange {
		refused = refuse("unsupported_grant_type", "the identity provider only exchanges tokens (RFC 8693)")
	}
	if refused == nil {
		var answer *tokenAnswer
		if answer, refused = s.redeemExchange(t); refused == nil {
			writeJSON(w, http.StatusOK, answer)
			return
		}
	}
	s.writeError(w, r, refused)
}

// redeemExchange issues an ID-JAG for an ID token or a refresh token (RFC 8693, Identity Assertion JWT Authorization Grant §4.3). The
// authorization server that the parameter audience names accepts the ID-JAG once.
func (s *Server) redeemExchange(t *tokenRequest) (*tokenAnswer, *oauthError) {
	if got := t.form.Get("requested_token_type"); got != typeIDJAG {
		return nil, refuse("invalid_request", "requested_token_type is %q, expected %q (RFC 8693)", got, typeIDJAG)
	}
	s.mu.Lock()
	customers := append(slices.Clone(s.customers), s)
	s.mu.Unlock()
	audience := t.form.Get("audience")
	i := slices.IndexFunc(customers, func(as *Server) bool { return as.Issuer() == audience })
	if i < 0 {
		return nil, refuse("invalid_target", "audience %q is not known here", audience)
	}
	issuer, subject, refused := s.subjectOf(t)
	if refused != nil {
		return nil, refused
	}
	if _, refused := customers[i].checkResource(t.form["resource"], ""); refused != nil {
		return nil, refused
	}
	jag := s.claimsFor(issuer, subject, audience, 0)
	jag.Resource, jag.Scope = t.form.Get("resource"), t.form.Get("scope")
	s.count("exchange")
	return &tokenAnswer{AccessToken: s.sign("oauth-id-jag+jwt", jag), TokenType: "N_A", IssuedTokenType: typeIDJAG, ExpiresIn: int64(5 * time.Minute / time.Second)}, nil
}

// subjectOf returns the user of a subject token, and the issuer for the ID-JAG.
func (s *Server) subjectOf(t *tokenRequest) (issuer, subject string, refused *oauthError) {
	given := t.form.Get("subject_token")
	switch kind := t.form.Get("subject_token_type"); {
	case kind == typeIDToken:
		c, err := s.verify(given)
		if err != nil || !s.isProvider(c.Issuer) || !slices.Contains(c.Audience, t.client.ID) {
			return "", "", refuse("invalid_grant", "the subject token is not a good ID token of this provider: %v", err)
		}
		return c.Issuer, c.Subject, nil
	case kind == typeRefresh && s.Settings().IDTokens != "":
		issuer := s.Issuer()
		s.mu.Lock()
		defer s.mu.Unlock()
		g := s.state.refresh[given]
		if g == nil || g.client != t.client.ID || g.revoked || g.refresh != given {
			return "", "", refuse("invalid_grant", "the refresh token is unknown, used or revoked")
		}
		return issuer, g.subject, nil
	default:
		return "", "", refuse("invalid_request", "subject_token_type %q is not supported", kind)
	}
}

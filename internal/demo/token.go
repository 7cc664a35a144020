package demo

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	grantRefresh     = "refresh_token"
	grantCode        = "authorization_code"
	grantCredentials = "client_credentials"
	grantJWTBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantDevice      = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
)

func grantTypes() []string {
	return []string{grantCode, grantRefresh, grantCredentials, grantDevice, grantJWTBearer, grantExchange}
}

// tokenRequest is a token request of an authenticated client.
type tokenRequest struct {
	form   url.Values
	client *Client
	key    string // thumbprint of the key in the DPoP proof; empty: no proof
	cert   string // thumbprint of the client's TLS certificate; empty: none
	issuer string
}

// tokenAnswer is the token response (RFC 6749 §5.1).
type tokenAnswer struct {
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in,omitempty"`
	RefreshToken    string `json:"refresh_token,omitempty"`
	Scope           string `json:"scope,omitempty"`
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	IDToken         string `json:"id_token,omitempty"`
}

// serveToken is the token endpoint (RFC 6749 §3.2). The grants other than codes and refresh tokens are in grants.go and device.go.
func (s *Server) serveToken(w http.ResponseWriter, r *request) {
	t, refused := s.readToken(w, r)
	if refused == nil {
		var answer *tokenAnswer
		if answer, refused = s.redeem(t); refused == nil {
			if t.key != "" && s.Settings().NextNonce {
				s.newNonce()
				w.Header().Set("DPoP-Nonce", s.nonceNow())
			}
			writeJSON(w, http.StatusOK, answer)
			return
		}
	}
	s.writeError(w, r, refused)
}

// redeem calls the function for the grant type.
func (s *Server) redeem(t *tokenRequest) (*tokenAnswer, *oauthError) {
	name := t.form.Get("grant_type")
	if name == "" || !slices.Contains(grantTypes(), name) {
		return nil, refuse("unsupported_grant_type", "grant_type %q", name)
	}
	if !t.client.may(name) {
		return nil, refuse("unauthorized_client", "this client did not register for grant_type %s", name)
	}
	switch name {
	case grantCode:
		return s.redeemCode(t)
	case grantRefresh:
		return s.redeemRefresh(t)
	case grantCredentials:
		return s.redeemCredentials(t)
	case grantJWTBearer:
		return s.redeemAssertion(t)
	case grantDevice:
		return s.redeemDevice(t)
	}
	return s.redeemExchange(t)
}

// readToken reads the form, authenticates the client and checks a DPoP proof.
func (s *Server) readToken(w http.ResponseWriter, r *request) (*tokenRequest, *oauthError) {
	if r.Method != http.MethodPost || r.entry.Form == nil {
		return nil, refuse("invalid_request", "POST a form (RFC 6749 section 3.2)")
	}
	t := &tokenRequest{form: r.entry.Form, issuer: s.Issuer(), cert: thumbprint(r.Request)}
	for name, values := range t.form {
		if len(values) > 1 && name != "resource" {
			return nil, refuse("invalid_request", "%s is given twice (RFC 6749 section 3.2)", name)
		}
	}
	var refused *oauthError
	if t.client, refused = s.authenticate(r); refused != nil {
		return nil, refused
	}
	t.key, refused = s.checkTokenProof(w, r)
	return t, refused
}

// authenticate authenticates the client. The request must use exactly one method, and it must be the one that the client registered (RFC
// 6749 §2.3).
func (s *Server) authenticate(r *request) (*Client, *oauthError) {
	form := r.entry.Form
	id, given, method := form.Get("client_id"), form.Get("client_secret"), "none"
	methods := 0
	if given != "" {
		methods++
		method = "client_secret_post"
	}
	if form.Get("client_assertion") != "" {
		methods++
		method = "private_key_jwt"
	}
	if user, password, ok := r.BasicAuth(); ok {
		methods++
		method = "client_secret_basic"
		if id != "" && r.entry.Endpoint != "par" { // RFC 9126 §2.1 requires client_id in a pushed request
			return nil, refuse("invalid_request", "Basic and client_id in the body are two methods of authentication")
		}
		id, given = unescape(user), unescape(password)
	} else if r.Header.Get("Authorization") != "" {
		return nil, refuse("invalid_request", "Authorization is not Basic")
	}
	if methods > 1 {
		return nil, refuse("invalid_request", "more than one method of client authentication (RFC 6749 section 2.3)")
	}
	if method == "private_key_jwt" {
		return s.checkClientAssertion(form)
	}
	c, refused := s.lookup(id)
	if refused != nil {
		return nil, refused
	}
	if c.Method == "tls_client_auth" && method == "none" && subject(r.Request) == c.SubjectDN {
		return c, nil
	}
	if c.Method != method {
		return nil, &oauthError{http.StatusUnauthorized, "invalid_client", "this client authenticates by " + c.Method + ", not by " + method}
	}
	if subtle.ConstantTimeCompare([]byte(c.Secret), []byte(given)) != 1 || !c.expires.IsZero() && !s.now().Before(c.expires) {
		return nil, &oauthError{http.StatusUnauthorized, "invalid_client", "the client secret is wrong or has expired"}
	}
	return c, nil
}

// unescape decodes the form encoding of RFC 6749 §2.3.1.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// redeemCode exchanges a code for tokens, once (RFC 6749 §4.1.3, RFC 7636 §4.6).
func (s *Server) redeemCode(t *tokenRequest) (*tokenAnswer, *oauthError) {
	s.mu.Lock()
	c := s.state.codes[t.form.Get("code")]
	if c != nil && c.used {
		s.revoke(c.grant) // RFC 6749 §4.1.2
	}
	bad := c == nil || c.used || c.grant.revoked || !s.now().Before(c.expires)
	if !bad {
		c.used = true
	}
	s.mu.Unlock()
	if bad {
		return nil, refuse("invalid_grant", "the code is unknown, used, expired or revoked")
	}
	if refused := c.check(t); refused != nil {
		return nil, refused
	}
	if _, refused := s.checkResource(t.form["resource"], c.grant.resource); refused != nil {
		return nil, refused
	}
	c.grant.key = t.key
	answer := s.issue(c.grant, t, true)
	s.count("login")
	return answer, nil
}

// check compares a token request with the authorization request of its code.
func (c *code) check(t *tokenRequest) *oauthError {
	sum := sha256.Sum256([]byte(t.form.Get("code_verifier")))
	switch {
	case c.grant.client != t.client.ID:
		return refuse("invalid_grant", "the code was given to another client")
	case c.redirectURI != t.form.Get("redirect_uri"):
		return refuse("invalid_grant", "redirect_uri is not that of the authorization request (RFC 6749 section 4.1.3)")
	case base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge:
		return refuse("invalid_grant", "code_verifier does not fit code_challenge (RFC 7636 section 4.6)")
	case c.key != "" && c.key != t.key:
		return refuse("invalid_grant", "the DPoP key is not that of dpop_jkt (RFC 9449 section 10)")
	}
	return nil
}

// issue issues the first tokens of a grant.
func (s *Server) issue(g *grant, t *tokenRequest, renewable bool) *tokenAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.cert = t.cert
	answer := s.answer(g, g.scopes)
	answer.IDToken = s.idToken(g, false)
	switch {
	case !renewable, !t.client.may(grantRefresh), s.settings.Offline == "never":
	case s.settings.Offline == "scope" && !slices.Contains(g.scopes, "offline_access"):
	default:
		answer.RefreshToken = s.newRefresh(g)
	}
	return answer
}

// answer issues an access token.
func (s *Server) answer(g *grant, scopes []string) *tokenAnswer {
	a := &tokenAnswer{AccessToken: s.newAccess(g, scopes), TokenType: "Bearer", Scope: strings.Join(scopes, " "),
		ExpiresIn: int64((s.settings.ttl() + time.Second - 1) / time.Second)}
	if g.key != "" {
		a.TokenType = "DPoP"
	}
	return a
}

// redeemRefresh implements the refresh grant with rotation (RFC 6749 §6). A refresh token can be used once; a second use revokes the grant
// (RFC 9700 §4.14.2).
func (s *Server) redeemRefresh(t *tokenRequest) (*tokenAnswer, *oauthError) {
	given := t.form.Get("refresh_token")
	s.mu.Lock()
	g := s.state.refresh[given]
	bound := ""
	if g != nil {
		bound = g.resource
	}
	s.mu.Unlock()
	if g == nil || g.client != t.client.ID {
		return nil, refuse("invalid_grant", "the refresh token is unknown here, or another client's")
	}
	if _, refused := s.checkResource(t.form["resource"], bound); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rotate(g, given, t)
}

// rotate checks a refresh token and issues the next one.
func (s *Server) rotate(g *grant, given string, t *tokenRequest) (*tokenAnswer, *oauthError) {
	scopes, refused := g.narrow(t.form.Get("scope"))
	spentAt, spent := g.spent[given]
	forgiven := spent && s.settings.Grace > 0 && s.now().Before(spentAt.Add(s.settings.Grace))
	switch {
	case g.revoked:
		return nil, refuse("invalid_grant", "the grant was revoked")
	case spent && !forgiven:
		s.revoke(g)
		s.count("reuse")
		return nil, refuse("invalid_grant", "the refresh token was used before: the grant is revoked")
	case refused != nil:
		return nil, refused
	case g.cert != t.cert:
		return nil, refuse("invalid_grant", "the refresh token is bound to another certificate (RFC 8705 section 4)")
	case g.key != "" && g.key != t.key:
		return nil, refuse("invalid_dpop_proof", "the proof is missing or made with another key (RFC 9449 section 5)")
	case s.settings.Early > 0 && g.expires.Sub(s.now()) > s.settings.Early:
		return nil, refuse("invalid_request", "too early: the access token is still good")
	}
	answer := s.answer(g, scopes)
	answer.IDToken = s.idToken(g, true)
	switch {
	case forgiven:
		s.count("grace")
		answer.RefreshToken = g.refresh
	case s.settings.Rotate != "never":
		answer.RefreshToken = s.newRefresh(g)
	}
	s.count("refresh")
	return answer, nil
}

// narrow returns the scopes of a refresh request, which must be a subset of the granted scopes (RFC 6749 §6).
func (g *grant) narrow(scope string) ([]string, *oauthError) {
	asked := strings.Fields(scope)
	for _, name := range asked {
		if !slices.Contains(g.scopes, name) {
			return nil, refuse("invalid_scope", "scope %q was not granted", name)
		}
	}
	if len(asked) == 0 {
		return g.scopes, nil
	}
	return asked, nil
}

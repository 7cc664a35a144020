package demo

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	idpClient     = "demo-idp-client"
	typeIDToken   = "urn:ietf:params:oauth:token-type:id_token"
	typeRefresh   = "urn:ietf:params:oauth:token-type:refresh_token"
	typeIDJAG     = "urn:ietf:params:oauth:token-type:id-jag"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

func signatures() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}
}

func signatureNames() []string {
	names := []string{}
	for _, a := range signatures() {
		names = append(names, string(a))
	}
	return names
}

// redeemCredentials issues a token to a confidential client (RFC 6749 §4.4).
func (s *Server) redeemCredentials(t *tokenRequest) (*tokenAnswer, *oauthError) {
	if t.client.Method == "none" {
		return nil, refuse("unauthorized_client", "client_credentials is for clients that authenticate (RFC 6749 section 4.4)")
	}
	return s.issueDirect(t, grantCredentials, t.client.ID)
}

// issueDirect issues an access token without a user's approval and without a refresh token.
func (s *Server) issueDirect(t *tokenRequest, kind, subject string) (*tokenAnswer, *oauthError) {
	resource, refused := s.checkResource(t.form["resource"], "")
	if refused != nil {
		return nil, refused
	}
	scopes, refused := s.Settings().checkScope(t.form.Get("scope"), t.client.Scope)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	g := s.newGrant(kind, t.client.ID, subject, resource, scopes)
	g.key = t.key
	s.mu.Unlock()
	s.count("login")
	return s.issue(g, t, false), nil
}

// claims is the payload of the server's JWTs.
type claims struct {
	jwt.Claims
	Resource string `json:"resource,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
}

// redeemAssertion issues a token for the assertion of a workload, or for an ID-JAG of the identity provider (RFC 7523 §2.1).
func (s *Server) redeemAssertion(t *tokenRequest) (*tokenAnswer, *oauthError) {
	c, err := s.verify(t.form.Get("assertion"))
	if provider := s.trusted(); err != nil && provider != nil {
		c, err = provider.verify(t.form.Get("assertion"))
	}
	if err != nil {
		return nil, refuse("invalid_grant", "the assertion: %v", err)
	}
	if !slices.Contains(c.Audience, t.issuer) && !slices.Contains(c.Audience, s.Issuer()+"/token") {
		return nil, refuse("invalid_grant", "the assertion is for %q, expected %q", []string(c.Audience), t.issuer)
	}
	switch {
	case c.Issuer == s.asOrigin+"/workload":
	case s.isProvider(c.Issuer), s.trusted() != nil && s.trusted().isProvider(c.Issuer):
		if !s.once("id-jag "+c.ID, c.Expiry.Time()) {
			return nil, refuse("invalid_grant", "the assertion was used before")
		}
		if c.Resource != "" && !slices.Contains(s.resources(), c.Resource) {
			return nil, refuse("invalid_target", "the assertion is for another resource")
		}
	default:
		return nil, refuse("invalid_grant", "the assertion is from %q, who is not trusted", c.Issuer)
	}
	return s.issueDirect(t, grantJWTBearer, c.Subject)
}

// verify checks the signature and the times of a JWT that this server signed.
func (s *Server) verify(token string) (claims, error) {
	var c claims
	parsed, err := jwt.ParseSigned(token, signatures())
	if err != nil {
		return c, err
	}
	if err := parsed.Claims(s.key.Public(), &c); err != nil {
		return c, err
	}
	return c, c.ValidateWithLeeway(jwt.Expected{Time: s.now()}, 0)
}

// sign returns a JWT signed with the server's key.
func (s *Server) sign(typ string, c any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "" // NewSigner does not fail for ES256 and this key
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return ""
	}
	return token
}

// claimsFor returns the claims of a JWT.
func (s *Server) claimsFor(issuer, subject, audience string, ttl time.Duration) claims {
	if ttl == 0 {
		ttl = 5 * time.Minute
	}
	now := s.now()
	return claims{Claims: jwt.Claims{Issuer: issuer, Subject: orText(subject, "demo-user"), Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)), ID: rand.Text()}}
}

// Assertion returns a JWT for the jwt-bearer grant, like the one that a workload's platform writes into a file. An empty subject means
// "demo-user" and a zero ttl five minutes. With a negative ttl, the JWT has expired.
func (s *Server) Assertion(subject string, ttl time.Duration) string {
	return s.sign("JWT", s.claimsFor(s.asOrigin+"/workload", subject, s.Issuer(), ttl))
}

// AssertionForEndpoint is Assertion with the token endpoint as its audience, which RFC 7523 §3 allows.
func (s *Server) AssertionForEndpoint() string {
	return s.sign("JWT", s.claimsFor(s.asOrigin+"/workload", "", s.Issuer()+"/token", 0))
}

// IDToken returns an ID token that the token endpoint at IDP exchanges for an ID-JAG.
func (s *Server) IDToken(subject string, ttl time.Duration) string {
	return s.sign("JWT", s.claimsFor(s.asOrigin+"/idp", subject, idpClient, ttl))
}

// checkClientAssertion authenticates a client by private_key_jwt (RFC 7523 §2.2, §3).
func (s *Server) checkClientAssertion(form map[string][]string) (*Client, *oauthError) {
	first := func(name string) string { return strings.Join(form[name], " ") }
	bad := func(why string) (*Client, *oauthError) {
		return nil, &oauthError{http.StatusUnauthorized, "invalid_client", "client_assertion: " + why}
	}
	if first("client_assertion_type") != assertionType {
		return bad("client_assertion_type is wrong")
	}
	parsed, err := jwt.ParseSigned(first("client_assertion"), signatures())
	if err != nil {
		return bad(err.Error())
	}
	var c jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		return bad(err.Error())
	}
	client, refused := s.lookup(c.Subject)
	if refused != nil {
		return nil, refused
	}
	key, err := publicKey(client.Key)
	if client.Method != "private_key_jwt" || err != nil || parsed.Claims(key, &c) != nil {
		return bad("not signed with the key of this client")
	}
	issuer := s.Issuer()
	switch id := first("client_id"); {
	case c.Issuer != c.Subject || id != "" && id != c.Subject:
		return bad("iss, sub and client_id differ")
	case !slices.Contains(c.Audience, issuer) && !slices.Contains(c.Audience, issuer+"/"+s.Settings().tokenPath()):
		return bad("aud is not the issuer")
	case c.Expiry == nil || c.ValidateWithLeeway(jwt.Expected{Time: s.now()}, 0) != nil:
		return bad("exp is missing or past")
	case c.ID == "" || !s.once("client "+c.ID, c.Expiry.Time()):
		return bad("jti is missing or was used before")
	}
	return client, nil
}

// publicKey parses the public key of a client: a JWK, or a JSON string that contains PEM.
func publicKey(raw json.RawMessage) (any, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var key jose.JSONWebKey
		err := key.UnmarshalJSON(raw)
		return key.Key, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the key is no PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

package demo

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// proofWindow limits how far the time of a proof may be in the past or in the future.
const proofWindow = time.Minute

// checkTokenProof checks the DPoP proof of a token request, if there is one or the settings require one (RFC 9449 §5). checkTokenProof
// returns the thumbprint of the key.
func (s *Server) checkTokenProof(w http.ResponseWriter, r *request) (string, *oauthError) {
	v := s.Settings()
	proofs := r.Header.Values("Dpop")
	if r.entry.Endpoint == "idp" || v.DPoP == "" || v.DPoP == "no" || len(proofs) == 0 && v.DPoP == "offer" {
		return "", nil
	}
	key, err := s.checkProof(r, s.asOrigin, "")
	if errors.Is(err, errNonce) {
		w.Header().Set("DPoP-Nonce", s.nonceNow())
		return "", refuse("use_dpop_nonce", "the proof needs the nonce of this server")
	}
	if err != nil {
		return "", refuse("invalid_dpop_proof", "%v", err)
	}
	return key, nil
}

// checkResourceProof checks the authentication scheme and the DPoP proof of an MCP request. If both are valid, code is "". If one is
// invalid, code is an error code of RFC 9449 §7.1. nonce is the current nonce if the proof lacks it.
func (s *Server) checkResourceProof(r *request, scheme, token, bound string) (code, nonce string) {
	if bound == "" {
		if scheme != "Bearer" {
			return "invalid_token", ""
		}
		return "", ""
	}
	if scheme != "DPoP" {
		return "invalid_token", ""
	}
	key, err := s.checkProof(r, s.origin, token)
	switch {
	case errors.Is(err, errNonce):
		return "use_dpop_nonce", s.nonceNow()
	case err != nil:
		return "invalid_dpop_proof", ""
	case key != bound:
		return "invalid_token", ""
	}
	return "", ""
}

var errNonce = errors.New("the nonce is missing or old")

// proofClaims is the payload of a proof (RFC 9449 §4.2).
type proofClaims struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Issued int64  `json:"iat"`
	Hash   string `json:"ath"`
	Nonce  string `json:"nonce"`
}

// checkProof makes the checks of RFC 9449 §4.3 and returns the thumbprint of the key (RFC 7638). checkProof shares no code with mcpauth's
// client. A mistake in only one of the two therefore makes a test fail.
func (s *Server) checkProof(r *request, origin, token string) (string, error) {
	proofs := r.Header.Values("Dpop")
	if len(proofs) != 1 {
		return "", fmt.Errorf("%d DPoP headers, expected one", len(proofs))
	}
	signed, err := jose.ParseSignedCompact(proofs[0], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", err
	}
	head := signed.Signatures[0].Protected
	if typ, _ := head.ExtraHeaders["typ"].(string); typ != "dpop+jwt" {
		return "", fmt.Errorf("typ is %q", typ)
	}
	if head.JSONWebKey == nil || !head.JSONWebKey.IsPublic() {
		return "", errors.New("jwk is missing or private")
	}
	payload, err := signed.Verify(head.JSONWebKey)
	if err != nil {
		return "", err
	}
	var c proofClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", err
	}
	if err := s.checkClaims(c, r.Method, origin+r.URL.Path, token); err != nil {
		return "", err
	}
	sum, err := head.JSONWebKey.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

func (s *Server) checkClaims(c proofClaims, method, address, token string) error {
	age := s.now().Sub(time.Unix(c.Issued, 0))
	hash := sha256.Sum256([]byte(token))
	switch {
	case c.Method != method:
		return fmt.Errorf("htm is %q, expected %q", c.Method, method)
	case c.URL != address:
		return fmt.Errorf("htu is %q, expected %q", c.URL, address)
	case age > proofWindow || age < -proofWindow:
		return errors.New("iat is too far from now")
	case token != "" && c.Hash != base64.RawURLEncoding.EncodeToString(hash[:]):
		return errors.New("ath is not the hash of the token")
	case c.ID == "" || !s.once("proof "+c.ID, s.now().Add(2*proofWindow)):
		return errors.New("jti is missing or was used before")
	case s.Settings().Nonce && c.Nonce != s.nonceNow():
		return errNonce
	}
	return nil
}

// once reports whether an identifier was not seen before, and remembers it until the given time.
func (s *Server) once(id string, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, seen := s.state.proofs[id]; seen && s.now().Before(at) {
		return false
	}
	if len(s.state.proofs) > 10000 {
		for old, at := range s.state.proofs {
			if !s.now().Before(at) {
				delete(s.state.proofs, old)
			}
		}
	}
	s.state.proofs[id] = until
	return true
}

func (s *Server) nonceNow() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.nonce
}

func (s *Server) newNonce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.nonce = secret("nonce")
}

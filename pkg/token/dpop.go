package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mcpauth/internal/httpx"
)

// maxNonce limits the length of a nonce in bytes.
const maxNonce = 1 << 10

// Prover creates DPoP proofs with one ES256 key (RFC 9449). A Prover stores the latest nonce of each origin. A Prover is safe for
// concurrent use.
type Prover struct {
	key *Key
	now func() time.Time

	mu     sync.Mutex
	nonces map[string]string // key: origin, because a nonce is valid only for the server that issued it (RFC 9449 §8.2)
}

// NewProver returns a Prover with a new key.
func NewProver() (*Prover, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("DPoP key: %w", err)
	}
	key, err := newKey(private, "", "")
	return &Prover{key: key, now: time.Now, nonces: map[string]string{}}, err
}

// LoadProver returns a Prover with a key from Marshal and nonces from Nonces. A nonce that is no longer valid costs one more request.
func LoadProver(jwk []byte, nonces map[string]string) (*Prover, error) {
	key, err := LoadKey(jwk)
	if err != nil {
		return nil, fmt.Errorf("DPoP %w", err)
	}
	if key.algs[0] != jose.ES256 {
		return nil, errors.New("DPoP private key: not an EC key on P-256")
	}
	p := &Prover{key: key, now: time.Now, nonces: map[string]string{}}
	maps.Copy(p.nonces, nonces)
	return p, nil
}

// Marshal returns the private key as a JWK, which is a secret.
func (p *Prover) Marshal() ([]byte, error) {
	return jose.JSONWebKey{Key: p.key.private, Algorithm: string(jose.ES256), Use: "sig"}.MarshalJSON()
}

// Nonces returns the latest nonce of each origin, for LoadProver. Without the nonce of an earlier process, the first request of a process
// may fail with the error use_dpop_nonce.
func (p *Prover) Nonces() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.nonces)
}

// String returns a constant, so that package fmt does not print the key.
func (p *Prover) String() string { return "token.Prover" }

// GoString returns String.
func (p *Prover) GoString() string { return p.String() }

// Proof returns the value of the DPoP header for one request (RFC 9449 §4.2). The address is the URL of the request, and the proof contains
// the latest nonce of its origin. accessToken is the token in the request, or empty at a token endpoint. A repeated request needs a new
// proof.
func (p *Prover) Proof(method, address, accessToken string) (string, error) {
	proof, _, err := p.newProof(method, address, accessToken, p.now())
	return proof, err
}

// newProof returns a proof, and the nonce in this proof (RFC 9449 §4.2).
func (p *Prover) newProof(method, address, accessToken string, now time.Time) (proof, nonce string, err error) {
	htu, err := targetURI(address)
	if err != nil {
		return "", "", err
	}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": htu, "iat": now.Unix()}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce = p.nonce(address); nonce != "" {
		claims["nonce"] = nonce
	}
	proof, err = p.key.sign(jose.ES256, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), claims)
	return proof, nonce, err
}

// Remember stores the nonce in the DPoP-Nonce header of a response. The address is the URL of the request. Later requests to the same
// origin use this nonce. An invalid nonce is ignored.
func (p *Prover) Remember(address string, h http.Header) {
	nonce, at := h.Get("DPoP-Nonce"), originOf(address)
	// RFC 9449 §8.1: nonce = 1*NQCHAR
	if nonce == "" || len(nonce) > maxNonce || at == "" || !isPrintable(nonce, '!') || strings.ContainsAny(nonce, `"\`) || len(h.Values("DPoP-Nonce")) > 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonces[at] = nonce
}

func (p *Prover) nonce(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces[originOf(address)]
}

// originOf returns scheme, host and port in canonical form, or "" if the address is not a URL.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return httpx.Canonical(&url.URL{Scheme: u.Scheme, Host: u.Host})
}

// targetURI returns the claim htu of a proof: the normalized address without its query and fragment (RFC 9449 §4.2, §4.3).
func targetURI(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", errors.New("DPoP proof: the address is not a URL")
	}
	htu := httpx.Canonical(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath})
	if u.Path == "" || u.Path == "/" {
		htu += "/" // Canonical removes the slash, but every request has a path
	}
	return htu, nil
}

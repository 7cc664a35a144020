package token

import (
	"crypto"
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
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpauth/internal/httpx"
)

// maxNonce bounds the nonces that are remembered, in bytes.
const maxNonce = 1 << 10

// Prover makes proofs of possession (RFC 9449): it holds the key that tokens are bound to, and the latest nonce of each origin. Proofs are
// signed with ES256, which every server with DPoP supports. Several goroutines may use it.
type Prover struct {
	key *ecdsa.PrivateKey
	now func() time.Time

	mu     sync.Mutex
	nonces map[string]string // by origin: RFC 9449 §8.2, a nonce is good for the server that gave it
}

// NewProver makes a new key.
func NewProver() (*Prover, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("DPoP key: %w", err)
	}
	return newProver(key), nil
}

func newProver(key *ecdsa.PrivateKey) *Prover {
	return &Prover{key: key, now: time.Now, nonces: map[string]string{}}
}

// LoadProver reads the key that Marshal wrote.
func LoadProver(jwk []byte) (*Prover, error) {
	k, err := LoadKey(jwk)
	if err != nil {
		return nil, fmt.Errorf("DPoP %w", err)
	}
	key, ok := k.private.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("DPoP private key: not an EC key on P-256")
	}
	return newProver(key), nil
}

// Marshal returns the private key as a JWK. It is a secret.
func (p *Prover) Marshal() ([]byte, error) {
	return jose.JSONWebKey{Key: p.key, Algorithm: string(jose.ES256), Use: "sig"}.MarshalJSON()
}

// Nonces returns the latest nonce of each origin, to be kept beside the key for Recall: a process that begins without them has its first
// request refused with use_dpop_nonce.
func (p *Prover) Nonces() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.nonces)
}

// Recall takes the nonces that an earlier Prover of the key had. A nonce that is no longer good costs one request.
func (p *Prover) Recall(nonces map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.nonces, nonces)
}

// Thumbprint names the key (RFC 7638): the jkt that tokens bound to it carry.
func (p *Prover) Thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: p.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "" // an EC public key always has one
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// String shows the thumbprint, which is public.
func (p *Prover) String() string { return "token.Prover{jkt " + p.Thumbprint() + "}" }

// GoString is String: %#v shows no secret either.
func (p *Prover) GoString() string { return p.String() }

// Proof returns the value of the DPoP header for one request, with the nonce that the origin of the address gave last. accessToken is the
// token that the request carries, or empty at a token endpoint. Make a new proof for every request, repeated ones too.
func (p *Prover) Proof(method, address, accessToken string) (string, error) {
	proof, _, err := p.proof(method, address, accessToken, p.now())
	return proof, err
}

// proof also returns the nonce that it put in (RFC 9449 §4.2).
func (p *Prover) proof(method, address, accessToken string, now time.Time) (proof, nonce string, err error) {
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
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", "", fmt.Errorf("DPoP proof: %w", err)
	}
	proof, err = jwt.Signed(signer).Claims(claims).Serialize()
	return proof, nonce, err
}

// Remember keeps the DPoP-Nonce of an answer for the next requests to the origin of the address, and reports whether it is a new one:
// then a request that was refused with use_dpop_nonce may be sent once more (RFC 9449 §8 and §9).
func (p *Prover) Remember(address string, h http.Header) bool {
	nonce, at := h.Get("DPoP-Nonce"), originOf(address)
	// RFC 9449 §8.1: 1*NQCHAR
	if nonce == "" || len(nonce) > maxNonce || at == "" || !plain(nonce, '!') || strings.ContainsAny(nonce, `"\`) || len(h.Values("DPoP-Nonce")) > 1 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.nonces[at] != nonce
	p.nonces[at] = nonce
	return changed
}

func (p *Prover) nonce(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces[originOf(address)]
}

// originOf returns scheme, host and port in one spelling, or "" for what is no URL.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return httpx.Canonical(&url.URL{Scheme: u.Scheme, Host: u.Host})
}

// targetURI returns the htu of an address: without query and fragment (RFC 9449 §4.2), normalised as §4.3 lets servers expect it.
func targetURI(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", errors.New("DPoP proof: the address is not a URL")
	}
	c := *u
	c.User, c.RawQuery, c.ForceQuery, c.Fragment, c.RawFragment = nil, "", false, "", ""
	htu := httpx.Canonical(&c)
	if c.Path == "" || c.Path == "/" {
		htu += "/" // which Canonical drops, and every request has
	}
	return htu, nil
}

package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpauth/internal/httpx"
)

// minRSABits is the minimum RSA key size in bits for RS256 and PS256 (RFC 7518 §3.3).
const minRSABits = 2048

// Key is a private key that signs client assertions. The type of the key determines its algorithms (RFC 7518 §3.1, RFC 8037 §3.1).
type Key struct {
	private any // *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey
	id      string
	algs    []jose.SignatureAlgorithm // best first; only one if the JWK names it
}

// String returns the algorithms and the key ID.
func (k Key) String() string { return fmt.Sprintf("token.Key{%s, kid %q}", k.algs, k.id) }

// GoString returns String, so that %#v does not print the key.
func (k Key) GoString() string { return k.String() }

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638), which is the same for every form of the key's file.
func (k *Key) Thumbprint() string {
	jwk := jose.JSONWebKey{Key: k.private.(crypto.Signer).Public()}
	sum, _ := jwk.Thumbprint(crypto.SHA256) // never fails for the types of private
	return base64.RawURLEncoding.EncodeToString(sum)
}

// LoadKey reads a private key. The data is PEM (PKCS #8, PKCS #1 or SEC 1) or a JWK (RFC 7517). The error does not quote the data.
func LoadKey(data []byte) (*Key, error) {
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return nil, errors.New("private key: the file is empty")
	case data[0] == '{':
		return loadJWK(data)
	}
	return loadPEM(data)
}

// loadPEM returns the first private key in the PEM blocks. OpenSSL writes a block EC PARAMETERS before the private key.
func loadPEM(data []byte) (*Key, error) {
	found := ""
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var private any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, errors.New("private key: it is encrypted with a passphrase, expected an unencrypted key")
		case block.Type == "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			found = httpx.Text(block.Type, 40)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("private key: the PEM block %q is not a supported key (EC, RSA, Ed25519)", block.Type)
		}
		return newKey(private, "", "")
	}
	switch {
	case found == "OPENSSH PRIVATE KEY":
		return nil, errors.New("private key: it is in OpenSSH's own format, expected PKCS #8 PEM or a JWK")
	case strings.Contains(found, "PUBLIC KEY") || strings.Contains(found, "CERTIFICATE"):
		return nil, fmt.Errorf("private key: the file contains a public key (%s)", found)
	case found != "":
		return nil, fmt.Errorf("private key: the file contains %q, but no private key", found)
	}
	return nil, errors.New("private key: neither PEM nor a JWK")
}

// loadJWK reads one private key (RFC 7517 §4).
func loadJWK(data []byte) (*Key, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil || !jwk.Valid() || jwk.IsPublic() || jwk.Use == "enc" {
		return nil, errors.New("private key: the file is not a JWK with one private key for signatures (EC, RSA, Ed25519)") // the library's error may contain parts of the key
	}
	return newKey(jwk.Key, jwk.KeyID, jwk.Algorithm)
}

// newKey returns a Key with the algorithms that it can use. If the JWK contains "alg", the key can use only this algorithm.
func newKey(private any, id, alg string) (*Key, error) {
	k := &Key{private: private, id: id}
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		byCurve := map[string]jose.SignatureAlgorithm{"P-256": jose.ES256, "P-384": jose.ES384, "P-521": jose.ES512}
		one, ok := byCurve[p.Curve.Params().Name]
		if !ok {
			return nil, errors.New("private key: its curve is not P-256, P-384 or P-521")
		}
		k.algs = []jose.SignatureAlgorithm{one}
	case *rsa.PrivateKey:
		if p.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("private key: RSA with %d bits, at least %d are needed (RFC 7518 §3.3)", p.N.BitLen(), minRSABits)
		}
		k.algs = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.RS384, jose.PS384, jose.RS512, jose.PS512}
	case ed25519.PrivateKey:
		k.algs = []jose.SignatureAlgorithm{jose.EdDSA}
	default:
		return nil, errors.New("private key: neither EC nor RSA nor Ed25519")
	}
	if alg == "Ed25519" { // RFC 9864 uses this name for EdDSA with Ed25519
		alg = string(jose.EdDSA)
	}
	if alg != "" {
		if !slices.Contains(k.algs, jose.SignatureAlgorithm(alg)) {
			return nil, fmt.Errorf("private key: the JWK's \"alg\" is %s, which this kind of key does not support", httpx.Quote(alg, 40))
		}
		k.algs = []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)}
	}
	return k, nil
}

// chooseAlg returns the first algorithm of the key that the server supports.
func (k *Key) chooseAlg(supported []string) (jose.SignatureAlgorithm, error) {
	for _, alg := range k.algs {
		if len(supported) == 0 || slices.Contains(supported, string(alg)) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("the key signs with %s, but the server accepts only %s", k.algs[0], httpx.Text(strings.Join(supported, " "), 200))
}

func (k *Key) sign(alg jose.SignatureAlgorithm, o *jose.SignerOptions, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, o)
	if err != nil {
		return "", fmt.Errorf("the key cannot sign with %s", alg)
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// The algorithm of a client assertion depends on the key, on alg of its JWK, and on the algorithms that the server accepts (RFC 7518 §3.1).
func TestAssertionAlgorithm(t *testing.T) {
	rsaKey := private(t, "RSA")
	for _, tt := range []struct {
		name   string
		key    crypto.Signer
		jwkAlg string
		server []string
		want   string // "": refused
	}{
		{"P-256", private(t, "P-256"), "", nil, "ES256"},
		{"P-384", private(t, "P-384"), "", nil, "ES384"},
		{"P-521", private(t, "P-521"), "", nil, "ES512"},
		{"Ed25519", private(t, "Ed25519"), "", nil, "EdDSA"},
		{"Ed25519 by its newer name", private(t, "Ed25519"), "Ed25519", nil, "EdDSA"},
		{"RSA", rsaKey, "", nil, "RS256"},
		{"RSA where the JWK says PS256", rsaKey, "PS256", nil, "PS256"},
		{"RSA where the server takes only PS256", rsaKey, "", []string{"PS256", "ES256"}, "PS256"},
		{"RSA where the server takes both", rsaKey, "", []string{"PS256", "RS256"}, "RS256"},
		{"RSA where the server takes neither", rsaKey, "", []string{"ES256"}, ""},
		{"JWK and server differ", rsaKey, "RS256", []string{"PS256"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := LoadKey([]byte(inJWK(t, tt.key, "kid-1", tt.jwkAlg)))
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, reply{body: okBody})
			e := s.endpoint()
			e.Client = ClientAuth{ID: "c", Method: "private_key_jwt", Key: key, Audience: "https://as.example/", Algs: tt.server}
			_, err = e.ClientCredentials(context.Background(), "")
			if tt.want == "" {
				if err == nil || Ambiguous(err) || !strings.Contains(err.Error(), tt.server[0]) || len(s.got) != 0 {
					t.Errorf("got %v, want an error that names %s", err, tt.server)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			header, _ := verified(t, s.only(t).Form.Get("client_assertion"), tt.key.Public(), tt.want)
			if header["alg"] != tt.want || header["kid"] != "kid-1" || header["typ"] != "JWT" || len(header) != 3 {
				t.Errorf("header: got %v, want %s and kid-1", header, tt.want)
			}
			if tt.server == nil && string(key.algs[0]) != tt.want {
				t.Errorf("the algorithm is %s, want %s", key.algs[0], tt.want)
			}
		})
	}
}

// The claims of a client assertion (RFC 7523 §3): iss, sub, aud, an exp soon, and a new jti each time.
func TestAssertionClaims(t *testing.T) {
	private := private(t, "P-256")
	key, err := LoadKey([]byte(inPEM(t, private)))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, reply{body: okBody})
	e := s.endpoint()
	e.Client = ClientAuth{ID: "client-1", Method: "private_key_jwt", Key: key, Audience: "https://as.example/"}
	seen := map[any]bool{}
	for range 3 {
		if _, err := e.ClientCredentials(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		got := s.got[len(s.got)-1]
		header, claims := verified(t, got.Form.Get("client_assertion"), private.Public(), "ES256")
		if _, ok := header["kid"]; ok {
			t.Errorf("header %v: a PEM key has no kid", header)
		}
		jti, _ := claims["jti"].(string)
		if len(jti) < 20 || seen[jti] {
			t.Errorf("jti %q: want a fresh random one", jti)
		}
		seen[jti] = true
		delete(claims, "jti")
		iat := float64(noon.Unix())
		want := map[string]any{"iss": "client-1", "sub": "client-1", "aud": "https://as.example/", "iat": iat, "exp": iat + 60}
		for name, v := range want {
			if claims[name] != v {
				t.Errorf("%s: got %v, want %v", name, claims[name], v)
			}
		}
		if len(claims) != len(want) {
			t.Errorf("claims %v, want %v", claims, want)
		}
	}
	if assertionLifetime > 5*time.Minute {
		t.Errorf("an assertion lives %v", assertionLifetime)
	}

	e.Client.Audience = ""
	if _, err := e.ClientCredentials(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if _, claims := verified(t, s.got[3].Form.Get("client_assertion"), private.Public(), "ES256"); claims["aud"] != e.URL {
		t.Errorf("aud without an issuer: got %v, want the token endpoint", claims["aud"])
	}

	e.Client.ID = ""
	if _, err := e.ClientCredentials(context.Background(), ""); err == nil || len(s.got) != 4 {
		t.Errorf("without a client id: got %v", err)
	}
}

func TestLoadKey(t *testing.T) {
	ec, rsaKey, ed := private(t, "P-256").(*ecdsa.PrivateKey), private(t, "RSA").(*rsa.PrivateKey), private(t, "Ed25519")
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	p224, err := x509.MarshalPKCS8PrivateKey(private(t, "P-224"))
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := x509.MarshalPKCS8PrivateKey(x25519(t))
	if err != nil {
		t.Fatal(err)
	}
	jwk := inJWK(t, ec, "k", "")
	const notOneKey = "not a JWK with one private key"
	for _, tt := range []struct{ name, text, alg, err string }{
		{"PKCS #8 EC", inPEM(t, ec), "ES256", ""},
		{"PKCS #8 RSA", inPEM(t, rsaKey), "RS256", ""},
		{"PKCS #8 Ed25519", inPEM(t, ed), "EdDSA", ""},
		{"SEC 1", block("EC PRIVATE KEY", sec1), "ES256", ""},
		{"SEC 1 after its parameters (openssl)", block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + block("EC PRIVATE KEY", sec1), "ES256", ""},
		{"PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "RS256", ""},
		{"after words and CRLF", "Bag Attributes\r\n" + strings.ReplaceAll(inPEM(t, ec), "\n", "\r\n"), "ES256", ""},
		{"JWK", "\n" + jwk + "\n", "ES256", ""},
		{"JWK Ed25519", inJWK(t, ed, "", ""), "EdDSA", ""},
		{"JWK RSA", inJWK(t, rsaKey, "", "PS256"), "PS256", ""},

		{"nothing", " \n", "", "empty"},
		{"words", "canary", "", "neither PEM nor a JWK"},
		{"public key", block("PUBLIC KEY", spki), "", "contains a public key (PUBLIC KEY)"},
		{"certificate", block("CERTIFICATE", []byte("x")), "", "contains a public key (CERTIFICATE)"},
		{"encrypted PKCS #8", block("ENCRYPTED PRIVATE KEY", []byte("x")), "", "encrypted with a passphrase"},
		{"encrypted PKCS #1", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nYWJj\n-----END RSA PRIVATE KEY-----\n", "", "encrypted with a passphrase"},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", []byte("x")), "", "OpenSSH's own format"},
		{"parameters alone", block("EC PARAMETERS", []byte("x")), "", "no private key"},
		{"junk in PEM", block("PRIVATE KEY", []byte("canary")), "", "is not a supported key"},
		{"P-224", block("PRIVATE KEY", p224), "", "curve"},
		{"X25519", block("PRIVATE KEY", exchange), "", "neither EC nor RSA nor Ed25519"},
		{"RSA with 1024 bits", inPEM(t, private(t, "RSA-1024")), "", "1024 bits, at least 2048"},
		{"public JWK", inJWK(t, ec.Public(), "", ""), "", notOneKey},
		{"public JWK with a D", strings.Replace(jwk, `"d":`, `"D":`, 1), "", notOneKey},
		{"symmetric JWK", `{"kty":"oct","k":"canary"}`, "", notOneKey},
		{"JWK set", `{"keys":[` + jwk + `]}`, "", notOneKey},
		{"JWK for encryption", strings.Replace(jwk, "{", `{"use":"enc",`, 1), "", notOneKey},
		{"JWK with the wrong alg", inJWK(t, ec, "", "RS256"), "", `"alg" is "RS256"`},
		{"JWK of an unknown kind", `{"kty":"canary","d":"canary"}`, "", notOneKey},
		{"JWK with a broken d", `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"canary%"}`, "", notOneKey},
		{"JWK cut", jwk[:40], "", notOneKey},
		{"JSON of something else", `{"client_secret":"canary"}`, "", notOneKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := LoadKey([]byte(tt.text))
			switch {
			case tt.err == "" && (err != nil || string(key.algs[0]) != tt.alg):
				t.Errorf("got %v %v, want %s", key, err, tt.alg)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %v, want %q", err, tt.err)
			case err != nil && (strings.Contains(err.Error(), "canary") || !strings.HasPrefix(err.Error(), "private key: ")):
				t.Errorf("got %q", err)
			}
		})
	}
	if key, err := LoadKey([]byte(jwk)); err != nil || key.id != "k" {
		t.Errorf("kid: got %v %v, want k", key, err)
	}
}

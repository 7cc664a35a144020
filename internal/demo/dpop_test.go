// Tests of DPoP (RFC 9449), with valid and invalid proofs.

package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed makes a JWT.
func signed(t *testing.T, key any, typ string, embed bool, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// proof returns a DPoP proof; change may make it invalid.
func proof(t *testing.T, key any, method, address, access string, change func(map[string]any)) string {
	t.Helper()
	c := map[string]any{"jti": rand.Text(), "htm": method, "htu": address, "iat": time.Now().Unix()}
	if access != "" {
		sum := sha256.Sum256([]byte(access))
		c["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if change != nil {
		change(c)
	}
	return signed(t, key, "dpop+jwt", true, c)
}

func TestDPoP(t *testing.T) {
	s := start(t, Options{Settings: Settings{DPoP: "require"}})
	u, key := newUser(t, s), newKey(t)
	code := func() string { return u.authorize(u.authorization("notes:read")).Get("code") }
	if _, m := u.post("/token", u.exchange(code())); m["error"] != "invalid_dpop_proof" {
		t.Errorf("no proof: %v", m)
	}
	for name, spoil := range map[string]func(map[string]any){
		"other method":  func(c map[string]any) { c["htm"] = "GET" },
		"other address": func(c map[string]any) { c["htu"] = s.Issuer() + "/elsewhere" },
		"old":           func(c map[string]any) { c["iat"] = time.Now().Add(-time.Hour).Unix() },
		"no jti":        func(c map[string]any) { delete(c, "jti") },
	} {
		u.header.Set("DPoP", proof(t, key, "POST", s.Issuer()+"/token", "", spoil))
		if _, m := u.post("/token", u.exchange(code())); m["error"] != "invalid_dpop_proof" {
			t.Errorf("%s: %v", name, m)
		}
	}
	good := proof(t, key, "POST", s.Issuer()+"/token", "", nil)
	u.header.Set("DPoP", good)
	_, m := u.post("/token", u.exchange(code()))
	if m["token_type"] != "DPoP" {
		t.Fatalf("a good proof: %v", m)
	}
	u.keep(m)
	if _, m := u.post("/token", u.exchange(code())); m["error"] != "invalid_dpop_proof" {
		t.Errorf("the same proof twice: %v", m)
	}
	u.header.Set("DPoP", proof(t, newKey(t), "POST", s.Issuer()+"/token", "", nil))
	if _, m := u.renew(u.refresh); m["error"] != "invalid_dpop_proof" {
		t.Errorf("refresh with another key: %v", m)
	}
	for name, c := range map[string]struct {
		scheme, proof string
		want          int
	}{
		"bearer":      {"Bearer", proof(t, key, "POST", s.URL(), u.access, nil), 401},
		"no proof":    {"DPoP", "", 401},
		"other key":   {"DPoP", proof(t, newKey(t), "POST", s.URL(), u.access, nil), 401},
		"no ath":      {"DPoP", proof(t, key, "POST", s.URL(), "", nil), 401},
		"as it is":    {"DPoP", proof(t, key, "POST", s.URL(), u.access, nil), 200},
		"other token": {"DPoP", proof(t, key, "POST", s.URL(), "x", nil), 401},
	} {
		u.header = http.Header{"Authorization": {c.scheme + " " + u.access}}
		if c.proof != "" {
			u.header.Set("Dpop", c.proof)
		}
		if res, _ := u.rpc("tools/list", "{}"); res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, c.want)
		}
	}
}

func TestDPoPNonce(t *testing.T) {
	s := start(t, Options{Settings: Settings{DPoP: "offer", Nonce: true}})
	u, key := newUser(t, s), newKey(t)
	u.header.Set("Dpop", proof(t, key, "POST", s.Issuer()+"/token", "", nil))
	form := u.exchange(u.authorize(u.authorization("notes:read")).Get("code"))
	if _, m := u.post("/token", form); m["error"] != "use_dpop_nonce" {
		t.Fatalf("no nonce: %v", m)
	}
	s.Set("next_nonce")
	nonce := s.nonceNow()
	withNonce := func(c map[string]any) { c["nonce"] = nonce }
	u.header.Set("Dpop", proof(t, key, "POST", s.Issuer()+"/token", "", withNonce))
	_, m := u.post("/token", form) // the first request did not redeem the code, so it is still valid
	u.keep(m)
	if m["token_type"] != "DPoP" {
		t.Fatalf("with the nonce: %v", m)
	}
	if s.nonceNow() == nonce {
		t.Error("the token answer was to change the nonce")
	}
	s.Set("newnonce")
	u.header = http.Header{"Authorization": {"DPoP " + u.access}, "Dpop": {proof(t, key, "POST", s.URL(), u.access, withNonce)}}
	res, _ := u.rpc("tools/list", "{}")
	if res.StatusCode != 401 || res.Header.Get("DPoP-Nonce") == "" || res.Header.Get("DPoP-Nonce") == nonce {
		t.Errorf("old nonce at the resource: %d, DPoP-Nonce %q", res.StatusCode, res.Header.Get("DPoP-Nonce"))
	}
}

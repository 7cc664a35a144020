package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func newTestProver(t testing.TB) *Prover {
	t.Helper()
	p, err := NewProver()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The claims of a DPoP proof (RFC 9449 §4.2).
func TestProof(t *testing.T) {
	p := newTestProver(t)
	for _, tt := range []struct{ name, method, url, token, htu string }{
		{"at a token endpoint", "POST", "https://as.example/token", "", "https://as.example/token"},
		{"with a token: ath", "GET", "https://mcp.example/mcp", "at-1", "https://mcp.example/mcp"},
		{"htu has neither query nor fragment", "POST", "https://mcp.example/a%2Fb/?x=1&y#z", "", "https://mcp.example/a%2Fb/"},
		{"htu is normalised: §4.3", "DELETE", "HTTPS://MCP.Example:443", "", "https://mcp.example/"},
		{"a port stays", "POST", "http://127.0.0.1:8080/?", "", "http://127.0.0.1:8080/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proof, err := p.Proof(tt.method, tt.url, tt.token)
			if err != nil {
				t.Fatal(err)
			}
			header, claims := verified(t, proof, publicKey(p), "ES256")
			jwk, _ := header["jwk"].(map[string]any)
			if header["typ"] != "dpop+jwt" || header["alg"] != "ES256" || len(header) != 3 || jwk["kty"] != "EC" || jwk["crv"] != "P-256" || jwk["d"] != nil {
				t.Errorf("header %v", header)
			}
			want := map[string]any{"htm": tt.method, "htu": tt.htu}
			if tt.token != "" {
				sum := sha256.Sum256([]byte(tt.token))
				want["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
			}
			if len(claims) != len(want)+2 || claims["iat"] == nil || len(claims["jti"].(string)) < 20 {
				t.Errorf("claims %v, want %v, iat and jti", claims, want)
			}
			for name, v := range want {
				if claims[name] != v {
					t.Errorf("%s: got %v, want %v", name, claims[name], v)
				}
			}
			again, _ := p.Proof(tt.method, tt.url, tt.token)
			if _, other := verified(t, again, publicKey(p), "ES256"); other["jti"] == claims["jti"] {
				t.Error("jti repeats")
			}
		})
	}
	if _, err := p.Proof("POST", "not a url", ""); err == nil {
		t.Error("a proof for no URL")
	}
}

// A nonce is used only at the server that issued it (RFC 9449 §8.2). An invalid nonce is ignored (§8.1).
func TestRemember(t *testing.T) {
	p := newTestProver(t)
	nonce := func(v ...string) http.Header { return http.Header{"Dpop-Nonce": v} }
	for _, step := range []struct {
		name, url string
		header    http.Header
		at        string
		want      any
	}{
		{"none yet", "https://as.example/token", nonce(), "https://as.example/token", nil},
		{"the first", "https://as.example/token", nonce("n1"), "https://AS.example:443/other", "n1"},
		{"the same", "https://as.example/x", nonce("n1"), "https://as.example/", "n1"},
		{"the next", "https://as.example/token", nonce("n2"), "https://as.example/", "n2"},
		{"another origin", "https://as.example:8443/", nonce("n3"), "https://as.example/", "n2"},
		{"its own", "https://as.example/token", nonce("n2"), "https://as.example:8443/", "n3"},
		{"characters no nonce has", "https://as.example/", nonce("a\"b"), "https://as.example/", "n2"},
		{"a blank", "https://as.example/", nonce("a b"), "https://as.example/", "n2"},
		{"two of them", "https://as.example/", nonce("a", "b"), "https://as.example/", "n2"},
		{"a long one", "https://as.example/", nonce(strings.Repeat("n", 2000)), "https://as.example/", "n2"},
		{"no URL", "::", nonce("n9"), "https://as.example/", "n2"},
	} {
		p.Remember(step.url, step.header)
		proof, err := p.Proof("POST", step.at, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, claims := verified(t, proof, publicKey(p), "ES256"); claims["nonce"] != step.want {
			t.Errorf("%s: nonce %v, want %v", step.name, claims["nonce"], step.want)
		}
	}
}

func TestProverKeeps(t *testing.T) {
	p := newTestProver(t)
	jwk, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q, err := LoadProver(jwk, nil)
	if err != nil || !publicKey(q).(*ecdsa.PublicKey).Equal(publicKey(p)) {
		t.Errorf("got %v %v, want %v", q, err, p)
	}
	for name, bad := range map[string]string{"nothing": "", "P-384": inJWK(t, private(t, "P-384"), "", ""), "RSA": inJWK(t, private(t, "RSA"), "", ""),
		"public": inJWK(t, publicKey(p), "", "")} {
		if q, err := LoadProver([]byte(bad), nil); err == nil || !strings.HasPrefix(err.Error(), "DPoP private key: ") {
			t.Errorf("%s: got %v %v", name, q, err)
		}
	}
}

// A new Prover uses the nonces that an earlier one received (RFC 9449 §8.2).
func TestNoncesAreKept(t *testing.T) {
	s := serve(t, reply{body: bound, header: map[string]string{"DPoP-Nonce": "n1"}}, reply{body: bound})
	e := s.endpoint()
	e.DPoP = newTestProver(t)
	if _, err := e.Refresh(context.Background(), "rt"); err != nil {
		t.Fatal(err)
	}
	jwk, err := e.DPoP.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	kept := e.DPoP.Nonces()
	if e.DPoP, err = LoadProver(jwk, kept); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Refresh(context.Background(), "rt"); err != nil {
		t.Fatal(err)
	}
	if _, claims := verified(t, s.got[1].Header.Get("DPoP"), publicKey(e.DPoP), "ES256"); claims["nonce"] != "n1" || len(s.got) != 2 {
		t.Errorf("%d requests, the second with nonce %v, want n1", len(s.got), claims["nonce"])
	}
	kept["https://other.example"] = "n2"
	if len(e.DPoP.Nonces()) != 1 {
		t.Error("the prover shares its nonces with the caller")
	}
}

const bound = `{"access_token":"at-1","token_type":"DPoP"}`

func TestDPoPAtTokenEndpoint(t *testing.T) {
	wants := reply{status: 400, body: `{"error":"use_dpop_nonce"}`, header: map[string]string{"DPoP-Nonce": "n1"}}
	for _, tt := range []struct {
		name    string
		replies []reply
		nonces  []any  // nonces of the proofs, in order
		err     string // code of the *Error
		next    any    // expected nonce in the proof of the next request
	}{
		{"no nonce asked", []reply{{body: bound}}, []any{nil}, "", nil},
		{"a nonce asked: §8", []reply{wants, {body: bound}}, []any{nil, "n1"}, "", "n1"},
		{"with status 401", []reply{{status: 401, body: wants.body, header: wants.header}, {body: bound}}, []any{nil, "n1"}, "", "n1"},
		{"a newer one with the token: §8.2", []reply{{body: bound, header: map[string]string{"DPoP-Nonce": "n7"}}}, []any{nil}, "", "n7"},
		{"asked for ever: once more, then the error", []reply{wants, {status: 400, body: wants.body, header: map[string]string{"DPoP-Nonce": "n2"}}},
			[]any{nil, "n1"}, "use_dpop_nonce", "n2"},
		{"asked without giving one", []reply{{status: 400, body: wants.body}}, []any{nil}, "use_dpop_nonce", nil},
		{"given with another error", []reply{{status: 400, body: `{"error":"invalid_grant"}`, header: wants.header}}, []any{nil}, "invalid_grant", "n1"},
		{"given with 500", []reply{{status: 500, body: wants.body, header: wants.header}}, []any{nil}, "use_dpop_nonce", "n1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.replies...)
			e := s.endpoint()
			e.DPoP = newTestProver(t)
			e.Client = ClientAuth{ID: "c", Method: "private_key_jwt", Key: testKey(t, "P-256")}
			tok, err := e.Code(context.Background(), "the-code", "the-verifier", "http://127.0.0.1/")
			var refused *Error
			if errors.As(err, &refused); tt.err == "" && (err != nil || tok.TokenType != "DPoP") || tt.err != "" && (refused == nil || refused.Code != tt.err) {
				t.Errorf("got %v %v, want %q", tok, err, tt.err)
			}
			if len(s.got) != len(tt.nonces) {
				t.Fatalf("requests: got %d, want %d", len(s.got), len(tt.nonces))
			}
			seen := map[string]bool{}
			for i, got := range s.got {
				_, claims := verified(t, got.Header.Get("DPoP"), publicKey(e.DPoP), "ES256")
				if claims["nonce"] != tt.nonces[i] || claims["htu"] != s.URL+"/token" || claims["htm"] != "POST" || claims["ath"] != nil || claims["iat"] != float64(noon.Unix()) {
					t.Errorf("request %d: claims %v, want nonce %v", i, claims, tt.nonces[i])
				}
				// A server accepts each proof and each assertion only once.
				for _, once := range []string{got.Header.Get("DPoP"), got.Form.Get("client_assertion")} {
					if once == "" || seen[once] {
						t.Errorf("request %d: %q repeats", i, once)
					}
					seen[once] = true
				}
				if got.Form.Get("code") != "the-code" || got.Form.Get("code_verifier") != "the-verifier" || got.Form.Get("resource") != e.Resource {
					t.Errorf("request %d: form %v", i, got.Form)
				}
			}
			if got := e.DPoP.nonce(s.URL); tt.next == nil && got != "" || tt.next != nil && got != tt.next {
				t.Errorf("remembered %q, want %v", got, tt.next)
			}
		})
	}
}

func TestDPoPDowngrade(t *testing.T) {
	s := serve(t, reply{body: okBody})
	e := s.endpoint()
	e.DPoP = newTestProver(t)
	tok, err := e.ClientCredentials(context.Background(), "")
	if !errors.Is(err, ErrDowngrade) || !Ambiguous(err) || tok != (Token{}) || strings.Contains(err.Error(), "at-1") {
		t.Errorf("got %v %v, want ErrDowngrade", tok, err)
	}
}

func TestProverConcurrently(t *testing.T) {
	p := newTestProver(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p.Remember("https://as.example/", http.Header{"Dpop-Nonce": {"n"}})
			if _, err := p.Proof("POST", "https://as.example/", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func publicKey(p *Prover) crypto.PublicKey { return p.key.private.(crypto.Signer).Public() }

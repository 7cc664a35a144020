// Tests of the grants without a browser, the device page, client ID metadata documents and the approval page.

package demo

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestPrivateKeyJWT(t *testing.T) {
	s := start(t, Options{})
	key := newKey(t)
	jwk, err := jose.JSONWebKey{Key: key.Public()}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	s.AddClient(Client{ID: "by-jwk", Method: "private_key_jwt", Key: jwk})
	s.AddClient(Client{ID: "by-pem", Method: "private_key_jwt", Key: text})
	u := &user{t: t, s: s, header: http.Header{}}
	for name, c := range map[string]struct {
		id     string
		spoil  func(map[string]any)
		refuse bool
	}{
		"JWK":          {id: "by-jwk"},
		"PEM":          {id: "by-pem"},
		"other aud":    {"by-jwk", func(c map[string]any) { c["aud"] = "https://other.example" }, true},
		"no exp":       {"by-jwk", func(c map[string]any) { delete(c, "exp") }, true},
		"expired":      {"by-jwk", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, true},
		"no jti":       {"by-jwk", func(c map[string]any) { delete(c, "jti") }, true},
		"other iss":    {"by-jwk", func(c map[string]any) { c["iss"] = "by-pem" }, true},
		"not its key":  {"demo-basic", nil, true},
		"unknown name": {"nobody", nil, true},
	} {
		claims := map[string]any{"iss": c.id, "sub": c.id, "aud": s.Issuer(), "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
		if c.spoil != nil {
			c.spoil(claims)
		}
		form := url.Values{"grant_type": {"client_credentials"}, "resource": {s.URL()}, "client_assertion_type": {assertionType},
			"client_assertion": {signed(t, key, "JWT", false, claims)}}
		_, m := u.post("/token", form)
		if (m["error"] == "invalid_client") != c.refuse || (m["access_token"] != nil) == c.refuse {
			t.Errorf("%s: %v", name, m)
		}
		if _, again := u.post("/token", form); again["error"] != "invalid_client" {
			t.Errorf("%s twice: %v", name, again)
		}
	}
}

func TestWorkloadAssertion(t *testing.T) {
	s := start(t, Options{})
	u := &user{t: t, s: s, id: "demo-public", header: http.Header{}}
	form := url.Values{"grant_type": {grantJWTBearer}, "resource": {s.URL()}, "assertion": {s.Assertion("robot", 0)}}
	_, m := u.post("/token", form)
	u.keep(m)
	if !u.works() || m["refresh_token"] != nil {
		t.Errorf("assertion: %v", m)
	}
	form.Set("assertion", s.AssertionForEndpoint())
	if _, m := u.post("/token", form); m["access_token"] == nil {
		t.Errorf("assertion for the token endpoint: %v", m)
	}
	for name, assertion := range map[string]string{"expired": s.Assertion("robot", -time.Minute), "ID token": s.IDToken("robot", 0), "nothing": "x"} {
		form.Set("assertion", assertion)
		if _, m := u.post("/token", form); m["error"] != "invalid_grant" {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestEnterprise(t *testing.T) {
	s := start(t, Options{})
	u := &user{t: t, s: s, id: "demo-basic", secret: "demo-cs-basic", header: http.Header{}}
	exchange := url.Values{"grant_type": {grantExchange}, "subject_token": {s.IDToken("grace", 0)}, "subject_token_type": {typeIDToken},
		"requested_token_type": {typeIDJAG}, "audience": {s.Issuer()}, "resource": {s.URL()}}
	res, body := u.hop("POST", s.IDP(), strings.NewReader(exchange.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Authorization": {"Basic ZGVtby1pZHAtY2xpZW50OmRlbW8tY3MtaWRw"}}) // demo-idp-client:demo-cs-idp
	jag := object(body)
	if res.StatusCode != 200 || jag["token_type"] != "N_A" || jag["issued_token_type"] != typeIDJAG {
		t.Fatalf("exchange: %d %s", res.StatusCode, body)
	}
	form := url.Values{"grant_type": {grantJWTBearer}, "resource": {s.URL()}, "assertion": {jag["access_token"].(string)}}
	_, m := u.post("/token", form)
	u.keep(m)
	if _, body := u.rpc("tools/call", `{"name":"whoami","arguments":{}}`); !strings.Contains(body, "grace") {
		t.Errorf("whoami: %s (%v)", body, m)
	}
	if _, m := u.post("/token", form); m["error"] != "invalid_grant" {
		t.Errorf("an ID-JAG twice: %v", m)
	}
}

func TestDevice(t *testing.T) {
	for how, want := range map[string][]string{
		"auto":   {"authorization_pending", "slow_down"},
		"deny":   {"authorization_pending", "access_denied"},
		"expire": {"expired_token"},
		"slow":   {"slow_down"},
		"wait":   {"authorization_pending", "slow_down"},
	} {
		s := start(t, Options{Settings: Settings{Device: how}})
		u := &user{t: t, s: s, id: "demo-public", header: http.Header{}}
		_, d := u.post("/device_authorization", url.Values{"scope": {"notes:read"}, "resource": {s.URL()}})
		poll := url.Values{"grant_type": {grantDevice}, "device_code": {d["device_code"].(string)}}
		for i, code := range want {
			if _, m := u.post("/token", poll); m["error"] != code {
				t.Errorf("%s, poll %d: %v, want %s", how, i, m, code)
			}
		}
	}
}

func TestDevicePage(t *testing.T) {
	s := start(t, Options{Settings: Settings{Device: "wait"}})
	u := &user{t: t, s: s, id: "demo-public", header: http.Header{}}
	_, d := u.post("/device_authorization", url.Values{"scope": {"notes:read"}, "resource": {s.URL()}})
	if _, page := u.hop("GET", d["verification_uri_complete"].(string), nil, nil); !strings.Contains(page, d["user_code"].(string)) {
		t.Errorf("the page: %s", page)
	}
	typed := strings.ToLower(strings.ReplaceAll(d["user_code"].(string), "-", ""))
	if status, _ := u.post("/device", url.Values{"user_code": {"WRONG"}}); status != 400 {
		t.Errorf("a wrong code: %d", status)
	}
	if status, _ := u.post("/device", url.Values{"user_code": {typed}, "decision": {"approve"}}); status != 200 {
		t.Errorf("the code as people type it: %d", status)
	}
	_, m := u.post("/token", url.Values{"grant_type": {grantDevice}, "device_code": {d["device_code"].(string)}})
	u.keep(m)
	if u.refresh == "" || !u.works() {
		t.Errorf("tokens: %v", m)
	}
}

func TestClientDocument(t *testing.T) {
	var document string
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(document)) }))
	t.Cleanup(host.Close)
	s := start(t, Options{})
	u := &user{t: t, s: s, id: host.URL + "/client.json", redirect: callback, header: http.Header{}}
	document = `{"client_id":"` + u.id + `","client_name":"doc","redirect_uris":["` + callback + `"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`
	if u.authorize(u.authorization("notes:read")) != nil {
		t.Error("documents are off, and taken")
	}
	s.Set("documents=yes")
	if u.authorize(u.authorization("notes:read")) != nil {
		t.Error("a document over http is taken")
	}
	s.Set("documents=loopback")
	u.login("notes:read")
	if !u.works() || u.refresh == "" {
		t.Error("the login with a document is of no use")
	}
	document = strings.Replace(document, u.id, "https://other.example/client.json", 1)
	if u.authorize(u.authorization("notes:read")) != nil {
		t.Error("a document of another client is taken")
	}
}

func TestInteractivePage(t *testing.T) {
	s := start(t, Options{Settings: Settings{Interactive: true}})
	u := newUser(t, s)
	for decision, want := range map[string]string{"approve": "code", "deny": "error"} {
		res, page := u.hop("GET", s.Issuer()+"/authorize?"+u.authorization("notes:read").Encode(), nil, nil)
		_, rest, ok := strings.Cut(page, `name="ticket" value="`)
		ticket, _, _ := strings.Cut(rest, `"`)
		if res.StatusCode != 200 || !ok || !strings.Contains(page, "notes:read") {
			t.Fatalf("page: %d %s", res.StatusCode, page)
		}
		press := func() *http.Response {
			res, _ := u.hop("POST", s.Issuer()+"/authorize", strings.NewReader(url.Values{"ticket": {ticket}, "decision": {decision}}.Encode()),
				http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
			return res
		}
		back, err := press().Location()
		if err != nil || back.Query().Get(want) == "" || back.Query().Get("state") != "s1" {
			t.Errorf("%s: %v %v", decision, back, err)
		}
		if res := press(); res.StatusCode != 400 {
			t.Errorf("%s twice: %d", decision, res.StatusCode)
		}
	}
}

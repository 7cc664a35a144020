// Tests of login, refresh, reuse of refresh tokens, revocation and registration, and of requests that the server must refuse.

package demo

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoginRefreshAndReuse(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	if u.works() {
		t.Fatal("works without a token")
	}
	u.login("notes:read")
	if !u.works() {
		t.Fatal("the access token is refused")
	}
	first := u.refresh
	status, m := u.renew(first)
	if status != http.StatusOK || m["refresh_token"] == first || !strings.HasPrefix(m["refresh_token"].(string), "demo-rt-") {
		t.Fatalf("refresh: %d %v", status, m)
	}
	u.keep(m)
	if !u.works() {
		t.Error("the renewed token is refused")
	}
	if status, m = u.renew(first); status != http.StatusBadRequest || m["error"] != "invalid_grant" {
		t.Errorf("reuse: %d %v", status, m)
	}
	if u.works() {
		t.Error("the access token outlives the revoked family")
	}
	if status, _ = u.renew(u.refresh); status != http.StatusBadRequest {
		t.Error("the newest refresh token outlives the revoked family")
	}
	for kind, want := range map[string]int{"refresh": 1, "reuse": 1, "login": 1, "registered": 1, "token/refresh_token": 3} {
		if n := s.Count(kind); n != want {
			t.Errorf("%s is %d, want %d", kind, n, want)
		}
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	for name, c := range map[string]struct{ set, del, want string }{
		"no PKCE":              {del: "code_challenge", want: "invalid_request"},
		"plain PKCE":           {set: "code_challenge_method=plain", want: "invalid_request"},
		"no resource":          {del: "resource", want: "invalid_target"},
		"foreign resource":     {set: "resource=https://other.example", want: "invalid_target"},
		"unknown scope":        {set: "scope=everything", want: "invalid_scope"},
		"implicit":             {set: "response_type=token", want: "unsupported_response_type"},
		"unknown client":       {set: "client_id=nobody", want: "page"},
		"other redirect":       {set: "redirect_uri=https://other.example/cb", want: "page"},
		"other redirect port":  {set: "redirect_uri=http://127.0.0.1:7778/callback", want: "page"},
		"good as it should be": {want: ""},
	} {
		q := u.authorization("notes:read")
		if name, value, ok := strings.Cut(c.set, "="); ok {
			q.Set(name, value)
		}
		q.Del(c.del)
		back := u.authorize(q)
		got := back.Get("error")
		if back == nil {
			got = "page"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if back != nil && (back.Get("state") != "s1" || back.Get("iss") != s.Issuer()) {
			t.Errorf("%s: state %q, iss %q", name, back.Get("state"), back.Get("iss"))
		}
	}
}

func TestTokenRefusesCode(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	for name, c := range map[string]struct{ set, want string }{
		"wrong verifier": {"code_verifier=" + strings.Repeat("a", 43), "invalid_grant"},
		"other redirect": {"redirect_uri=http://127.0.0.1:7778/callback", "invalid_grant"},
		"other client":   {"client_id=demo-public", "invalid_grant"},
		"no resource":    {"resource=", "invalid_target"},
		"two methods":    {"client_secret=x", "invalid_client"},
		"unknown grant":  {"grant_type=password", "unsupported_grant_type"},
	} {
		form := u.exchange(u.authorize(u.authorization("notes:read")).Get("code"))
		name2, value, _ := strings.Cut(c.set, "=")
		form.Set(name2, value)
		if value == "" {
			form.Del(name2)
		}
		if _, m := u.post("/token", form); m["error"] != c.want {
			t.Errorf("%s: %v, want %s", name, m, c.want)
		}
	}
	form := u.exchange(u.authorize(u.authorization("notes:read")).Get("code"))
	if status, m := u.post("/token", form); status != http.StatusOK {
		t.Fatalf("first use: %d %v", status, m)
	} else {
		u.keep(m)
	}
	if _, m := u.post("/token", form); m["error"] != "invalid_grant" || u.works() {
		t.Errorf("second use: %v; it must revoke what the first one gave", m)
	}
}

func TestClientAuthentication(t *testing.T) {
	s := start(t, Options{})
	form := func(more ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}, "resource": {s.URL()}}
		for i := 0; i < len(more); i += 2 {
			f.Set(more[i], more[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		id, basic string
		form      url.Values
		want      any
	}{
		"basic":            {"demo-basic", "demo-cs-basic", form(), nil},
		"post":             {"", "", form("client_id", "demo-post", "client_secret", "demo-cs-post"), nil},
		"basic, wrong":     {"demo-basic", "no", form(), "invalid_client"},
		"post for basic":   {"", "", form("client_id", "demo-basic", "client_secret", "demo-cs-basic"), "invalid_client"},
		"basic for post":   {"demo-post", "demo-cs-post", form(), "invalid_client"},
		"basic and id":     {"demo-basic", "demo-cs-basic", form("client_id", "demo-basic"), "invalid_request"},
		"basic and secret": {"demo-basic", "demo-cs-basic", form("client_secret", "demo-cs-basic"), "invalid_request"},
		"public":           {"", "", form("client_id", "demo-public"), "unauthorized_client"},
		"unknown":          {"", "", form("client_id", "nobody"), "invalid_client"},
	} {
		u := &user{t: t, s: s, id: c.id, secret: c.basic, header: http.Header{}}
		if _, m := u.post("/token", c.form); m["error"] != c.want {
			t.Errorf("%s: %v, want %v", name, m["error"], c.want)
		}
	}
}

func TestScopesStepUp(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	res, _ := u.rpc("tools/call", `{"name":"secret_note","arguments":{}}`)
	challenge := res.Header.Get("WWW-Authenticate")
	if res.StatusCode != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope"`) ||
		!strings.Contains(challenge, `scope="notes:read notes:write"`) || !strings.Contains(challenge, "resource_metadata=") {
		t.Errorf("%d %s", res.StatusCode, challenge)
	}
	u.login("notes:read notes:write")
	if res, body := u.rpc("tools/call", `{"name":"secret_note","arguments":{}}`); res.StatusCode != http.StatusOK {
		t.Errorf("after step-up: %d %s", res.StatusCode, body)
	}
	if s.Count("403") != 1 {
		t.Errorf("403 counted %d times", s.Count("403"))
	}
}

func TestRevocation(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	other := newUser(t, s)
	if status, _ := other.post("/revoke", url.Values{"token": {u.refresh}}); status != http.StatusOK || !u.works() {
		t.Errorf("another client's revocation: %d, works %t", status, u.works())
	}
	if status, _ := u.post("/revoke", url.Values{"token": {u.refresh}}); status != http.StatusOK || u.works() {
		t.Errorf("revocation: %d, works %t", status, u.works())
	}
	if s.Count("revoked") != 1 || s.Live() != 0 {
		t.Errorf("revoked %d, live %d", s.Count("revoked"), s.Live())
	}
}

func TestRegistration(t *testing.T) {
	s := start(t, Options{})
	u := &user{t: t, s: s, header: http.Header{}}
	for name, c := range map[string]struct{ body, want string }{
		"http and not native": {`{"redirect_uris":["http://127.0.0.1:1/cb"]}`, "invalid_redirect_uri"},
		"remote http":         {`{"redirect_uris":["http://example.com/cb"],"application_type":"native"}`, "invalid_redirect_uri"},
		"none at all":         {`{}`, "invalid_redirect_uri"},
		"resource":            {`{"redirect_uris":["https://a.example/cb"],"resource":"x"}`, "invalid_client_metadata"},
		"scope":               {`{"redirect_uris":["https://a.example/cb"],"scope":"everything"}`, "invalid_client_metadata"},
		"method":              {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"tls"}`, "invalid_client_metadata"},
		"not JSON":            {`redirect_uris`, "invalid_client_metadata"},
	} {
		if status, m := u.postJSON("/register", c.body); status != http.StatusBadRequest || m["error"] != c.want {
			t.Errorf("%s: %d %v, want %s", name, status, m, c.want)
		}
	}
	_, m := u.postJSON("/register", `{"redirect_uris":["https://a.example/cb"]}`)
	if m["token_endpoint_auth_method"] != "client_secret_basic" || m["client_secret_expires_at"] != 0.0 || !strings.HasPrefix(m["client_secret"].(string), "demo-cs-") {
		t.Errorf("defaults of RFC 7591 section 2: %v", m)
	}
	address, token := m["registration_client_uri"].(string), m["registration_access_token"].(string)
	for _, c := range []struct {
		method, token string
		want          int
	}{{"GET", token, 200}, {"DELETE", "wrong", 401}, {"DELETE", token, 204}, {"DELETE", token, 401}} {
		if res, _ := u.hop(c.method, address, nil, http.Header{"Authorization": {"Bearer " + c.token}}); res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.method, res.StatusCode, c.want)
		}
	}
	if slices.Contains(s.Clients(), m["client_id"].(string)) {
		t.Error("the client is still there")
	}
}

func TestExpiryByClock(t *testing.T) {
	var passed atomic.Int64
	s := start(t, Options{Settings: Settings{TTL: 10 * time.Second}, Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }})
	u := newUser(t, s)
	u.login("notes:read")
	if !u.works() {
		t.Fatal("refused while fresh")
	}
	passed.Store(int64(10 * time.Second))
	if u.works() {
		t.Error("works after its lifetime")
	}
}

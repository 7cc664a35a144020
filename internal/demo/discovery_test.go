// Tests of metadata, challenges, protocol revisions, the control endpoint and TLS.

package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestWhereMetadataIs(t *testing.T) {
	paths := []string{wellKnownResource, wellKnownResource + "/mcp", wellKnownOAuth, wellKnownOAuth + "/t1", wellKnownOpenID, wellKnownOpenID + "/t1", "/t1" + wellKnownOpenID}
	for words, want := range map[string]string{
		"ttl=1h":                      ".x.x...",
		"prm=root":                    "x..x...",
		"prm=both,asm=all":            "xx.x.xx",
		"prm=none,asm=oidc":           ".....x.",
		"asm=appended":                ".x....x",
		"discovery=2025-03-26":        "...x...",
		"discovery=default-endpoints": ".......",
	} {
		s := start(t, Options{IssuerPath: "/t1"})
		if err := s.Set(words); err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, s: s}
		got := ""
		for _, p := range paths {
			res, _ := u.hop("GET", s.Origin()+p, nil, nil)
			got += map[int]string{200: "x", 404: "."}[res.StatusCode]
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", words, got, want, paths)
		}
	}
}

func TestMetadataSaysWhatIs(t *testing.T) {
	for _, separate := range []bool{false, true} {
		s := start(t, Options{SeparateIssuer: separate, IssuerPath: "/t1", Host: "localhost"})
		u := newUser(t, s)
		res, _ := u.rpc("tools/list", "{}")
		_, rest, _ := strings.Cut(res.Header.Get("WWW-Authenticate"), `resource_metadata="`)
		address, _, _ := strings.Cut(rest, `"`)
		_, body := u.hop("GET", address, nil, nil)
		m := object(body)
		if m["resource"] != s.URL() || m["authorization_servers"].([]any)[0] != s.Issuer() {
			t.Fatalf("resource metadata at %q: %s", address, body)
		}
		issuer, err := url.Parse(s.Issuer())
		if err != nil {
			t.Fatal(err)
		}
		_, body = u.hop("GET", issuer.Scheme+"://"+issuer.Host+wellKnownOAuth+issuer.Path, nil, nil)
		if m := object(body); m["issuer"] != s.Issuer() || m["token_endpoint"] != s.Issuer()+"/token" {
			t.Errorf("server metadata: %s", body)
		}
		if own := !strings.HasPrefix(s.Issuer(), s.Origin()); own != separate {
			t.Errorf("issuer %s, server %s", s.Issuer(), s.Origin())
		}
		u.login("notes:read")
		if !u.works() {
			t.Error("the login is of no use")
		}
	}
}

func TestChallenges(t *testing.T) {
	s := start(t, Options{})
	u := &user{t: t, s: s}
	full := `resource_metadata="` + s.Origin() + wellKnownResource + `/mcp"`
	for words, want := range map[string]string{
		"challenge=full":       "Bearer " + full + `, scope="notes:read"`,
		"challenge=noscope":    "Bearer " + full,
		"challenge=nometadata": `Bearer scope="notes:read"`,
		"challenge=bare":       "Bearer",
		"challenge=none":       "",
		"base=none":            "Bearer " + full,
		"dpop=require":         "DPoP " + full + `, scope="notes:read"`,
	} {
		s.Change(func(v *Settings) error { *v = Settings{}; return nil })
		s.Set(words)
		res, _ := u.rpc("tools/list", "{}")
		if got := res.Header.Get("WWW-Authenticate"); got != want || res.StatusCode != 401 {
			t.Errorf("%s: %d %s, want %s", words, res.StatusCode, got, want)
		}
	}
}

func TestTwoResources(t *testing.T) {
	s := start(t, Options{Paths: []string{"/a:b", "/a_b"}})
	u := newUser(t, s)
	u.login("notes:read")
	if !u.works() {
		t.Fatal("refused where it belongs")
	}
	res, _ := u.hop("POST", s.Origin()+"/a_b", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`), http.Header{"Authorization": {"Bearer " + u.access}})
	if res.StatusCode != 401 {
		t.Errorf("the token of one resource at the other: %d", res.StatusCode)
	}
}

func TestOldServersRefuseTheNew(t *testing.T) {
	for era, want := range map[string]string{"2025-06-18": `"code":-32000`, "sse": "Method Not Allowed", "2026-07-28": "result"} {
		s := start(t, Options{Era: era, Settings: Settings{Open: []string{"*"}}})
		u := &user{t: t, s: s}
		if _, body := u.rpc("server/discover", "{}"); !strings.Contains(body, want) {
			t.Errorf("%s: server/discover: %s", era, body)
		}
	}
	initialize := func(s *Server) (*http.Response, string) {
		u := &user{t: t, s: s}
		return u.hop("POST", s.URL(), strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`),
			http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}})
	}
	s := start(t, Options{Era: "2026-07-28", Settings: Settings{Open: []string{"*"}}})
	if res, body := initialize(s); res.StatusCode != 400 || !strings.Contains(body, `"supported":["2026-07-28"]`) {
		t.Errorf("initialize at a modern server: %d %s", res.StatusCode, body)
	}
	s = start(t, Options{Era: "2025-06-18", Settings: Settings{Open: []string{"*"}}})
	if res, body := initialize(s); res.StatusCode != 200 || !strings.Contains(body, `"protocolVersion":"2025-06-18"`) {
		t.Errorf("initialize at an older server: %d %s", res.StatusCode, body)
	}
	s.Set("strictinit")
	if res, body := initialize(s); res.StatusCode != 400 {
		t.Errorf("strictinit: %d %s", res.StatusCode, body)
	}
}

func TestControl(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	if res, body := u.hop("POST", s.Control()+"/set", strings.NewReader("mcp:deny,n=1\nttl=10s"), nil); res.StatusCode != 204 || u.works() || !u.works() || s.Settings().TTL != 10*time.Second {
		t.Errorf("set: %d %s", res.StatusCode, body)
	}
	if res, body := u.hop("GET", s.Control()+"/set?q=nonsense", nil, nil); res.StatusCode != 400 || !strings.Contains(body, "nonsense") {
		t.Errorf("nonsense: %d %s", res.StatusCode, body)
	}
	u.renew(u.refresh)
	_, body := u.hop("GET", s.Control()+"/stats", nil, nil)
	if m := object(body); m["refresh"] != 1.0 || m["live"] != 1.0 || m["clients"] != 1.0 {
		t.Errorf("stats: %s", body)
	}
	_, log := u.hop("GET", s.Control()+"/log", nil, nil)
	var entries []Entry
	if err := json.Unmarshal([]byte(log), &entries); err != nil || len(entries) < 5 {
		t.Errorf("log: %v %s", err, log)
	}
	for _, secret := range []string{u.access, u.refresh, u.verifier, "demo-code-"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds a secret (%s…)", secret[:8])
		}
	}
	if e := s.Requests("token")[0]; e.Form.Get("resource") != s.URL() || e.Status != 200 || e.Form.Get("code_verifier") != u.verifier {
		t.Errorf("Requests: %+v", e)
	}
	if res, _ := u.hop("GET", s.Control()+"/wait?kind=refresh&n=1", nil, nil); res.StatusCode != 200 {
		t.Errorf("wait for what has happened: %d", res.StatusCode)
	}
	if res, _ := u.hop("GET", s.Control()+"/wait?kind=refresh&n=2&timeout=1ms", nil, nil); res.StatusCode != 408 {
		t.Errorf("wait for what does not happen: %d", res.StatusCode)
	}
	if res, _ := u.hop("POST", s.Control()+"/client", strings.NewReader(`{"client_id":"c","client_secret":"demo-cs-c"}`), nil); res.StatusCode != 204 {
		t.Errorf("client: %d", res.StatusCode)
	}
	other := &user{t: t, s: s, id: "c", secret: "demo-cs-c", header: http.Header{}}
	if status, m := other.post("/token", url.Values{"grant_type": {"client_credentials"}, "resource": {s.URL()}}); status != 200 {
		t.Errorf("the new client: %d %v", status, m)
	}
	if _, help := u.hop("GET", s.Control()+"/help", nil, nil); !strings.Contains(help, "drop") || !strings.Contains(help, "grace") || !strings.Contains(help, "no-pkce") {
		t.Errorf("help: %s", help)
	}
	req, err := http.NewRequest("GET", s.Control()+"/stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example"
	if res, err := http.DefaultTransport.RoundTrip(req); err != nil || res.StatusCode != 403 {
		t.Errorf("a foreign Host header: %v %v", res, err)
	}
}

func TestTLS(t *testing.T) {
	s := start(t, Options{TLS: true, SeparateIssuer: true})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CertificatePEM()) {
		t.Fatal("no certificate")
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, address := range []string{s.URL(), s.Issuer() + wellKnownOAuth} {
		req, err := http.NewRequestWithContext(context.Background(), "GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
}

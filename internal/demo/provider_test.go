package demo

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The identity provider authenticates users and exchanges its ID tokens and refresh tokens for an ID-JAG. Only the authorization servers
// that trust it accept that ID-JAG.
func TestProvider(t *testing.T) {
	s := start(t, Options{})
	p, err := StartProvider(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u := &user{t: t, s: p, id: idpClient, secret: "demo-cs-idp", redirect: callback, header: http.Header{}}
	q := u.authorization("openid offline_access")
	q.Del("resource")
	q.Set("nonce", "n1")
	code := u.exchange(u.authorize(q).Get("code"))
	code.Del("resource")
	_, m := u.post("/token", code)
	u.keep(m)
	idToken, _ := m["id_token"].(string)
	c, err := p.verify(idToken)
	if err != nil || c.Issuer != p.Issuer() || c.Nonce != "n1" || !c.Audience.Contains(idpClient) {
		t.Fatalf("ID token %+v: %v", c, err)
	}
	first := u.refresh
	_, m = u.post("/token", url.Values{"grant_type": {grantRefresh}, "refresh_token": {first}})
	u.keep(m)
	if m["id_token"] == nil || u.refresh == first {
		t.Errorf("refresh: %v", m)
	}

	ask := func(token, kind, audience string) map[string]any {
		_, m := u.post("/token", url.Values{"grant_type": {grantExchange}, "subject_token": {token}, "subject_token_type": {kind},
			"requested_token_type": {typeIDJAG}, "audience": {audience}, "resource": {s.URL()}})
		return m
	}
	for name, m := range map[string]map[string]any{
		"another audience":      ask(idToken, typeIDToken, "https://other.example"),
		"a spent refresh token": ask(first, typeRefresh, s.Issuer()),
		"an access token":       ask(u.access, "urn:ietf:params:oauth:token-type:access_token", s.Issuer()),
		"another's ID token":    ask(s.IDToken("", 0), typeIDToken, s.Issuer()),
	} {
		if m["error"] == nil {
			t.Errorf("%s is exchanged: %v", name, m)
		}
	}
	for kind, token := range map[string]string{typeIDToken: idToken, typeRefresh: u.refresh} {
		jag, _ := ask(token, kind, s.Issuer())["access_token"].(string)
		client := &user{t: t, s: s, id: "demo-public", header: http.Header{}}
		_, m := client.post("/token", url.Values{"grant_type": {grantJWTBearer}, "resource": {s.URL()}, "assertion": {jag}})
		client.keep(m)
		if _, body := client.rpc("tools/call", `{"name":"whoami","arguments":{}}`); !strings.Contains(body, "demo-user") {
			t.Errorf("%s: whoami: %s (%v)", kind, body, m)
		}
	}
}

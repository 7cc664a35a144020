package demo

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A user logs in twice, in the same browser or in another one. Then the refresh token of the first login is revoked or used twice.
// Settings.Share decides whether the revocation or the second use also ends the second login.
func TestSharedGrants(t *testing.T) {
	for _, tt := range []struct {
		share       string
		sameBrowser bool
		works       bool
	}{
		{"family", true, true},
		{"client", true, false},
		{"client", false, false},
		{"browser", true, false},
		{"browser", false, true},
	} {
		for _, end := range []string{"revocation", "reuse"} {
			s := start(t, Options{Settings: Settings{Share: tt.share}})
			u := newUser(t, s)
			u.browser = &Browser{}
			u.login("notes:read")
			first := u.refresh
			if end == "reuse" {
				if status, _ := u.renew(first); status != http.StatusOK {
					t.Fatal("the first refresh is refused")
				}
			}
			if !tt.sameBrowser {
				u.browser = &Browser{}
			}
			u.login("notes:read")
			if !u.works() {
				t.Fatalf("%s: the second login does not work", tt.share)
			}
			if end == "reuse" {
				u.renew(first)
			} else {
				u.post("/revoke", url.Values{"token": {first}})
			}
			status, _ := u.renew(u.refresh)
			if u.works() != tt.works || (status == http.StatusOK) != tt.works {
				t.Errorf("share=%s, same browser %t, after a %s: works %t, refresh %d; want works %t", tt.share, tt.sameBrowser, end, u.works(), status, tt.works)
			}
			if other := newUser(t, s); tt.share == "client" {
				other.login("notes:read")
				u.post("/revoke", url.Values{"token": {first}})
				if !other.works() {
					t.Error("the grant of another client has ended")
				}
			}
		}
	}
}

func TestBrowserKeepsItsCookies(t *testing.T) {
	s, other := start(t, Options{}), start(t, Options{})
	file := filepath.Join(t.TempDir(), "cache", "cookies")
	session := func(s *Server, b *Browser) string {
		u := newUser(t, s)
		if _, err := b.Redirect(context.Background(), s.Issuer()+"/authorize?"+u.authorization("notes:read").Encode()); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.state.grants[len(s.state.grants)-1].browser
	}
	first := session(s, &Browser{File: file})
	session(other, &Browser{File: file})
	if second := session(s, &Browser{File: file}); first == "" || first != second {
		t.Errorf("sessions of one browser: %q, %q", first, second)
	}
	if third := session(s, &Browser{}); third == first {
		t.Error("another browser has the same session")
	}
}

// If the token endpoint does not answer in time, the client closes the connection. The test checks whether the server has used up the
// refresh token.
func TestEndpointsThatDoNotAnswer(t *testing.T) {
	for words, want := range map[string]struct {
		redeemed int
		begun    bool // the client received the header
	}{
		"token:hang=before":                  {0, false},
		"token:hang=after":                   {1, false},
		"token:hang=mid":                     {1, true},
		"token:late=1h":                      {1, false},
		"token:delay=1h":                     {1, false}, // the server processes the request after the client has closed the connection
		"token:hang=before,grant=client_xyz": {1, true},
	} {
		s := start(t, Options{})
		u := newUser(t, s)
		u.login("notes:read")
		s.Set(words)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {u.refresh}, "client_id": {u.id}, "resource": {s.URL()}}
		req, _ := http.NewRequestWithContext(ctx, "POST", s.Issuer()+"/token", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(req)
		if (err == nil) != want.begun || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want the head of an answer: %t", words, err, want.begun)
		}
		if err == nil {
			var m map[string]any
			if err := json.NewDecoder(res.Body).Decode(&m); (err == nil) != !strings.Contains(words, "mid") {
				t.Errorf("%s: the answer: %v", words, err)
			}
			res.Body.Close()
		}
		if strings.Contains(words, "delay") {
			for range 100 {
				if s.Count("refresh") > 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		if n := s.Count("refresh"); n != want.redeemed {
			t.Errorf("%s: redeemed %d times, want %d", words, n, want.redeemed)
		}
	}
	s := start(t, Options{})
	s.Set("metadata:hang=before")
	closed := make(chan error)
	go func() {
		_, err := http.Get(s.Issuer() + wellKnownOAuth)
		closed <- err
	}()
	for s.Count("metadata") == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if err := <-closed; err == nil {
		t.Error("the request that hung was answered")
	}
}

func TestLateAnswers(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	s.Set("token:late=50ms")
	began := time.Now()
	if status, _ := u.renew(u.refresh); status != http.StatusOK || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%d after %s", status, time.Since(began))
	}
}

func TestTokenEndpointMoves(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	s.Set("token_path=v2/token")
	if status, _ := u.renew(u.refresh); status != http.StatusNotFound || s.Count("token/refresh_token") != 1 {
		t.Errorf("the former endpoint: %d, counted %d times", status, s.Count("token/refresh_token"))
	}
	if m := s.serverMetadata(); m["token_endpoint"] != s.Issuer()+"/v2/token" {
		t.Errorf("metadata: %v", m["token_endpoint"])
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {u.refresh}, "resource": {s.URL()}}
	if status, m := u.post("/v2/token", form); status != http.StatusOK {
		t.Errorf("the new endpoint: %d %v", status, m)
	}
	s.Set("token:path=/token,gone")
	if status, _ := u.renew("x"); status != http.StatusGone {
		t.Errorf("gone: %d", status)
	}
}

func TestRefusalsInOtherShapes(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	for preset, want := range map[string]struct{ status, contentType, body string }{
		"refused-code":    {"401", "application/json", "token_revoked"},
		"refused-list":    {"400", "application/json", `[{"error":"invalid_grant"`},
		"refused-errors":  {"400", "application/json", `{"errors":[{"message":`},
		"refused-form":    {"400", "application/x-www-form-urlencoded", "error=invalid_grant&error_description=the+session"},
		"refused-html":    {"400", "text/html", "<title>the session has ended</title>"},
		"refused-problem": {"400", "application/problem+json", `"detail":"the session has ended"`},
	} {
		s.Set("token:" + preset + ",n=1")
		res, body := u.hop("POST", s.Issuer()+"/token", strings.NewReader("grant_type=refresh_token"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if !strings.HasPrefix(res.Status, want.status) || res.Header.Get("Content-Type") != want.contentType || !strings.Contains(body, want.body) {
			t.Errorf("%s: %s %s %s", preset, res.Status, res.Header.Get("Content-Type"), body)
		}
	}
	s.Set("mcp:wrong-audience,n=1")
	res, _ := u.rpc("tools/list", "{}")
	if c := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || !strings.Contains(c, `error_description="the token is bound to a different resource"`) {
		t.Errorf("%d %s", res.StatusCode, c)
	}
	s.Set("mcp:busy,n=1,retry=7")
	if res, _ := u.rpc("tools/list", "{}"); res.StatusCode != 429 || res.Header.Get("Retry-After") != "7" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestRedirectToASlash(t *testing.T) {
	s := start(t, Options{Settings: Settings{Slash: true}})
	u := newUser(t, s)
	u.login("notes:read")
	res, _ := u.rpc("tools/list", "{}")
	if res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != "/mcp/" {
		t.Fatalf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	req := res.Request.Clone(context.Background())
	req.URL.Path += "/"
	req.Body, _ = res.Request.GetBody()
	if res, err := http.DefaultTransport.RoundTrip(req); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("behind the slash: %v %v", res, err)
	}
}

func TestPushedAuthorizationRequests(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	if status, _ := u.post("/par", u.authorization("notes:read")); status != http.StatusNotFound {
		t.Errorf("not offered: %d", status)
	}
	s.Set("par=require")
	if back := u.authorize(u.authorization("notes:read")); back != nil {
		t.Errorf("an authorization request that was not pushed: %v", back)
	}
	for name, change := range map[string]string{"request_uri": "urn:x", "response_type": "token", "scope": "everything", "redirect_uri": "https://other.example/cb"} {
		q := u.authorization("notes:read")
		q.Set(name, change)
		if status, m := u.post("/par", q); status != http.StatusBadRequest {
			t.Errorf("%s=%s: %d %v", name, change, status, m)
		}
	}
	status, m := u.post("/par", u.authorization("notes:read"))
	if status != http.StatusCreated || m["expires_in"] != 60.0 {
		t.Fatalf("%d %v", status, m)
	}
	other := url.Values{"client_id": {newUser(t, s).id}, "request_uri": {m["request_uri"].(string)}}
	if back := u.authorize(other); back != nil {
		t.Errorf("another client's request: %v", back)
	}
	_, m = u.post("/par", u.authorization("notes:read"))
	short := url.Values{"client_id": {u.id}, "request_uri": {m["request_uri"].(string)}}
	back := u.authorize(short)
	if status, m := u.post("/token", u.exchange(back.Get("code"))); status != http.StatusOK {
		t.Errorf("code exchange: %d %v", status, m)
	}
	if back := u.authorize(short); back != nil {
		t.Errorf("used twice: %v", back)
	}
	if n := s.Count("pushed"); n != 2 {
		t.Errorf("%d requests were pushed, want 2", n)
	}
}

// Tests of every fault, setting and action.

package demo

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestParseFault(t *testing.T) {
	for words, want := range map[string]Fault{
		"token:status=503,retry=2,n=1":             {Endpoint: "token", Status: 503, Retry: "2", N: 1},
		"mcp:deny":                                 {Endpoint: "mcp", Deny: true},
		"token:grant=refresh_token,drop=after":     {Endpoint: "token", Grant: "refresh_token", Drop: "after"},
		`token:set.expires_in="3600",del=scope`:    {Endpoint: "token", Edit: map[string]any{"expires_in": "3600", "scope": nil}},
		`register:set.redirect_uris=["a","b"],n=2`: {Endpoint: "register", N: 2, Edit: map[string]any{"redirect_uris": []any{"a", "b"}}},
		"authorize:wrong-iss,n=1":                  {Endpoint: "authorize", N: 1, Edit: map[string]any{"iss": "https://other.example"}},
		`*:body="a,b",status=200`:                  {Endpoint: "*", Body: "a,b", Status: 200},
		`mcp:header=["X-A: 1","X-B: 2"]`:           {Endpoint: "mcp", Header: []string{"X-A: 1", "X-B: 2"}},
	} {
		if got, err := ParseFault(words); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v (%v)", words, got, want, err)
		}
	}
	for _, words := range []string{"", "token", "nowhere:n=1", "token:what=1", "token:n=x", "token:drop=sideways", `token:body="open`} {
		if f, err := ParseFault(words); err == nil {
			t.Errorf("%q is taken as %+v", words, f)
		}
	}
	for name := range presets() {
		if _, err := ParseFault("token:" + name); err != nil {
			t.Errorf("preset %s: %v", name, err)
		}
	}
}

func TestFaultsAtTheTokenEndpoint(t *testing.T) {
	for words, want := range map[string]struct {
		status int
		body   string // a part of it
		spent  bool   // the server redeemed the refresh token although the client got no response
	}{
		"token:status=503,retry=7":                        {503, "", false},
		"token:busy":                                      {429, "too_many_requests", false},
		"token:html":                                      {200, "<!doctype html>", true},
		"token:truncated":                                 {200, "{", true},
		"token:slack":                                     {200, `{"ok":false`, false},
		"token:status=201":                                {201, "access_token", true},
		"token:status=500,process":                        {500, "access_token", true},
		`token:set.expires_in="3600"`:                     {200, `"expires_in":"3600"`, true},
		`token:set.expires_in=3600.5`:                     {200, `"expires_in":3600.5`, true},
		`token:set.expires_in=-1`:                         {200, `"expires_in":-1`, true},
		`token:set.expires_in=99999999999999999999`:       {200, `"expires_in":99999999999999999999`, true},
		"token:no-refresh-token,grant=refresh_token":      {200, "access_token", true},
		"token:status=400,grant=authorization_code":       {200, "access_token", true}, // not ours
		"token:status=400,has=nothing-like-it":            {200, "access_token", true},
		"token:status=400,has=grant_type%3Drefresh_token": {200, "access_token", true},
		"token:status=400,has=grant_type=refresh_token":   {400, "", false},
		"token:status=400,lacks=X-Nothing":                {400, "", false},
		"token:status=400,with=X-Nothing":                 {200, "access_token", true},
		"token:body=5000*ab,status=200":                   {200, strings.Repeat("ab", 5000), false},
	} {
		s := start(t, Options{})
		u := newUser(t, s)
		u.login("notes:read")
		if err := s.Set(words); err != nil {
			t.Fatal(err)
		}
		res, body := u.hop("POST", s.Issuer()+"/token", strings.NewReader("grant_type=refresh_token&refresh_token="+u.refresh+"&client_id="+u.id+"&resource="+s.URL()),
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if res.StatusCode != want.status || !strings.Contains(body, want.body) || (s.Count("refresh") == 1) != want.spent {
			t.Errorf("%s: %d %.200s, redeemed %d times; want %d %.40s, redeemed %t", words, res.StatusCode, body, s.Count("refresh"), want.status, want.body, want.spent)
		}
		if words == "token:no-refresh-token,grant=refresh_token" && strings.Contains(body, "refresh_token") {
			t.Errorf("%s: %s", words, body)
		}
		if words == "token:status=503,retry=7" && res.Header.Get("Retry-After") != "7" {
			t.Errorf("%s: Retry-After is %q", words, res.Header.Get("Retry-After"))
		}
	}
}

func TestDroppedConnections(t *testing.T) {
	for where, redeemed := range map[string]int{"before": 0, "after": 1, "mid": 1} {
		s := start(t, Options{Faults: Faults{{Endpoint: "token", Grant: "refresh_token", Drop: where, N: 1}}})
		u := newUser(t, s)
		u.login("notes:read")
		_, body, err := hop("POST", s.Issuer()+"/token", strings.NewReader("grant_type=refresh_token&refresh_token="+u.refresh+"&client_id="+u.id+"&resource="+s.URL()),
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) || s.Count("refresh") != redeemed {
			t.Errorf("%s: %v %q, redeemed %d times, want %d", where, err, body, s.Count("refresh"), redeemed)
		}
		if where == "mid" && !strings.HasPrefix(body, "{") {
			t.Errorf("mid: nothing came: %q", body)
		}
		if e := s.Requests("token"); e[len(e)-1].Status != 0 {
			t.Errorf("%s: logged as answered: %d", where, e[len(e)-1].Status)
		}
	}
}

func TestFaultsAtTheResource(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	s.Deny(2)
	for i, want := range []bool{false, false, true} {
		if got := u.works(); got != want {
			t.Errorf("request %d: works %t", i, got)
		}
	}
	if err := s.Set("mcp:skip=1,deny,n=1,method=tools/list,set.resource_metadata=https://other.example/x,del=scope"); err != nil {
		t.Fatal(err)
	}
	if !u.works() {
		t.Error("the first one was to pass")
	}
	res, _ := u.rpc("tools/list", "{}")
	if c := res.Header.Get("WWW-Authenticate"); !strings.Contains(c, `resource_metadata="https://other.example/x"`) || strings.Contains(c, "scope=") {
		t.Errorf("challenge: %s", c)
	}
	s.Set("mcp:status=503,retry=1,n=1,method=tool/echo")
	if !u.works() {
		t.Error("the fault is for another tool")
	}
	if res, _ := u.rpc("tools/call", `{"name":"echo","arguments":{"text":"x"}}`); res.StatusCode != 503 || s.Count("tool/echo") != 0 {
		t.Errorf("503: %d, ran %d times", res.StatusCode, s.Count("tool/echo"))
	}
	for where, ran := range map[string]int{"before": 0, "after": 1, "mid": 1} {
		s.Reset()
		s.Inject(Fault{Endpoint: "mcp", Drop: where, N: 1})
		req := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + withMeta(`{"name":"echo","arguments":{"text":"x"}}`) + `}`
		_, _, err := hop("POST", s.URL(), strings.NewReader(req), http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
			"Mcp-Protocol-Version": {modern}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}, "Authorization": {"Bearer " + u.access}})
		if err == nil || s.Count("tool/echo") != ran {
			t.Errorf("drop %s: %v, ran %d times, want %d", where, err, s.Count("tool/echo"), ran)
		}
	}
	s.Set("mcp:status=500")
	s.Set("clear")
	if !u.works() {
		t.Error("clear left a fault")
	}
}

func TestFaultsInTheRedirect(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	for words, want := range map[string]string{
		"authorize:no-iss,n=1":        "iss=",
		"authorize:wrong-iss,n=1":     "iss=https://other.example",
		"authorize:wrong-state,n=1":   "state=not-yours",
		"authorize:access-denied,n=1": "error=access_denied",
	} {
		s.Set(words)
		name, value, _ := strings.Cut(want, "=")
		if back := u.authorize(u.authorization("notes:read")); back.Get(name) != value {
			t.Errorf("%s: %v", words, back)
		}
	}
}

func TestFaultsTogether(t *testing.T) {
	s := start(t, Options{})
	s.Set("metadata:no-pkce")
	s.Set("metadata:no-registration")
	s.Set("metadata:foreign-issuer,n=1")
	u := &user{t: t, s: s}
	for i, issuer := range []string{"https://other.example", s.Issuer()} {
		_, body := u.hop("GET", s.Issuer()+wellKnownOAuth, nil, nil)
		m := object(body)
		if m["issuer"] != issuer || m["code_challenge_methods_supported"] != nil || m["registration_endpoint"] != nil || m["token_endpoint"] == nil {
			t.Errorf("request %d: %s", i, body)
		}
	}
}

func TestActions(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	s.Set("expire")
	if u.works() {
		t.Error("expire: the token is good")
	}
	status, m := u.renew(u.refresh)
	if status != 200 {
		t.Fatalf("refresh after expire: %d %v", status, m)
	}
	u.keep(m)
	s.Set("revoke")
	if status, m := u.renew(u.refresh); u.works() || m["error"] != "invalid_grant" {
		t.Errorf("revoke: %d %v", status, m)
	}
	s.Set("forget")
	if back := u.authorize(u.authorization("notes:read")); back != nil {
		t.Errorf("forget: %v", back)
	}
	if _, m := u.renew(u.refresh); m["error"] != "invalid_client" {
		t.Errorf("forget: %v", m)
	}
	before := s.Issuer()
	s.Set("migrate")
	if s.Issuer() == before {
		t.Error("migrate: the issuer is the same")
	}
	v := newUser(t, s)
	v.login("notes:read")
	if !v.works() {
		t.Error("migrate: a login at the new issuer is of no use")
	}
	for _, words := range []string{"", "what", "ttl=long", "rotate=sometimes", "deny=x", "token:what"} {
		if s.Set(words) == nil {
			t.Errorf("%q is taken", words)
		}
	}
}

func TestSettings(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	s.Set("rotate=never")
	if status, m := u.renew(u.refresh); status != 200 || m["refresh_token"] != nil {
		t.Errorf("rotate=never: %d %v", status, m)
	}
	s.Set("rotate=always,grace=1h")
	old := u.refresh
	_, m := u.renew(old)
	u.keep(m)
	if status, again := u.renew(old); status != 200 || again["refresh_token"] != u.refresh || s.Count("grace") != 1 {
		t.Errorf("grace: %d %v", status, again)
	}
	s.Set("grace=0s,early=10m")
	if status, m := u.renew(u.refresh); status != 400 || m["error"] != "invalid_request" {
		t.Errorf("early: %d %v", status, m)
	}
	s.Set("early=0s,single")
	before := *u
	_, m = u.renew(u.refresh)
	u.keep(m)
	if before.works() || !u.works() {
		t.Error("single: the earlier token is good, or the later one is not")
	}
	s.Set("bytes=3000,offline=scope")
	u.refresh = ""
	u.login("notes:read")
	if len(u.access) != 3000 || u.refresh != "" {
		t.Errorf("bytes, offline: %d bytes, refresh token %t", len(u.access), u.refresh != "")
	}
	u.login("notes:read offline_access")
	if len(u.refresh) != 3000 {
		t.Errorf("offline_access: %d bytes", len(u.refresh))
	}
	s.Set("withhold=notes:write,user=alice")
	u.login("notes:read notes:write")
	if _, body := u.rpc("tools/call", `{"name":"whoami","arguments":{}}`); !strings.Contains(body, "alice") || strings.Contains(body, "notes:write") {
		t.Errorf("withhold, user: %s", body)
	}
	s.Set("resource=refuse")
	if back := u.authorize(u.authorization("notes:read")); back.Get("error") != "invalid_target" {
		t.Errorf("resource=refuse: %v", back)
	}
	s.Set("resource=optional")
	q := u.authorization("notes:read")
	q.Del("resource")
	if back := u.authorize(q); back.Get("code") == "" {
		t.Errorf("resource=optional: %v", back)
	}
	s.Set("open=!tools/call")
	u.access = ""
	if res, _ := u.rpc("tools/call", `{"name":"echo","arguments":{"text":"x"}}`); !u.works() || res.StatusCode != 401 {
		t.Errorf("open: list works %t, call %d", u.works(), res.StatusCode)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, Options{Settings: Settings{Grace: 0}})
	u := newUser(t, s)
	u.login("notes:read")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { hop("GET", s.Control()+"/stats", nil, nil) })
		all.Go(func() {
			hop("POST", s.Issuer()+"/token", strings.NewReader("grant_type=refresh_token&refresh_token="+u.refresh+"&client_id="+u.id+"&resource="+s.URL()),
				http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		})
	}
	all.Wait()
	if s.Count("refresh") != 1 || s.Count("token/refresh_token") != 50 || s.Live() != 0 {
		t.Errorf("%d refreshes of %d requests, %d grants alive; want 1 of 50, and the family revoked", s.Count("refresh"), s.Count("token/refresh_token"), s.Live())
	}
}

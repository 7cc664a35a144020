package token

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

// clock is a clock that advances only while Device waits.
type clock struct {
	now   time.Time
	slept []time.Duration
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.slept = append(c.slept, d)
	c.now = c.now.Add(d)
	return ctx.Err()
}

func (c *clock) apply(e Endpoint) Endpoint {
	c.now = noon
	e.Now, e.Sleep = func() time.Time { return c.now }, c.sleep
	return e
}

const codeBody = `{"device_code":"dc-canary-000","user_code":"WDJB-MJHT","verification_uri":"http://127.0.0.1/device","expires_in":900,"interval":7}`

func refusing(code string) reply { return reply{status: 400, body: `{"error":"` + code + `"}`} }

func ignoreCode(DeviceCode) {}

// The requests of the device grant (RFC 8628 §3.1 and §3.4).
func TestDeviceRequests(t *testing.T) {
	s := serve(t, reply{body: strings.Replace(codeBody, "{", `{"verification_uri_complete":"http://127.0.0.1/device?user_code=WDJB-MJHT",`, 1)},
		refusing("authorization_pending"), reply{body: bound})
	var c clock
	e := c.apply(s.endpoint())
	e.DPoP = newTestProver(t)
	var shown []DeviceCode
	tok, err := e.Device(context.Background(), context.Background(), s.URL+"/device", "read  write", func(d DeviceCode) { shown = append(shown, d) })
	if err != nil || tok.AccessToken != "at-1" || tok.TokenType != "DPoP" {
		t.Fatalf("got %v %v", tok, err)
	}
	want := DeviceCode{UserCode: "WDJB-MJHT", VerificationURI: "http://127.0.0.1/device",
		VerificationURIComplete: "http://127.0.0.1/device?user_code=WDJB-MJHT", Expires: noon.Add(15 * time.Minute), Interval: 7 * time.Second}
	if len(shown) != 1 || shown[0] != want {
		t.Errorf("shown %+v, want %+v", shown, want)
	}
	if len(s.got) != 3 {
		t.Fatalf("requests: got %d, want 3", len(s.got))
	}
	if got := s.got[0]; got.Method != "POST" || got.URI != "/device" {
		t.Errorf("got %s %s", got.Method, got.URI)
	}
	wantHeaders(t, s.got[0].Header, plainHeaders)
	wantForm(t, s.got[0].Form, map[string]string{"client_id": "client-1", "scope": "read write", "resource": "https://MCP.example/a/"})
	for _, got := range s.got[1:] {
		header := maps.Clone(plainHeaders)
		header["Dpop"] = got.Header.Get("DPoP")
		if header["Dpop"] == "" || got.Method != "POST" || got.URI != "/token?v=2" {
			t.Errorf("got %+v, want a proof", got)
		}
		wantHeaders(t, got.Header, header)
		wantForm(t, got.Form, map[string]string{"client_id": "client-1", "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
			"device_code": "dc-canary-000", "resource": "https://MCP.example/a/"})
	}
}

// A client with a secret authenticates in the same way at both endpoints.
func TestDeviceClientAuthentication(t *testing.T) {
	s := serve(t, reply{body: codeBody}, reply{body: okBody})
	var c clock
	e := c.apply(s.endpoint())
	e.Client, e.Resource = ClientAuth{ID: "a", Secret: "b", Method: "client_secret_basic"}, ""
	if _, err := e.Device(context.Background(), context.Background(), s.URL, "", ignoreCode); err != nil {
		t.Fatal(err)
	}
	for i, form := range []map[string]string{{}, {"grant_type": grantDevice, "device_code": "dc-canary-000"}} {
		if got := s.got[i].Header.Get("Authorization"); got != "Basic YTpi" {
			t.Errorf("request %d: Authorization %q", i, got)
		}
		wantForm(t, s.got[i].Form, form)
	}
}

func TestDevicePolling(t *testing.T) {
	pending, slow := refusing("authorization_pending"), refusing("slow_down")
	start := func(extra string) reply {
		return reply{body: `{"device_code":"d","user_code":"U","verification_uri":"http://127.0.0.1/"` + extra + `}`}
	}
	for _, tt := range []struct {
		name    string
		replies []reply
		slept   []int // seconds
		code    string
	}{
		{"no interval is 5 s: §3.2", []reply{start(``), pending, {body: okBody}}, []int{5, 5}, ""},
		{"the server's interval", []reply{start(`,"interval":2`), pending, {body: okBody}}, []int{2, 2}, ""},
		{"interval 0 is 5 s", []reply{start(`,"interval":0`), {body: okBody}}, []int{5}, ""},
		{"interval negative is 5 s", []reply{start(`,"interval":-3`), {body: okBody}}, []int{5}, ""},
		{"interval as text", []reply{start(`,"interval":"3"`), {body: okBody}}, []int{3}, ""},
		{"interval tiny is 1 s", []reply{start(`,"interval":0.001`), {body: okBody}}, []int{1}, ""},
		{"slow_down adds 5 s for good: §3.5", []reply{start(`,"interval":2`), slow, pending, slow, {body: okBody}}, []int{2, 7, 7, 12}, ""},
		{"429 with Retry-After", []reply{start(``), {status: 429, header: map[string]string{"Retry-After": "30"}}, {body: okBody}}, []int{5, 30}, ""},
		{"503 doubles", []reply{start(``), {status: 503, body: "busy"}, {status: 503}, {body: okBody}}, []int{5, 10, 20}, ""},
		{"access_denied: §3.5", []reply{start(``), pending, refusing("access_denied")}, []int{5, 5}, "access_denied"},
		{"expired_token: §3.5", []reply{start(``), refusing("expired_token")}, []int{5}, "expired_token"},
		{"any other code ends it", []reply{start(``), refusing("invalid_grant")}, []int{5}, "invalid_grant"},
		{"with status 200 too", []reply{start(``), {body: `{"error":"authorization_pending"}`}, {body: `{"error":"access_denied"}`}}, []int{5, 5}, "access_denied"},
		{"our own clock ends it, after a last poll", []reply{start(`,"expires_in":12`), pending}, []int{5, 5, 2}, "expired_token"},
		{"approved at the last moment", []reply{start(`,"expires_in":6`), pending, {body: okBody}}, []int{5, 1}, ""},
		{"a huge interval does not outlast the code", []reply{start(`,"interval":1e300,"expires_in":60`), pending}, []int{60}, "expired_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.replies...)
			var c clock
			tok, err := c.apply(s.endpoint()).Device(context.Background(), context.Background(), s.URL, "", ignoreCode)
			var refused *Error
			if errors.As(err, &refused); tt.code == "" && (err != nil || tok.AccessToken != "at-1") || tt.code != "" && (refused == nil || refused.Code != tt.code) {
				t.Errorf("got %v %v, want %q", tok, err, tt.code)
			}
			var slept []int
			for _, d := range c.slept {
				slept = append(slept, int(d/time.Second))
			}
			if !slices.Equal(slept, tt.slept) || len(s.got) != 1+len(tt.slept) {
				t.Errorf("slept %v, want %v; %d requests", slept, tt.slept, len(s.got))
			}
		})
	}
}

// The polls end by the monotonic clock. A machine without a battery for its clock often sets the clock while the user approves the login.
func TestDeviceIgnoresTheWallClock(t *testing.T) {
	s := serve(t, reply{body: codeBody})
	e := s.endpoint()
	e.Now = time.Now
	ctx, cancel := context.WithCancel(t.Context())
	_, err := e.Device(ctx, ctx, s.URL, "", func(d DeviceCode) {
		if !strings.Contains(d.Expires.String(), " m=+") {
			t.Errorf("%s has no monotonic reading", d.Expires)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A lost connection slows the polling down and does not end it (RFC 8628 §3.5).
func TestDeviceSurvivesNetwork(t *testing.T) {
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			reply{body: codeBody}.write(w)
		case 2:
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		default:
			reply{body: okBody}.write(w)
		}
	}))
	defer s.Close()
	var c clock
	e := c.apply(Endpoint{URL: s.URL, Local: true})
	tok, err := e.Device(context.Background(), context.Background(), s.URL, "", ignoreCode)
	if err != nil || tok.AccessToken != "at-1" || !slices.Equal(c.slept, []time.Duration{7 * time.Second, 14 * time.Second}) {
		t.Errorf("got %v %v, slept %v", tok, err, c.slept)
	}
}

func TestDeviceMalformedPollEnds(t *testing.T) {
	s := serve(t, reply{body: codeBody}, reply{contentType: "text/html", body: "<p>dc-canary-000"})
	var c clock
	_, err := c.apply(s.endpoint()).Device(context.Background(), context.Background(), s.URL, "", ignoreCode)
	if !errors.Is(err, ErrMalformed) || len(s.got) != 2 || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v after %d requests", err, len(s.got))
	}
}

func TestDeviceContext(t *testing.T) {
	s := serve(t, reply{body: codeBody})
	ctx, cancel := context.WithCancel(context.Background())
	// With the real clock, the context ends the wait of 7 s at once.
	_, err := s.endpoint().Device(ctx, ctx, s.URL, "", func(DeviceCode) { cancel() })
	if !errors.Is(err, context.Canceled) || len(s.got) != 1 {
		t.Errorf("got %v after %d requests, want context.Canceled after 1", err, len(s.got))
	}
	if _, err := s.endpoint().Device(ctx, ctx, s.URL, "", ignoreCode); !errors.Is(err, context.Canceled) || len(s.got) != 1 {
		t.Errorf("got %v after %d requests: x/oauth2 drops the context of this request", err, len(s.got))
	}
}

func TestUserCode(t *testing.T) {
	for code, want := range map[string]bool{
		"U": true, "WDJB-MJHT": true, "wdjb-mjht": true, "WDJB_MJHT": true, "WDJB.MJHT": false, "123 456 789": true, "123.456.789": false, "A-B C_D-E": true,
		strings.Repeat("U", 40): true, strings.Repeat("U", 41): false, "": false, "A-B-C-D-E-F": false, "A--B": false, "-A": false, "A-": false, "A ": false,
		"123  456": false, "A/B": false, "A:B": false, "A@B": false, "A\tB": false, "\u2800": false, "A\u00a0B": false, "CALL +1 555": false,
		"call 1 555": false, "evil.example": false, "198.51.100.7": false, "127.1": false, "1.2.3": false, "A1.2.3": false, "EVIL.COM": false, "\uff21": false, "Ä": false,
	} {
		if got := isUserCode(code); got != want {
			t.Errorf("%q: got %t", code, got)
		}
	}
}

func TestDeviceAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		body    string
		remote  bool
		err     string
		address bool // the error is an *httpx.AddressError
		strict  bool // an error only of a strict endpoint
	}{
		{name: "verification_url (Google)", body: `{"device_code":"d","user_code":"U","verification_url":"http://127.0.0.1/"}`, strict: true},
		{name: "a user_code with blanks (Auth0)", body: `{"device_code":"d","user_code":"123 456 789","verification_uri":"http://127.0.0.1/"}`},
		{name: "no device_code", body: `{"user_code":"U","verification_uri":"http://127.0.0.1/"}`, err: "missing"},
		{name: "no user_code", body: `{"device_code":"d","verification_uri":"http://127.0.0.1/"}`, err: "missing"},
		{name: "no verification_uri", body: `{"device_code":"d","user_code":"U"}`, err: "missing"},
		{name: "terminal escapes in user_code", body: `{"device_code":"d","user_code":"U\u001b[2J","verification_uri":"http://127.0.0.1/"}`, err: "user_code"},
		{name: "endless user_code", body: `{"device_code":"d","user_code":"` + strings.Repeat("U", 999) + `","verification_uri":"http://127.0.0.1/"}`, err: "user_code"},
		{name: "a sentence as user_code", body: `{"device_code":"d","user_code":"call +1 555 0100","verification_uri":"http://127.0.0.1/"}`, err: "user_code"},
		{name: "an address as user_code", body: `{"device_code":"d","user_code":"https://evil.example/x","verification_uri":"http://127.0.0.1/"}`, err: "user_code"},
		{name: "the device_code as user_code", body: `{"device_code":"canary-device","user_code":"canary-device","verification_uri":"http://127.0.0.1/"}`},
		{name: "the device_code in an address", body: `{"device_code":"canary-device","user_code":"U","verification_uri":"http://127.0.0.1/?c=canary%2Ddevice"}`, err: "repeats a secret", address: true},
		{name: "the client secret as user_code", body: `{"device_code":"d","user_code":"canary/secret","verification_uri":"http://127.0.0.1/"}`, err: "user_code is not a short word"},
		{name: "an invisible user_code", body: `{"device_code":"d","user_code":"\u2800","verification_uri":"http://127.0.0.1/"}`, err: "user_code is not a short word"},
		{name: "a host name as user_code", body: `{"device_code":"d","user_code":"evil.example","verification_uri":"http://127.0.0.1/"}`, err: "user_code is not a short word"},
		{name: "the client secret in the complete address", body: `{"device_code":"d","user_code":"U","verification_uri":"http://127.0.0.1/","verification_uri_complete":"http://127.0.0.1/canary/secret"}`, err: "repeats a secret", address: true},
		{name: "the client ID and a part of the device_code in the complete address", body: `{"device_code":"eyJhbGciOiJSUzI1NiJ9.e30.canary","user_code":"U","verification_uri":"http://127.0.0.1/",` +
			`"verification_uri_complete":"http://127.0.0.1/?client_id=my-long-client-id&hint=eyJhbGciOiJSUzI1NiJ9.e30.other"}`},
		{name: "control characters in device_code", body: `{"device_code":"d\n","user_code":"U","verification_uri":"http://127.0.0.1/"}`, err: "device_code"},
		{name: "javascript", body: `{"device_code":"d","user_code":"U","verification_uri":"javascript:alert(1)"}`, err: "scheme", address: true},
		{name: "http to a remote host", body: `{"device_code":"d","user_code":"U","verification_uri":"http://evil.example/"}`, err: "https", address: true},
		{name: "shell words", body: `{"device_code":"d","user_code":"U","verification_uri":"https://x/$(id) "}`, err: "spaces", address: true},
		{name: "the complete one is checked too", body: `{"device_code":"d","user_code":"U","verification_uri":"http://127.0.0.1/","verification_uri_complete":"file:///etc/passwd"}`, err: "scheme", address: true},
		{name: "duplicate members", body: `{"device_code":"d","user_code":"U","user_code":"V","verification_uri":"http://127.0.0.1/"}`, err: "twice"},
		{name: "HTML", body: `<html>`, err: "expected a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, reply{body: tt.body}, reply{body: okBody})
			var c clock
			e := c.apply(s.endpoint())
			e.Client = ClientAuth{ID: "my-long-client-id", Secret: "canary/secret", Method: "client_secret_basic"}
			_, err := e.Device(context.Background(), context.Background(), s.URL+"/device", "", ignoreCode)
			var address *httpx.AddressError
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !strings.HasPrefix(err.Error(), "device authorization endpoint "+s.URL+"/device: ")):
				t.Errorf("got %v, want %q", err, tt.err)
			case errors.As(err, &address) != tt.address || tt.err != "" && !tt.address && !errors.Is(err, ErrMalformed):
				t.Errorf("got %T %v", err, err)
			}
			if tt.strict {
				s := serve(t, reply{body: tt.body})
				e := c.apply(s.endpoint())
				e.Strict = true
				if _, err := e.Device(context.Background(), context.Background(), s.URL, "", ignoreCode); !errors.Is(err, ErrMalformed) {
					t.Errorf("strict: got %v", err)
				}
			}
		})
	}
	s := serve(t, reply{status: 401, body: `{"error":"invalid_client"}`})
	var refused *Error
	if _, err := s.endpoint().Device(context.Background(), context.Background(), s.URL, "", ignoreCode); !errors.As(err, &refused) || refused.Code != "invalid_client" || refused.Stage != "device authorization endpoint" {
		t.Errorf("got %v", err)
	}
}

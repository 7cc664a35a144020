package httpx

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSecrets(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789", "short", "")
	k.Hide("a long value of the user", "short value", "https://mcp.example.com", "https://hooks.example.com/canary")
	for _, tt := range []struct{ name, in, message, whole string }{
		{"whole", "is canary-token-0123456789!", "is [redacted]!", "is [redacted]!"},
		{"twice", "CANARY-TOKEN-0123456789 canary-token-0123456789", "[redacted] [redacted]", "[redacted] [redacted]"},
		{"in base64", base64.StdEncoding.EncodeToString([]byte("canary-token-0123456789")), "[redacted]k=", "[redacted]k="},
		{"shortened", "is canary-token…", "is [redacted]…", "is canary-token…"},
		{"fewer bytes", "is canary-toke", "is canary-toke", "is canary-toke"},
		{"a value", "a long value of the user's", "[redacted]'s", "[redacted]'s"},
		{"a part of a value", "a long value of the server", "a long value of the server", "a long value of the server"},
		{"short ones", "short value, short", "short value, short", "short value, short"},
		{"the origin of a server", "https://mcp.example.com/mcp", "https://mcp.example.com/mcp", "https://mcp.example.com/mcp"},
		{"a secret URL", "https://hooks.example.com/canary", "[redacted]", "[redacted]"},
	} {
		if got := k.Mask(tt.in); got != tt.message {
			t.Errorf("%s: message %q, want %q", tt.name, got, tt.message)
		}
		if got := k.MaskWhole(tt.in); got != tt.whole {
			t.Errorf("%s: text %q, want %q", tt.name, got, tt.whole)
		}
		if got, want := k.Holds(tt.in), tt.whole != tt.in; got != want {
			t.Errorf("%s: held is %v", tt.name, got)
		}
	}
	encoded := "a long value of the user"
	for i := range 3 {
		encoded = strings.ReplaceAll(url.PathEscape(encoded), "long", "%6cong")
		if !k.Holds("x=" + encoded) {
			t.Errorf("a value that is percent-encoded %d times is not found", i+1)
		}
	}
	for _, text := range []string{"100% of %63anary-token-0123456789", "%zz%2563anary-token-0123456789%"} {
		if !k.Holds(text) || !Holds(text, []string{"canary-token-0123456789"}) {
			t.Errorf("%s: the secret beside an invalid %%XX is not found", text)
		}
	}
	if Holds("100% of it", []string{"canary-token-0123456789"}) {
		t.Error("a text without the secret counts as one with it")
	}
}

// The error code of a response is not masked in later texts, but an authorization code that was sent is.
func TestErrorCodeIsNoSecret(t *testing.T) {
	var k Secrets
	k.learnBody(&k.received, "application/json", []byte(`{"code":"rate_limited","state":"suspended","access_token":"canary-access-1"}`))
	k.learnBody(&k.sent, formType, []byte("code=canary-code-1"))
	if got := k.Mask("rate_limited suspended canary-access-1 canary-code-1"); got != "rate_limited suspended [redacted] [redacted]" {
		t.Errorf("got %q", got)
	}
}

// A hostile server presents words and addresses of messages as secrets. Neither its metadata nor its token responses can remove them.
func TestOrdinaryTextIsNoSecret(t *testing.T) {
	const line = `the authorization server was "https://as.example.com/x", as2.example.com, expected_token`
	words := []string{"the authorization server was", "the+authorization+server+was", "the%20authorization%20server", "https://as.example.com/x", "https%3A%2F%2Fas.example.com",
		"as.example.com", "AS2.example.com", ".example.com", `erver was "https://as.example.com/x`}
	var answer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	}))
	defer s.Close()
	for _, name := range []string{"access_token", "refresh_token", "client_secret", "x_token"} {
		for _, word := range append(words, "expected_token") {
			data, _ := json.Marshal(map[string]any{"list": []any{map[string]string{name: word}}, name: word})
			answer = string(data)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				if word == "expected_token" && method == http.MethodPost && name != "x_token" {
					continue // this one could be a token
				}
				var k Secrets
				k.LearnIssued(words...)
				c, _ := New(Options{Secrets: &k})
				req, _ := http.NewRequest(method, s.URL, nil)
				if _, err := Do(c, req); err != nil {
					t.Fatal(err)
				}
				if got := k.Mask(line); got != line {
					t.Errorf("%s of %s in answer to %s: %s", name, word, method, got)
				}
			}
		}
	}
	var k Secrets
	tokens := []string{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.aQbRcSdTeUfVgWhXiYjZkAlBmCnDoEpFqGrHsItJuKv", "ya29.a0AfB_byC", "v1.0123456789abcdef", "1//0gABCDEF-G", "abc+def/ghi=="}
	k.LearnIssued(tokens...)
	for _, token := range tokens {
		if got := k.Mask(token); got != "[redacted]" {
			t.Errorf("%s: %s", token, got)
		}
	}
	k.Learn("my words are a secret", "my.password")
	if got := k.Mask("my words are a secret my.password"); got != "[redacted] [redacted]" {
		t.Errorf("secrets of the user: %s", got)
	}
}

// The secrets in a header of the user are its value, the credentials after a scheme, the password of Basic, and the values of cookies.
func TestHeaderSecrets(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("ann:pass%20word"))
	for _, tt := range []struct {
		name, value string
		want        []string
	}{
		{"X-Key", "canary", []string{"canary", "canary"}},
		{"X-Key", "Bearer canary", []string{"canary", "Bearer canary"}},
		{"authorization", "Bearer canary", []string{"canary"}},
		{"Authorization", "Basic " + basic, []string{basic, "pass word", "pass%20word"}},
		{"Cookie", "theme=dark; session=canary=1", []string{"session=canary=1", "theme=dark; session=canary=1", "dark", "canary=1"}},
		{"user-agent", "Mozilla/5.0", nil},
		{"Mcp-Param-Region", "eu-central-1", nil},
	} {
		if got := HeaderSecrets(tt.name, tt.value); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s: got %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}

// A text that contains a short value of the user is not stored, but the value is not masked in messages, where it may be an ordinary word.
func TestMayStore(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789")
	k.Hide("acme<13bytes>", "seven77")
	for text, want := range map[string]bool{
		"acme<13bytes>": false, `{"a":"acme\u003c13bytes\u003e"}`: false, "ACME%3C13bytes%3E": false, "canary-token-0123456789": false,
		"seven77": true, "acme": true, "canary-token": true, `{"a":"b"}`: true,
	} {
		if got := k.MayStore(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := k.Mask("acme<13bytes>"); got != "acme<13bytes>" || k.Holds(got) {
		t.Errorf("got %q", got)
	}
}

func TestSecretsInJSON(t *testing.T) {
	var k Secrets
	k.Learn(`canary"token"<0123456789>`)
	in := `{ "a\"b": "x canary\"token\"\u003c0123456789\u003e", "n": 1.0, "list":["", "\\", "canary"] }`
	got := string(k.MaskJSON([]byte(in)))
	if want := `{ "a\"b": "x [redacted]", "n": 1.0, "list":["", "\\", "canary"] }`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, torn := range []string{`"`, `"\`, `{"a":"b`, ``} {
		if got := string(k.MaskJSON([]byte(torn))); got != torn {
			t.Errorf("%s became %s", torn, got)
		}
	}
}

// A server that sends many secrets displaces none of the login, and the memory is bounded.
func TestSecretsAreBounded(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789")
	made := []string{}
	for i := range 1000 {
		made = append(made, fmt.Sprint("made-up-", i))
	}
	data, _ := json.Marshal(map[string]any{"access_token": made})
	for range 2 {
		k.dropOldest(&k.received)
		k.learnBody(&k.received, "application/json", data)
		k.Mask("a message")
	}
	if len(k.received) > 1000 || len(k.credentials) != 1 || k.Mask("canary-token-0123456789") != "[redacted]" {
		t.Errorf("%d received, own %q", len(k.received), k.credentials)
	}
	for _, m := range made {
		k.Learn(m)
	}
	if len(k.credentials) != maxCredentials || len(k.forms) > 2*maxCredentials+1 {
		t.Errorf("%d credentials, %d with their forms", len(k.credentials), len(k.forms))
	}
}

// The secrets of a token answer are masked also in its own status line and headers, which are printed before its body.
func TestTraceOfASelfRepeatingAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	body := `{"access_token":"canary-access-1","refresh_token":"canary-refresh-0123"}`
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.Copy(io.Discard, r.Body)
			fmt.Fprintf(conn, "HTTP/1.1 200 canary-access-1\r\nServer: canary-refresh-0123\r\nVary: canary-access-1\r\nContent-Type: application/json; x=canary-refresh-0123\r\n"+
				"Content-Length: %d\r\n\r\n%s", len(body), body)
		}
	}()
	var out strings.Builder
	var k Secrets
	c, _ := New(Options{Trace: &out, Secrets: &k})
	req, _ := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String(), nil)
	res, err := Do(c, req)
	if err != nil || string(res.Body) != body {
		t.Fatalf("%v, %v", res, err)
	}
	if got := out.String(); strings.Contains(got, "canary") || !strings.Contains(got, "< Server: [redacted]") {
		t.Errorf("the trace shows a secret, or nothing:\n%s", got)
	}
	if !k.Holds("canary-refresh-0123") {
		t.Error("the answer's secrets were not learned")
	}
}

// A server must not put a secret into a URL, but a secret that the user typed into the server's URL may appear there.
func TestReveals(t *testing.T) {
	var k Secrets
	k.Learn("client-pw")
	k.Hide("a-long-header-value&1", "acme-corp", "9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e")
	k.sent = append(k.sent, "https://app.example.com")
	for _, tt := range []struct {
		text, typed string
		want        bool
	}{
		{"https://as.example/authorize?k=a-long-header-value%261", "https://mcp.example", true},
		{"https://as.example/authorize?k=a-long-header-value%25261", "https://mcp.example", true},
		{"https://as.example/CLIENT-PW", "https://mcp.example", true},
		{"https://as.example/client-p", "https://mcp.example", false},
		{"https://mcp.example/a-long-header-value&1", "https://mcp.example/a-long-header-value%261", false},
		{"https://as.example/client-pw?k=a-long-header-value%261", "https://mcp.example/a-long-header-value%261", true},
		{"https://acme-corp.example", "https://mcp.example", false},
		{"https://app.example.com/authorize", "https://mcp.example", false},
		{"https://login.example/9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e/v2.0", "https://mcp.example", false},
		{"", "https://mcp.example", false},
	} {
		if got := k.Reveals(tt.text, tt.typed); got != tt.want {
			t.Errorf("%q after %q: got %v, want %v", tt.text, tt.typed, got, tt.want)
		}
	}
}

// The time to remember many header values grows linearly with their number.
func TestManyValues(t *testing.T) {
	var values []string
	for i := range 50_000 {
		values = append(values, fmt.Sprintf("the value of header %d", i))
	}
	start := time.Now()
	var k Secrets
	k.Hide(values...)
	forms := Forms(values)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if len(k.values) != len(values) || len(forms) < 2*len(values) {
		t.Errorf("%d values and %d forms", len(k.values), len(forms))
	}
	if k.Hide(values...); len(k.values) != len(values) {
		t.Errorf("%d values, of which some are duplicates", len(k.values))
	}
}

// What a server can choose does not remove our own words from messages, nor change what other servers may say.
func TestServersChooseNoSecrets(t *testing.T) {
	var k Secrets
	for _, text := range []string{"offline_access", "read:all", "expires_at", "authorize", "127.0.0.1:18501", "localhost:8080", "as.example.com", "as.example.com:8443/tenant", "https://as.example.com", "the server was"} {
		body, _ := json.Marshal(map[string]string{"access_token": text})
		k.learnBody(&k.received, "application/json", body)
		k.learnBody(&k.sent, formType, []byte(url.Values{"code": {text}, "client_secret": {text}}.Encode()))
		k.LearnIssued(text)
	}
	req, _ := http.NewRequest(http.MethodPost, "https://as.example.com/authorize?p=b2c_1a_signup_signin&token=b2c_1a_signup_signin", nil)
	req.Header.Set("Referer", "https://as.example.com/.well-known/oauth-authorization-server")
	k.learnRequest(req)
	message := `offline_access read:all {"expires_at":1} 127.0.0.1:18501 localhost:8080 as.example.com:8443/tenant https://as.example.com/.well-known/oauth-authorization-server b2c_1a_signup_signin the server was`
	if got := k.Mask(message); got != message || k.Holds(message) {
		t.Errorf("masked: %s", got)
	}
	k.Learn("canary-member-1")
	if got := string(k.MaskJSON([]byte(`{"canary-member-1" : "canary-member-1"}`))); got != `{"canary-member-1" : "[redacted]"}` {
		t.Errorf("got %s", got)
	}
	if k.MayStore(`{"canary-member-1":1}`) {
		t.Error("the name of a member with a secret may be stored")
	}
}

// A server may use the identifiers that a user's headers contain, but no other value.
func TestIdentifiersInHeaders(t *testing.T) {
	var k Secrets
	for name, value := range map[string]string{"X-Organization-Id": "org_01HXYZABCDEF0123456789", "X-Forwarded-User": "ann.smith@example.com", "X-Client": "9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e", "X-Api-Key": "canary-key-0123456789"} {
		k.HideHeader(name, value)
	}
	for text, want := range map[string]bool{"https://as.example/org_01HXYZABCDEF0123456789": false, "ann.smith@example.com": false, "api://9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e/read": false, "https://as.example/canary-key-0123456789": true} {
		if k.Holds(text) != want || k.MayStore(text) == want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if got := k.Mask("of org_01HXYZABCDEF0123456789"); got != "of [redacted]" {
		t.Errorf("a message shows %q", got)
	}
}

// Two tokens with the same beginning are not the same secret.
func TestHoldsWhole(t *testing.T) {
	hidden := Forms([]string{"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"})
	for text, want := range map[string]bool{"https://x/?state=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJiIn0.b3RoZXI": false, "https://x/?state=eyJhbGciOiJSUzI1NiJ9%2eeyJzdWIiOiJhIn0.c2ln": true} {
		if HoldsWhole(text, hidden) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// The trace does not show a JWT, whatever its member is called.
func TestTraceHidesJWT(t *testing.T) {
	var k Secrets
	shown := k.learnBody(nil, "application/json", []byte(`{"count":1,"value":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"}`))
	if got := fmt.Sprint(shown); strings.Contains(got, "eyJ") {
		t.Errorf("the trace shows %s", got)
	}
}

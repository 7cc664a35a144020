package httpx

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSecrets(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789", "sh0rt", "abc", "", `q8+J7/zQ==pa'ss"word`)
	k.AddValues("a long value of the user", "short value", "https://mcp.example.com", "https://hooks.example.com/canary")
	for _, tt := range []struct {
		name, in, clean string
		held            bool
	}{
		{"whole", "is canary-token-0123456789!", "is [redacted]!", true},
		{"twice", "CANARY-TOKEN-0123456789 canary-token-0123456789", "[redacted] [redacted]", true},
		{"in base64", base64.StdEncoding.EncodeToString([]byte("canary-token-0123456789")), "[redacted]k=", true},
		{"percent-encoded once", "x=%63anary-token-0123456789&y", "x=[redacted]&y", true},
		{"beside an invalid %XX", "%zz100% of %0a%63anary-token-0123456789%", "%zz100% of %0a[redacted]%", true},
		{"with references of Go", "q8&#43;J7/zQ==pa&#39;ss&#34;word &amp;", "[redacted] &amp;", true},
		{"with references of Mustache", "&#10;q8+J7&#x2F;zQ&#x3D;&#x3d;pa&#x27;ss&quot;word &", "&#10;[redacted] &", true},
		{"with references in a form", "q8%26%2343%3BJ7%2FzQ==pa%27ss%26quot%3Bword", "[redacted]", true},
		{"references without a secret", "a &#43;&amp; b%41 &lt;", "a &#43;&amp; b%41 &lt;", false},
		{"shortened", "is canary-token…", "is [redacted]…", false},
		{"without its beginning", "is y-token-0123456789", "is [redacted]", false},
		{"fewer bytes", "is canary-toke", "is canary-toke", false},
		{"a value", "a long value of the user's", "[redacted]'s", true},
		{"a value in a form", "x=a+long+value+of+the+user", "x=[redacted]", true},
		{"a part of a value", "a long value of the server", "a long value of the server", false},
		{"a short value", "short value, abc", "short value, abc", false},
		{"a short credential", "is sh0rt", "is [redacted]", false},
		{"the origin of a server", "https://mcp.example.com/mcp", "https://mcp.example.com/mcp", false},
		{"a URL", "https://hooks.example.com/canary", "https://hooks.example.com/canary", false},
		{"nothing", "", "", false},
	} {
		if got := k.Clean(tt.in); got != tt.clean {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.clean)
		}
		if got := k.Holds(tt.in); got != tt.held {
			t.Errorf("%s: held is %v", tt.name, got)
		}
	}
}

// A server cannot choose a proxy's URL or a folder of PATH as a token that counts as a credential.
func TestIsCredential(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789", "https://proxy.example:8080", "/usr/bin", "short-token")
	for text, want := range map[string]bool{"canary-token-0123456789": true, "canary-token-012345678": false, "https://proxy.example:8080": false, "/usr/bin": false, "short-token": false} {
		if k.IsCredential(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// A text that first came from a header counts if it is later passed to Learn, also if no other credential came between.
func TestHeaderBecomesACredential(t *testing.T) {
	const text = "canary-token-0123456789"
	var k Secrets
	k.AddHeader("Authorization", "Bearer "+text)
	if k.IsCredential(text) {
		t.Error("the header counts")
	}
	if k.Learn(text); !k.IsCredential(text) {
		t.Error("the credential does not count")
	}
}

// The response of an OAuth endpoint contains no secret of the login when it reaches the program. A success keeps what the endpoint issues, and
// what is similar to a secret.
func TestAnswersArriveClean(t *testing.T) {
	const issued = `{"access_token":"canary-issued-1","authed_user":{"access_token":"canary-user-1"},"n":1.50,"deep":{"access_token":"[redacted]"},"[redacted]":["[redacted]",null],"scope":"[redacted] a"}`
	for _, tt := range []struct {
		name, method, kind string
		status             int
		body, want         string
	}{
		{"what is issued", "POST", "application/json", 200, strings.NewReplacer(`"[redacted]":`, `"x [redacted]" :`, `["[redacted]"`, `["canary\u002dsent-secret"`,
			`{"access_token":"[redacted]"`, `{"access_token":"canary-user-1"`, "[redacted] a", "CANARY-ISSUED-1 a").Replace(issued), strings.Replace(issued, `"[redacted]":`, `"x [redacted]" :`, 1)},
		{"metadata issues nothing", "GET", "application/json", 200, `{"access_token":"https://as.example","issuer":"https://as.example"}`, `{"access_token":"https://as.example","issuer":"https://as.example"}`},
		{"names in a success", "POST", "application/json", 200, `{"canary-sent-secret":1,"canary-sent-secret":2,"scope":"a"}`, `{"[redacted]":1,"[redacted]":2,"scope":"a"}`},
		{"a part in a success", "POST", "application/json", 200, `{"x":"canary-sent-secr"}`, `{"x":"canary-sent-secr"}`},
		{"a part in a refusal", "POST", "application/json", 400, `{"error":"invalid_grant","x":"nary-sent-sec"}`, `{"error":"invalid_grant","x":"[redacted]"}`},
		{"a form", "POST", formType, 400, `error=x&error_description=not+canary%2Dsent%2dsecret&b`, `error=x&error_description=not+[redacted]&b`},
		{"a page", "GET", "text/html", 404, `<title>no canary&#45;sent&#x2d;secret</title>`, `<title>no [redacted]</title>`},
		{"torn JSON", "POST", "application/json", 400, `{"x":"canary-sent-secret`, `{"x":"[redacted]`},
		{"UTF-16", "POST", "text/plain", 400, strings.Join(strings.Split("no canary-sent-secret", ""), "\x00") + "\x00", "no [redacted]"},
		{"UTF-16 with a byte order mark", "POST", "application/json", 500, "\xff\xfe" + strings.Join(strings.Split(`{"error":"canary-sent-secret"}`, ""), "\x00") + "\x00", `�{"error":"[redacted]"}`},
		{"UTF-16 in a success", "POST", "text/html", 200, strings.Join(strings.Split("canary-sent-secret", ""), "\x00"), "[redacted]"},
		{"not UTF-8", "POST", "text/plain", 400, "\xff canary-sent-secret", "� [redacted]"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", tt.kind)
			w.Header().Set("Link", "<https://x/canary-sent-secret>")
			w.Header().Set("Www-Authenticate", `Bearer scope="a canary-sent-secret", realm="x", error_description="canary-sent-secret"`)
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		defer s.Close()
		req, _ := http.NewRequest(tt.method, s.URL, strings.NewReader("client_secret=canary-sent-secret"))
		req.Header.Set("Content-Type", formType)
		var k Secrets
		do := DoIssuing
		if tt.method == "GET" {
			do = Do
		}
		res, err := do(k.Client(s.Client()), req)
		if err != nil || string(res.Body) != tt.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", tt.name, err, res.Body, tt.want)
		}
		c := ParseChallenges(res.Header)[0].Params
		if res.Header.Get("Link") != "<https://x/[redacted]>" || len(c) != 2 || c["error_description"] != "[redacted]" {
			t.Errorf("%s: headers %v, challenge %v", tt.name, res.Header, c)
		}
		req.Body, _ = req.GetBody()
		if res, err := Do(s.Client(), req); err != nil || strings.Contains(string(res.Body), "canary-sent-secret") {
			t.Errorf("%s, without a login: %s, %v", tt.name, res.Body, err)
		}
	}
}

// A redirect of a request without a body is followed only after the secrets have been removed from its target, which is then refused.
func TestRedirectsArriveClean(t *testing.T) {
	paths := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths++
		w.Header().Set("Location", "/x?k="+r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusFound)
	}))
	defer s.Close()
	c, _ := New(Options{})
	req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
	req.Header.Set("X-Key", "a-long-value-of-the-user")
	_, err := Do(c, req)
	if _, ok := errors.AsType[*AddressError](err); !ok || paths != 1 || strings.Contains(err.Error(), "a-long-value") {
		t.Errorf("%d requests, %v", paths, err)
	}
}

// A redirect contains a secret only after its dot segments are resolved.
func TestRedirectsWithDots(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/q/1/x/..//0gREF-0123456789")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	for name, do := range map[string]func(*http.Client, *http.Request) (*Response, error){"OAuth": Do, "MCP": func(c *http.Client, req *http.Request) (*Response, error) {
		res, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		return &Response{Header: res.Header}, res.Body.Close()
	}} {
		var k Secrets
		k.Learn("1//0gREF-0123456789")
		req, _ := http.NewRequest(http.MethodPost, s.URL, strings.NewReader("a=b"))
		res, err := do(k.Client(NoRedirects(nil)), req)
		if err != nil || res.Header.Get("Location") != s.URL+"/q/[redacted]" {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

// An MCP leg changes nothing in a success, and the headers of other responses.
func TestMCPLegs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", r.Header.Get("Authorization"))
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer s.Close()
	var k Secrets
	for path, want := range map[string]string{"/": "Bearer canary-token", "/no": "Bearer [redacted]"} {
		req, _ := http.NewRequest(http.MethodGet, s.URL+path, nil)
		req.Header.Set("Authorization", "Bearer canary-token")
		res, err := k.Client(s.Client()).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := res.Header.Get("Mcp-Session-Id"); got != want || string(data) != "Bearer canary-token" {
			t.Errorf("%s: header %q, body %q", path, got, data)
		}
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
		{"Cookie", "theme=dark; session=canary=1", []string{"session=canary=1", "canary=1", "theme=dark; session=canary=1", "dark", "canary=1"}},
		{"Cookie", `a="canary-1"`, []string{`a="canary-1"`, `a="canary-1"`, "canary-1"}},
		{"Authorization", `Token token="canary-1", v=1`, []string{`token="canary-1", v=1`, "canary-1"}},
		{"X-Api-Key", "key=canary-1", []string{"key=canary-1", "canary-1", "key=canary-1"}},
		{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:ann")), []string{base64.StdEncoding.EncodeToString([]byte("ann:ann"))}},
		{"Authorization", "Basic YTpmb3VyPj4+Pw", []string{"YTpmb3VyPj4+Pw", "four>>>?", "four>>>?"}},
		{"Authorization", "Basic YTpmb3VyPj4-Pw", []string{"YTpmb3VyPj4-Pw", "four>>>?", "four>>>?"}},
		{"user-agent", "Mozilla/5.0", nil},
		{"Location", "canary", []string{"canary", "canary"}},
		{"Mcp-Param-Region", "eu-central-1", nil},
	} {
		if got := HeaderSecrets(tt.name, tt.value); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s: got %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}

// Many services take an API key as the user name of Basic, and some clients send two blanks after the scheme.
func TestKeyAsUserName(t *testing.T) {
	for pair, want := range map[string]string{
		"sk_live_51Canary0123:":                     "[redacted]",
		"key-abcdefabcdef1:":                        "[redacted]",
		"sk_live_51Canary0123:x-oauth-basic":        "[redacted]",
		"sk_live_51Canary0123:sk_live_51Canary0123": "[redacted]",
		"ann@tenant4.example:pass-word-1":           "ann@tenant4.example",
		"deploy-user:":                              "deploy-user",
		"deploy-user:pass-word-1":                   "deploy-user",
	} {
		user, password, _ := strings.Cut(pair, ":")
		for _, gap := range []string{" ", "  "} {
			var s Secrets
			s.AddHeader("Authorization", "Basic"+gap+base64.StdEncoding.EncodeToString([]byte(pair)))
			if got := s.Clean("unknown: " + user); got != "unknown: "+want {
				t.Errorf("%q: %s", pair, got)
			}
			if password == "pass-word-1" && s.Clean(password) != "[redacted]" {
				t.Errorf("%q%q: the password is shown", gap, pair)
			}
		}
	}
}

// A text that contains a short value of the user is not stored, but the value is not masked in messages, where it may be an ordinary word.
func TestMayStore(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789")
	k.AddValues("acme<13bytes>", "seven77")
	for text, want := range map[string]bool{
		"acme<13bytes>": false, `{"a":"acme\u003c13bytes\u003e"}`: false, "ACME%3C13bytes%3E": false, "canary-token-0123456789": false,
		"seven77": true, "acme": true, "canary-token": true, `{"a":"b"}`: true, `{"canary-token-0123456789":1}`: false,
	} {
		if got := k.MayStore(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := k.Clean("acme<13bytes>"); got != "acme<13bytes>" || k.Holds(got) {
		t.Errorf("got %q", got)
	}
}

func TestSecretsInJSON(t *testing.T) {
	var k Secrets
	k.AddValues(`canary"token"<0123456789>`)
	in := `{ "a\"b": "x canary\"token\"\u003c0123456789\u003e", "n": 1.0, "list":["", "\\", "canary"] }`
	got := string(k.MaskJSON([]byte(in)))
	if want := `{ "a\"b": "x [redacted]", "n": 1.0, "list":["", "\\", "canary"] }`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if name := `{"canary\"token\"<0123456789>"            : 1}`; string(k.MaskJSON([]byte(name))) != name {
		t.Errorf("a name became %s", k.MaskJSON([]byte(name)))
	}
	const wide = "\x00c\x00a\x00n\x00a\x00r\x00y\x00\"\x00t\x00o\x00k\x00e\x00n\x00\"\x00<\x000\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00>"
	if got := string(k.CleanRefusal([]byte(wide))); got != "[redacted]" {
		t.Errorf("UTF-16 became %q", got)
	}
	k.Learn("canary-token-0123456789")
	if got := string(k.CleanJSON([]byte(`{"a":["b","x canary-token-0123456789 yyy`))); got != `{"a":["b","x [redacted] yyy` {
		t.Errorf("a torn text became %s", got)
	}
	for _, torn := range []string{`"`, `"\`, `{"a":"b`, ``, `]}`} {
		if got := string(k.MaskJSON([]byte(torn))); got != torn {
			t.Errorf("%s became %s", torn, got)
		}
	}
}

// A server that sends many secrets displaces none of the login, and the memory is bounded.
func TestSecretsAreBounded(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789")
	k.learn(sent, "canary-sent-0123456789")
	for i := range 1000 {
		k.learn(received, fmt.Sprint("made-up-", i))
	}
	k.learnRequest(&http.Request{}, false)
	if got := k.Clean("canary-token-0123456789 canary-sent-0123456789"); len(k.credentials) != maxLearned+2 || got != "[redacted] [redacted]" {
		t.Errorf("%d credentials, %q", len(k.credentials), got)
	}
	for i := range 1000 {
		k.Learn(fmt.Sprint("made-up-", i))
	}
	if len(k.credentials) != maxCredentials+1 {
		t.Errorf("%d credentials", len(k.credentials))
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
	c, _ := New(Options{Trace: &out})
	c = k.Client(c)
	req, _ := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String(), nil)
	res, err := DoIssuing(c, req)
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

// A server may use the secrets that the user typed for the login, in the server's URL for example, whenever they were typed.
func TestTypedTexts(t *testing.T) {
	var k Secrets
	k.Learn("canary-in-the-url")
	k.AddValues("a-long-header-value&1")
	k.AddTyped("https://mcp.example/canary-in-the-url", "https://mcp.example/a-long-header-value%26", "")
	k.AddTyped("https://mcp.example/?k=a-long-header-value%261")
	k.AddValues("a-long-header-value&1", "another-long-value-1")
	if text := "https://as.example/canary-in-the-url/a-long-header-value%261"; k.Clean(text) != text {
		t.Errorf("got %q", k.Clean(text))
	}
	if !k.Holds("another-long-value-1") {
		t.Error("a value that was not typed counts as typed")
	}
}

// The time to remember many typed texts grows linearly with their number.
func TestManyTypedTexts(t *testing.T) {
	texts := make([]string, 200_000)
	for i := range texts {
		texts[i] = fmt.Sprintf("s%d", i)
	}
	began := time.Now()
	var k Secrets
	k.AddTyped(texts...)
	if took := time.Since(began); took > 20*time.Second { // with a comparison of each pair, it takes more than a minute
		t.Errorf("took %v", took)
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
	k.AddValues(values...)
	k.AddValues(values...)
	if took := time.Since(start); took > 20*time.Second || len(k.values) != len(values) {
		t.Errorf("took %v for %d values", took, len(k.values))
	}
}

// A response teaches secrets only if it is a success of an endpoint that issues them. Its body decides which secrets it contains, whatever
// its Content-Type says.
func TestWhichAnswersTeach(t *testing.T) {
	const object, form = `{"access_token":"canary-token-1","client_id":"canary-client-1","client_secret":"canary-client-1"}`, "access_token=canary-token-1&scope="
	for _, tt := range []struct {
		name   string
		do     func(*http.Client, *http.Request) (*Response, error)
		status int
		kind   string
		body   string
		taught bool
	}{
		{"an endpoint that issues", DoIssuing, 200, "application/json", object, true},
		{"JSON that is called a form", DoIssuing, 201, formType, object, true},
		{"JSON that is called a page", DoIssuing, 200, "text/html", "\ufeff" + object, true},
		{"a form", DoIssuing, 200, formType, form, true},
		{"a form that is called JSON", DoIssuing, 200, "application/json", form, true},
		{"a refusal", DoIssuing, 400, "application/json", object, false},
		{"a redirect", DoIssuing, 300, "application/json", object, false},
		{"metadata", Do, 200, "application/json", object, false},
		{"a probe", DoHeader, 401, "application/json", object, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		defer s.Close()
		for _, trace := range []io.Writer{nil, io.Discard} {
			var k Secrets
			c, _ := New(Options{Trace: trace})
			req, _ := http.NewRequest(http.MethodPost, s.URL, nil)
			if _, err := tt.do(k.Client(c), req); err != nil || k.Holds("canary-token-1") != tt.taught || k.Holds("canary-client-1") {
				t.Errorf("%s: %v, learned %v; the client ID: %v", tt.name, err, k.Holds("canary-token-1"), k.Holds("canary-client-1"))
			}
		}
	}
}

// An error body of more than MaxBody bytes is cut, and contains no secret either.
func TestLongErrorsArriveClean(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "canary-token-0123456789 "+strings.Repeat("A", MaxBody))
	}))
	defer s.Close()
	var k Secrets
	k.Learn("canary-token-0123456789")
	req, _ := http.NewRequest(http.MethodPost, s.URL, nil)
	if res, err := DoHeader(k.Client(nil), req); err != nil || !strings.HasPrefix(string(res.Body), "[redacted] AAA") || len(res.Body) > MaxBody {
		t.Errorf("%v, %d bytes: %.40s", err, len(res.Body), res.Body)
	}
	if res, err := Do(k.Client(nil), req); !errors.Is(err, ErrTooLarge) || strings.Contains(string(res.Body), "canary") {
		t.Errorf("got %v", err)
	}
}

// Only a complete value of the user counts. If a text was cut within the value, the beginning of the value counts too.
func TestCutTexts(t *testing.T) {
	const value = "sk-live+0123456789abcdefghij/KLMNOPQR=="
	var k Secrets
	k.AddHeader("X-Api-Key", value)
	k.AddValues("https://mcp.example.com/mcp?key=1")
	hex := fmt.Sprintf("%x", value)
	percent := strings.ToUpper(regexp.MustCompile("..").ReplaceAllString(hex, "%$0"))
	for _, tt := range []struct{ name, in, want string }{
		{"a beginning", "is " + value[:30] + "…", "is [redacted]…"},
		{"two beginnings", value[:20] + "…, " + value[:30] + `…"`, `[redacted]…, [redacted]…"`},
		{"base64", Text(base64.StdEncoding.EncodeToString([]byte(value)), 30), "[redacted]…"},
		{"hexadecimal", hex[:30] + "…", "[redacted]…"},
		{"percent-encoding", percent[:60] + "…", "[redacted]…"},
		{"a part of an escape", percent[:62] + "… x", "[redacted]%6… x"},
		{"HTML", "&#115;&#107;-live+012345&#00…", "[redacted]&#00…"},
		{"11 bytes", value[:11] + "…", value[:11] + "…"},
		{"a beginning that continues", value[:20] + "other text…", value[:20] + "other text…"},
		{"a URL in a variable", "https://mcp.example.com/…", "https://mcp.example.com/…"},
	} {
		if got := k.Clean(tt.in); got != tt.want {
			t.Errorf("%s: Clean: got %q, want %q", tt.name, got, tt.want)
		}
		if got := k.MaskValues(tt.in); got != tt.want {
			t.Errorf("%s: MaskValues: got %q, want %q", tt.name, got, tt.want)
		}
	}
	var token Secrets
	token.Learn(value)
	html := regexp.MustCompile(".").ReplaceAllStringFunc(value, func(s string) string { return fmt.Sprintf("&#%d;", s[0]) })
	for _, in := range []string{percent[:60] + "…", percent[:60], html[:150] + "…", strings.ReplaceAll(percent, "%", `\u00`)[:120] + "…"} {
		if got := token.Clean(in); !strings.HasPrefix(got, "[redacted]") {
			t.Errorf("a token as %q: %q", in, got)
		}
	}
	end := "is " + value[:30] // the body of an error is cut without a mark
	if got := k.Clean(end); got != "is [redacted]" {
		t.Errorf("Clean at the end: %q", got)
	}
	if got := k.MaskValues(end); got != end {
		t.Errorf("MaskValues at the end: %q", got)
	}
	if got := string(k.CleanRefusal([]byte(`{"message":"` + end))); got != `{"message":"is [redacted]` {
		t.Errorf("CleanRefusal: %s", got)
	}
	if k.Holds(end) || !k.MayStore(end) {
		t.Error("a beginning counts as the complete value")
	}
}

// A server may escape any character in a quoted string of a challenge (RFC 9110 §5.6.4).
func TestEscapedChallenges(t *testing.T) {
	var k Secrets
	k.Learn("canary-token-0123456789")
	k.AddHeader("X-Api-Key", "canary-value-0123456789")
	escape := func(s string) string { return regexp.MustCompile(".").ReplaceAllString(s, `\$0`) }
	for _, tt := range []struct{ in, want string }{
		{`error_description="` + escape("canary-token-0123456789") + `"`, "[redacted]"},
		{`error_description="a \"part\" is ` + escape("nary-token-012") + `"`, `a "part" is [redacted]`},
		{`error_description="` + escape("%63anary-token-0123456789") + `"`, "[redacted]"},
		{`error_description=canary-token-012`, "[redacted]"},
		{`error_description="no\b\a\d words"`, "nobad words"},
		{`scope="` + escape("canary-value-0123456789") + `"`, ""},
		{`scope="` + escape("canary-token-0123") + `"`, "canary-token-0123"},
	} {
		name, _, _ := strings.Cut(tt.in, "=")
		h := k.CleanHeader(http.Header{"Www-Authenticate": {`Basic realm="a \"b\"", Bearer ` + tt.in + `, error="x"`}})
		c := ParseChallenges(h)
		if len(c) != 2 || c[1].Params[name] != tt.want || c[1].Error() != "x" {
			t.Errorf("%s became %s", tt.in, h)
		}
		if line := k.Clean(tt.in); strings.Contains(strings.ReplaceAll(line, `\`, ""), "canary-token-0123456789") {
			t.Errorf("a message quotes %s", line)
		}
	}
}

// A server cannot fill the memory with large secrets, and blanks at the end of a header do not count, because net/http does not send them.
func TestLargeSecrets(t *testing.T) {
	var k Secrets
	req := httptest.NewRequest("POST", "/token", nil)
	res := &http.Response{StatusCode: 200}
	for i := range 20 {
		large := strings.Repeat(fmt.Sprintf("%04d", i), 50_000)
		k.learnAnswer(req.WithContext(context.WithValue(t.Context(), bodyKey{}, readIssued)), res, []byte(`{"access_token":"t","id_token":"`+large+`"}`))
		k.learnRequest(req, false)
	}
	size := 0
	for _, c := range k.credentials {
		size += len(c.text)
	}
	if size > maxBytes || size < MaxSecret {
		t.Errorf("%d bytes of credentials", size)
	}
	k.AddHeader("X-Api-Key", "sk-live-0123456789abcdef \t")
	if got := k.Clean(base64.RawStdEncoding.EncodeToString([]byte("sk-live-0123456789abcdef"))); got != "[redacted]" {
		t.Errorf("a header in base64: %q", got)
	}
}

// Masking changes nothing that an honest server needs, whatever another server or a user's header contains.
func TestMaskingKeepsOurWords(t *testing.T) {
	var k Secrets
	k.Learn("connection+reset+by+peer", "unexpected EOF", "127.0.0.1:443~z", "application/json", "malformed+HTTP", "code_challenge_methods_supported")
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, fmt.Errorf("x: %w", io.ErrUnexpectedEOF), context.DeadlineExceeded, slowError(1), syscall.ECONNRESET,
		&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: errors.New("127.0.0.1:443~z")}},
		errors.New("malformed HTTP response \"x\"")} {
		if got := k.CleanError(err); got.Error() != err.Error() {
			t.Errorf("%v became %v", err, got)
		}
	}
	for _, err := range []error{errors.New(`malformed HTTP response "127.0.0.1:443~z"`), &net.OpError{Op: "proxyconnect", Err: errors.New("certificate for 127.0.0.1:443~z")}} {
		if got := k.CleanError(err); strings.Contains(got.Error(), "443~z") || !errors.Is(got, err) {
			t.Errorf("got %v", got)
		}
	}
	h := k.CleanHeader(http.Header{"Content-Type": {"application/json"}, "Link": {"</application/json>"}, "Www-Authenticate": {`Bearer realm="application/json"`}})
	if h.Get("Content-Type") != "application/json" || h.Get("Link") != "</[redacted]>" || h.Get("Www-Authenticate") != `Bearer realm="[redacted]"` {
		t.Errorf("got %v", h)
	}
	const metadata = `{"code_challenge_methods_supported":["S256"]}`
	if got := k.finder(inResponse).cleanBody([]byte(metadata), false); string(got) != metadata {
		t.Errorf("got %s", got)
	}
}

// A server chooses its tokens. MaskIssued masks no word, URL or host name that a form of a token contains.
func TestIssuedWordsAreNotMasked(t *testing.T) {
	const line = "warning: use --assume-pkce-s256: this page https://evil2.example is elsewhere (mcp.example2.com:8443); finish it: mcpauth login https://a1.example/mcp --name n1"
	var s Secrets
	s.Learn("%77arning", "%6dcpauth", "http%73://evil2.example", "https://evil2.example", "mcp.example2.com:8443", "mcp.example2.com%3A8443", "a1.example/mcp", "warning0123456789", base64.StdEncoding.EncodeToString([]byte("finish it: mcpauth login")),
		"assume-pkce-s256")
	if got := s.MaskIssued(line); got != line {
		t.Errorf("the line became %q", got)
	}
	if got := s.MaskIssued("is warning0123456789"); got != "is [redacted]" {
		t.Errorf("got %q", got)
	}
}

// What a server issues never changes what the program itself writes, and not the texts of another login.
func TestServersChooseNoSecrets(t *testing.T) {
	const line = `warning: the authorization server was "https://as.example.com/x", and is now "https://as2.example.com" (127.0.0.1:18501)`
	words := []string{"127.0.0.1:18501~zzzz", `the authorization server was "`, "https://as.example.com/x", "warning: the", "the+authorization+server+was"}
	var answer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	}))
	defer s.Close()
	var hostile, other, own Secrets
	own.AddValues("a long value of the user")
	for _, word := range words {
		data, _ := json.Marshal(map[string]string{"access_token": word, "client_secret": word})
		answer = string(data)
		req, _ := http.NewRequest(http.MethodPost, s.URL, nil)
		if _, err := DoIssuing(hostile.Client(nil), req); err != nil {
			t.Fatal(err)
		}
	}
	if hostile.Clean(line) == line {
		t.Error("the server's own texts show its tokens")
	}
	if other.Clean(line) != line || own.MaskValues(line) != line {
		t.Errorf("another login shows %q, and we write %q", other.Clean(line), own.MaskValues(line))
	}
}

// An error of a connection that failed before the server could answer keeps the address, whatever tokens the server has issued.
func TestDialErrorsAreOurs(t *testing.T) {
	var k Secrets
	k.Learn("127.0.0.1:1~zzzz", "dial tcp 127.0.0.1:1")
	req, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:1/", nil)
	if _, err := Do(k.Client(nil), req); err == nil || !strings.Contains(err.Error(), "dial tcp 127.0.0.1:1:") {
		t.Errorf("got %v", err)
	}
}

// A server may use the identifiers that a user's headers contain, but no other value. A UUID in an Authorization header is a credential.
func TestIdentifiersInHeaders(t *testing.T) {
	const id = "9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e"
	var k Secrets
	k.AddValues("org_01HXYZABCDEF0123456789") // the value of a variable
	for name, value := range map[string]string{"X-Organization-Id": "org_01HXYZABCDEF0123456789", "X-Forwarded-User": "ann.smith@example.com", "X-Client": id, "X-Api-Key": "canary-key-0123456789"} {
		k.AddHeader(name, value)
	}
	for text, want := range map[string]bool{"https://as.example/org_01HXYZABCDEF0123456789": false, "ann.smith@example.com": false, "api://" + id + "/read": false, "https://as.example/canary-key-0123456789": true} {
		if k.Holds(text) != want || k.MayStore(text) == want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if got := k.MaskValues("of org_01HXYZABCDEF0123456789 and " + id); got != "of org_01HXYZABCDEF0123456789 and "+id {
		t.Errorf("a message shows %q", got)
	}
	if k.AddHeader("authorization", "Bearer "+id); !k.Holds("https://as.example/"+id) || k.MayStore(id) {
		t.Error("a UUID that is a bearer token counts as an identifier")
	}
}

// The name and the form of a header decide whether a server may use its value.
func TestWhichHeadersAreSecrets(t *testing.T) {
	const id = "9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e"
	for _, tt := range []struct {
		name, value  string
		secret, kept bool // kept: may be stored
	}{
		{"X-Api-Key", id, true, false}, {"X-Apikey", "hunter2hunter", true, false}, {"XAccessTokens", "hunter2h", true, false}, {"X-Pass", "hunter2h", true, false}, {"X-Api-Key", "hunter2", false, true},
		{"X-Account-Token", "sk-live-0123456789", true, false}, {"User_Api_Key", "https://mcp.example/x", true, false}, {"Cookie", "dark-mode", false, false},
		{"X-Orgid", "acme-corporation-of-x", false, true}, {"X-Request-Id", "acme-corporation-of-x", false, true}, {"X-Video", "acme-corporation-of-1", true, false},
		{"X-Custom", "acme-corp-1", false, false}, {"X-Custom", "acme-corporation-of-1", true, false}, {"X-MCP-Tools", "get_file_contents", false, true}, {"X-Custom", id, false, true},
		{"X-Okta-Domain", "dev-12345678.okta.com", false, true}, {"X-Target", "https://mcp.example/a/b", false, true}, {"X-Target", "https://mcp.example/?k=canary-1", true, false},
		{"X-Environment", "production-blue-2026", false, true}, {"X-Env-Name", "production-blue-2026", false, true}, {"X-Cluster", "cluster-eu-west-1-blue", false, true},
		{"X-Stage-Id", "acme-workspace-42-main", false, true}, {"X-Client-Version", "release-2026.11.28-rc1", false, true}, {"X-Client", "acme-corporation-of-1", true, false},
		{"X-Auth-User", "deploy-bot-1", false, true}, {"X-Auth-Request-Email", "alice.longname@example.com", false, true}, {"X-User-Auth", "deploy-bot-1", true, false}, {"X-Token-Type", "acme-corporation-of-1", false, true},
		{"X-Stage-Token", "production-blue-2026", true, false}, {"X-Database-Url", "postgres://u:hunter2@db.example/x", true, false}, {"X-Environment-Pin", "production-blue-2026", true, false},
		{"From", "alice.longname@example.com", false, true}, {"X-Response-Format", "application/json", false, true}, {"X-Custom", "eyJhbGciOi.eyJzdWIi.c2lnbmF0", true, false},
	} {
		var k Secrets
		k.AddHeader(tt.name, tt.value)
		if text := "x " + tt.value; k.Holds(text) != tt.secret || k.MayStore(text) != tt.kept {
			t.Errorf("%s: %s: secret %v, kept %v", tt.name, tt.value, k.Holds(text), k.MayStore(text))
		}
	}
}

// A message shows a text of the user's command, unless it is a credential or the value of a header that is secret by its name. It is not stored.
func TestShownTexts(t *testing.T) {
	var k Secrets
	k.AddValues("variable-blue-2026", "https://h.example/acme-0123456789")
	k.AddHeader("X-Custom", "production-blue-2026")
	k.AddHeader("X-Api-Key", "canary-key-0123456789")
	k.Learn("canary-token-0123456789")
	const text = "no VARIABLE-blue-2026, production-blue-2026, https://h.example/acme-0123456789, canary-key-0123456789 or canary-token-0123456789"
	if got := k.Clean(text); got != "no [redacted], [redacted], https://h.example/acme-0123456789, [redacted] or [redacted]" {
		t.Error(got)
	}
	k.AddShown("how=production-blue-2026", "key=canary-key-0123456789", "canary-token-0123456789", "variable-BLUE-2026", "https://h.example/acme-0123456789/x")
	want := "no VARIABLE-blue-2026, production-blue-2026, https://h.example/acme-0123456789, [redacted] or [redacted]"
	if got := k.Clean(text); got != want {
		t.Error(got)
	}
	if got := k.MaskValues(text); got != want {
		t.Error(got)
	}
	if got := k.MaskIssued(text); got != want {
		t.Error(got)
	}
	if !k.Holds("production-blue-2026") || k.MayStore("production-blue-2026") {
		t.Error("a header of the user may be stored")
	}
}

// A short client secret that is an ordinary word counts only in refusals. The state and a client secret that equals the client ID are public.
func TestPublicCredentials(t *testing.T) {
	var k Secrets
	k.Learn("development")
	if k.Holds("https://as/realms/development") || k.Clean("not development") != "not [redacted]" {
		t.Error("a word does not count in refusals, or counts elsewhere")
	}
	req, _ := http.NewRequest(http.MethodPost, "https://as", strings.NewReader("state=canary-state-1&client_id=canary-id-1&client_secret=canary-id-1&code=canary-code-1"))
	req.Header.Set("Content-Type", formType)
	if k.learnRequest(req, true); k.Holds("canary-state-1") || k.Holds("canary-id-1") || !k.Holds("canary-code-1") {
		t.Error("the state or the client ID counts as a secret, or the code does not")
	}
}

// The trace does not show a JWT, whatever its member is called.
func TestTraceHidesJWT(t *testing.T) {
	b := &trace{login: &Secrets{}}
	b.writeBody("< ", "application/json", []byte(`{"count":1,"value":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"}`))
	if got := b.String(); strings.Contains(got, "eyJ") || !strings.Contains(got, `"count":1`) {
		t.Errorf("the trace shows %s", got)
	}
}

// In which texts a secret counts depends on its origin and its form.
func TestWhereASecretCounts(t *testing.T) {
	learn := func(s *Secrets, text string) { s.Learn(text) }
	value := func(s *Secrets, text string) { s.AddValues(text) }
	header := func(name string) func(*Secrets, string) {
		return func(s *Secrets, text string) { s.AddHeader(name, text) }
	}
	for _, tt := range []struct {
		name string
		add  func(*Secrets, string)
		text string
		want string
	}{
		{"a credential", learn, "0123456789abcdef", "message response file own issued"},
		{"a credential with a blank", learn, "0123456789 abcdef", "message response file own"},
		{"a credential without a digit", learn, "authorization-code", "message response file own"},
		{"a short credential", learn, "12345678", "message response file own"},
		{"a credential that is a word", learn, "development", "message own"},
		{"a very short credential", learn, "1234", "message"},
		{"a value", value, "0123456789abcdef", "message response file own issued"},
		{"a short value", value, "12345678", "file"},
		{"a UUID", value, "0b5a1d5e-2c0c-4b8e-9a2b-1f2e3d4c5b6a", "own"},
		{"a secret header", header("X-Api-Key"), "0123456789abcdef", "message response file own issued"},
		{"a short secret header", header("X-Api-Key"), "12345678", "message response file issued"},
		{"a secret header that is a word", header("X-Api-Key"), "production", "message file"},
		{"a header with an identifier", header("X-Tenant"), "0123456789abcdef", ""},
	} {
		var s Secrets
		tt.add(&s, tt.text)
		text := "(" + tt.text + ")"
		var got []string
		for _, where := range []struct {
			name   string
			counts bool
		}{{"message", s.Clean(text) != text}, {"response", s.Holds(text)}, {"file", !s.MayStore(text)}, {"own", s.MaskValues(text) != text}, {"issued", s.MaskIssued(text) != text}} {
			if where.counts {
				got = append(got, where.name)
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: counts in %q, want %q", tt.name, got, tt.want)
		}
	}
	var s Secrets
	s.AddValues("0b5a1d5e-2c0c-4b8e-9a2b-1f2e3d4c5b6a")
	if got := s.MaskValues("0b5a1d5e-2c0c…"); got != "0b5a1d5e-2c0c…" {
		t.Errorf("the beginning of a UUID counts: %s", got)
	}
}

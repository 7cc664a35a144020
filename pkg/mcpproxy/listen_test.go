package mcpproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/attack"
	"mcpauth/internal/mcphttp"
)

func listen(t *testing.T, p *Proxy) *Listener {
	t.Helper()
	l, err := p.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// post sends a message as an HTTP client does, and returns the response and its body.
func post(t *testing.T, address, session, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(data)
}

// Requests without the secret path, and requests of web pages, get 404 without a body and are not forwarded.
func TestListenRefuses(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
	})
	l := listen(t, s.proxy())
	good, _ := url.Parse(l.URL)
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/[0-9a-f]{64}/mcp$`).MatchString(l.URL) {
		t.Fatalf("address %s", l.URL)
	}
	secret := strings.Split(good.Path, "/")[1]
	for _, tt := range attack.Intrusions(l.URL) {
		t.Run(tt.Name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, l.URL, strings.NewReader(modern("1", "ping", "")))
			req.Header.Set("Content-Type", "application/json")
			tt.Change(req)
			res, body := do(t, req)
			if res.StatusCode != http.StatusNotFound || body != "" {
				t.Errorf("answers %d %q", res.StatusCode, body)
			}
			for name := range res.Header {
				if !strings.Contains("Cache-Control X-Content-Type-Options Date Content-Length", name) {
					t.Errorf("tells %s: %s", name, res.Header.Get(name))
				}
			}
		})
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("the server was sent %d messages", n)
	}
	if res, body := post(t, l.URL, "", modern("1", "ping", "")); res.StatusCode != 200 || body != `{"jsonrpc":"2.0","id":1,"result":{}}` {
		t.Errorf("a program that knows the address gets %d %s", res.StatusCode, body)
	}
	if other := listen(t, s.proxy()); strings.Contains(other.URL, secret) {
		t.Error("two listeners have the same secret")
	}
}

// Strangers cannot keep connections open: the listener answers a refused request without its body and closes the connection, and it closes
// the oldest of many connections without a request.
func TestListenStrangers(t *testing.T) {
	l := listen(t, &Proxy{URL: "http://127.0.0.1:1/mcp"})
	good, _ := url.Parse(l.URL)
	connect := func(said string) net.Conn {
		c, err := net.Dial("tcp", good.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		return c
	}
	rest := func(c net.Conn) string { // what the listener sends until it closes the connection
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		data, err := io.ReadAll(c)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error("the connection stays open")
		}
		return string(data)
	}
	for _, header := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked", "Content-Length: 0"} {
		if got := rest(connect("POST /x HTTP/1.1\r\nHost: y\r\n" + header + "\r\n\r\n")); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
			t.Errorf("%s: got %q", header, got)
		}
	}
	known := connect("")
	answers := bufio.NewReader(known)
	ask := func() {
		if _, err := io.WriteString(known, "GET "+good.Path+" HTTP/1.1\r\nHost: "+good.Host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
			t.Fatalf("a program that knows the URL gets %v, %v", res, err)
		}
	}
	ask()
	first := connect("POST / HTTP/1.1\r\n")
	start := time.Now()
	for range 600 {
		connect("POST / HTTP/1.1\r\n")
	}
	if got := rest(first); got != "" || time.Since(start) > 8*time.Second { // after 10 s net/http gives up waiting for the header
		t.Errorf("after %s: %q", time.Since(start), got)
	}
	ask()
}

// Listen refuses addresses other than 127.0.0.1.
func TestListenLoopbackOnly(t *testing.T) {
	p := &Proxy{URL: "http://127.0.0.1:1/mcp"}
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "[::1]:0", "localhost:0", "127.0.0.2:0", "192.168.0.1:0", "127.0.0.1", ""} {
		if l, err := p.Listen(addr); err == nil {
			t.Errorf("listens at %q", addr)
			l.Close()
		}
	}
	l := listen(t, p)
	u, _ := url.Parse(l.URL)
	for _, host := range []string{"[::1]", "127.0.0.2"} {
		if c, err := net.DialTimeout("tcp", host+":"+u.Port(), time.Second); err == nil {
			t.Errorf("can be reached at %s", host)
			c.Close()
		}
	}
}

// Listener answers HTTP requests with these statuses and bodies. ID is replaced by the id of the request.
func TestListenAnswers(t *testing.T) {
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}`
	const result = `{"jsonrpc":"2.0","id":1,"result":{}}`
	for _, tt := range []struct {
		name, request string // what the program sends
		kind, body    string // what the server answers
		status        int
		want          int
		wantKind      string
		wantBody      string
	}{
		{"JSON", modern("1", "ping", ""), jsonType, result, 200, 200, jsonType, result},
		{"a stream with the answer alone", modern("1", "ping", ""), eventType, "data: " + result + "\n\n", 200, 200, jsonType, result},
		{"a stream", modern("1", "ping", ""), eventType, "data: " + progress + "\n\ndata: " + result + "\n\n", 200, 200, eventType, "event: message\ndata: " + progress + "\n\nevent: message\ndata: " + result + "\n\n"},
		{"the status of an error, which says what a server is", modern("1", "x", ""), jsonType, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`, 404, 404, jsonType, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`},
		{"a gateway's error", modern("1", "ping", ""), "text/html", "<p>", 503, 502, jsonType, `503 Service Unavailable`},
		{"no login, which no program shall obtain", modern("1", "ping", ""), jsonType, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}`, 401, 502, jsonType, `401 Unauthorized`},
		{"no JSON-RPC", `{"a":1}`, "", "", 0, 400, jsonType, `-32600`},
		{"no JSON", `{`, "", "", 0, 400, jsonType, `-32600`},
		{"a batch", `[` + modern("1", "ping", "") + `]`, "", "", 0, 400, jsonType, `-32600`},
		{"no session", call("1", "x"), "", "", 0, 400, jsonType, `send initialize first`},
		{"a notification", `{"jsonrpc":"2.0","method":"notifications/x"}`, "", "", 202, 202, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) { say(w, tt.kind, tt.status, tt.body) })
			res, body := post(t, listen(t, s.proxy()).URL, "", tt.request)
			if res.StatusCode != tt.want || res.Header.Get("Content-Type") != tt.wantKind || !strings.Contains(body, tt.wantBody) || tt.want == 200 && body != tt.wantBody {
				t.Errorf("%d %s %q, expected %d %s %q", res.StatusCode, res.Header.Get("Content-Type"), body, tt.want, tt.wantKind, tt.wantBody)
			}
			if tt.status == 0 && len(s.seen()) > 0 {
				t.Error("the server was asked")
			}
			if h := res.Header.Get("Www-Authenticate") + res.Header.Get("Access-Control-Allow-Origin"); h != "" {
				t.Errorf("tells %s", h)
			}
		})
	}
}

// Each program has its own session. Messages for one program never reach another one, even if both use the same request ids.
func TestListenSessions(t *testing.T) {
	f := &forgetful{status: 404}
	begun, release := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
		if param(m, "name") == "slow" {
			close(begun)
			<-release
		}
		if param(m, "name") == "confused" { // answers the request of the other session
			say(w, eventType, 200, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"secret\":\"of another\"}}\n\ndata: "+fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)+"\n\n")
			return
		}
		f.serve(w, r, m)
	})
	l := listen(t, s.proxy())
	var sessions []string
	for range 2 {
		res, body := post(t, l.URL, "", initialize)
		sessions = append(sessions, res.Header.Get("Mcp-Session-Id"))
		if res.StatusCode != 200 || !strings.Contains(body, "protocolVersion") || sessions[len(sessions)-1] == "" || sessions[0] == "s0" {
			t.Fatalf("initialize: %d %s, session %q", res.StatusCode, body, sessions)
		}
		if res, _ := post(t, l.URL, sessions[len(sessions)-1], initialized); res.StatusCode != 202 {
			t.Errorf("initialized: %d", res.StatusCode)
		}
	}
	answered := make(chan string)
	go func() {
		_, body := post(t, l.URL, sessions[0], call("1", "slow"))
		answered <- body
	}()
	<-begun
	if _, body := post(t, l.URL, sessions[1], call("2", "confused")); body != `{"jsonrpc":"2.0","id":2,"result":{}}` {
		t.Errorf("the other program hears %s", body)
	}
	if res, _ := post(t, l.URL, sessions[1], `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`); res.StatusCode != 202 {
		t.Errorf("a cancellation: %d", res.StatusCode)
	}
	close(release)
	if body := <-answered; body != `{"jsonrpc":"2.0","id":1,"result":{"session":"s0"}}` {
		t.Errorf("the first program hears %s", body)
	}
	f.lose("") // the program keeps its session
	if _, body := post(t, l.URL, sessions[0], call("3", "x")); !strings.Contains(body, `"session":"s1"`) {
		t.Errorf("after a lost session: %s", body)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, l.URL, nil)
	req.Header.Set("Mcp-Session-Id", sessions[0])
	if res, _ := do(t, req); res.StatusCode != 200 {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
	if res, body := post(t, l.URL, sessions[0], call("4", "x")); res.StatusCode != 404 || !strings.Contains(body, `"id":4`) {
		t.Errorf("an ended session: %d %s", res.StatusCode, body)
	}
	if n := len(s.seen(http.MethodDelete)); n != 1 {
		t.Errorf("%d sessions were ended at the server", n)
	}
}

// If the server refuses initialize, Listener keeps no session.
func TestListenNoSession(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		say(w, jsonType, 500, `{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"no"}}`)
	})
	l := listen(t, s.proxy())
	res, _ := post(t, l.URL, "", initialize)
	if id := res.Header.Get("Mcp-Session-Id"); id != "" || res.StatusCode != 500 || len(l.sessions) != 0 {
		t.Errorf("%d, session %q, %d sessions", res.StatusCode, id, len(l.sessions))
	}
}

// The number of sessions is limited. At the limit, a new session ends the session that has been unused for the longest time.
func TestListenManySessions(t *testing.T) {
	f := &forgetful{status: 404}
	s := newServer(t, f.serve)
	l := listen(t, s.proxy())
	first := ""
	for i := range maxConversations + 5 {
		res, _ := post(t, l.URL, "", initialize)
		if i == 0 {
			first = res.Header.Get("Mcp-Session-Id")
		}
	}
	if len(l.sessions) != maxConversations {
		t.Errorf("%d sessions", len(l.sessions))
	}
	if res, _ := post(t, l.URL, first, call("1", "x")); res.StatusCode != 404 {
		t.Errorf("the first session: %d", res.StatusCode)
	}
}

// A closed connection cancels a request of 2026-07-28, but not one of an earlier revision.
func TestListenDisconnect(t *testing.T) {
	for _, isModern := range []bool{true, false} {
		begun, ended := make(chan struct{}), make(chan struct{})
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
			if m.Method != "tools/call" {
				greeted(w, m, "s1")
				return
			}
			close(begun)
			<-r.Context().Done()
			close(ended)
		})
		l := listen(t, s.proxy())
		session, request := "", modern("1", "tools/call", `"name":"a"`)
		if !isModern {
			res, _ := post(t, l.URL, "", initialize)
			session, request = res.Header.Get("Mcp-Session-Id"), call("1", "a")
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, strings.NewReader(request))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Mcp-Session-Id", session)
		if session == "" {
			req.Header.Del("Mcp-Session-Id")
		}
		go func() {
			<-begun
			cancel()
		}()
		if _, err := http.DefaultTransport.RoundTrip(req); err == nil {
			t.Error("the request was answered")
		}
		if isModern {
			<-ended
			continue
		}
		select {
		case <-ended:
			t.Error("a lost connection has cancelled the request")
		case <-time.After(50 * time.Millisecond):
		}
		post(t, l.URL, session, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		<-ended
	}
}

// The HTTP client of the SDK, without OAuth, works through Listener with a server of each era.
func TestListenClient(t *testing.T) {
	sdk := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcp.AddTool(sdk, &mcp.Tool{Name: "ask"}, func(ctx context.Context, r *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
		e, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: "who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}})
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(e.Content["name"])}}}, nil, nil
	})
	mcp.AddTool(sdk, &mcp.Tool{Name: "hello"}, func(context.Context, *mcp.CallToolRequest, any) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "hello"}}}, nil, nil
	})
	server := func(*http.Request) *mcp.Server { return sdk }
	for _, tt := range []struct {
		name string
		h    http.Handler
		asks bool
	}{
		{"sessions", mcp.NewStreamableHTTPHandler(server, nil), true},
		{"2026-07-28", mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{Stateless: true}), false},
		{"HTTP+SSE", sseOnly(mcp.NewSSEHandler(server, nil)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer of-the-user" {
					t.Errorf("%s with Authorization %q", r.Method, r.Header.Get("Authorization"))
				}
				tt.h.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			l := listen(t, &Proxy{URL: s.URL + "/mcp", HTTP: s.Client(), Auth: &tokens{token: "of-the-user"}})
			c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
				ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
					return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Lin"}}, nil
				}})
			session, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: l.URL}, nil)
			if err != nil {
				t.Fatal(err)
			}
			wants := map[string]string{"hello": "hello", "ask": "Lin"}
			if !tt.asks {
				delete(wants, "ask")
			}
			for tool, want := range wants {
				r, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
				if err != nil || len(r.Content) != 1 || r.Content[0].(*mcp.TextContent).Text != want {
					t.Errorf("%s: %+v, %v", tool, r, err)
				}
			}
			if err := session.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

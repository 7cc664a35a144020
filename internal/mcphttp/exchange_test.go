package mcphttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/httpx"

	"golang.org/x/oauth2"
)

// seen is one request as the server saw it.
type seen struct {
	method string
	header http.Header
	body   string
}

// server records requests and answers them with f.
type server struct {
	*httptest.Server
	mu sync.Mutex
	in []seen
}

func newServer(t *testing.T, f func(w http.ResponseWriter, r *http.Request, m Message)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.in = append(s.in, seen{r.Method, r.Header.Clone(), string(body)})
		s.mu.Unlock()
		m, _ := Parse(body)
		f(w, r, m)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in
}

func (s *server) link() *Link {
	return &Link{URL: s.URL + "/mcp", HTTP: s.Client(), Pause: func(context.Context, time.Duration) error { return nil }}
}

func say(w http.ResponseWriter, kind string, status int, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	io.WriteString(w, body)
}

const (
	jsonType   = "application/json"
	eventType  = "text/event-stream"
	call       = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}`
	result     = `{"jsonrpc":"2.0", "id":7,  "result":{"n":1.0}}`
	progress   = `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}`
	modernCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
)

func request(t *testing.T, text string) Request {
	t.Helper()
	m, ok := Parse([]byte(text))
	if !ok {
		t.Fatalf("no message: %s", text)
	}
	return Request{Message: m}
}

// Exchange classifies responses, and keeps the JSON-RPC response byte for byte.
func TestExchange(t *testing.T) {
	longError := `{"jsonrpc":"2.0","id":7,"error":{"data":"` + strings.Repeat("x", 100<<10) + `","code":-32602,"message":"no"}}` // a validator may repeat the arguments
	legacy := &Session{Version: "2025-11-25", ID: "s"}
	for _, tt := range []struct {
		name, kind string
		status     int
		body       string
		want       Kind
		answer     string // raw
		before     int    // messages that precede the answer
		err        string // part of the error
	}{
		{"JSON", jsonType, 200, result, Answered, result, 0, ""},
		{"JSON with a charset", jsonType + "; charset=utf-8", 200, result, Answered, result, 0, ""},
		{"an event", eventType, 200, "data: " + result + "\n\n", Answered, result, 0, ""},
		{"events before the answer", eventType, 200, "data: " + progress + "\n\nevent: message\ndata: " + result + "\n\n", Answered, result, 1, ""},
		{"comments, other events, an event without data", eventType, 200, ": hi\n\nevent: ping\ndata: x\n\nid: 1\ndata:\n\ndata: " + result + "\n\n", Answered, result, 0, ""},
		{"events that are no JSON-RPC", eventType, 200, "data: {}\n\ndata: []\n\ndata: hello\n\ndata: 7\n\ndata: {\"jsonrpc\":\"2.0\"}\n\ndata: " + result + "\n\n", Answered, result, 0, ""},
		{"the answer to another request first", eventType, 200, "data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\ndata: " + result + "\n\n", Answered, result, 1, ""},
		{"an id as text", eventType, 200, `data: {"jsonrpc":"2.0","id":"7","result":{}}` + "\n\n", Answered, `{"jsonrpc":"2.0","id":"7","result":{}}`, 0, ""},
		{"a batch of 2025-03-26", eventType, 200, "data: [" + progress + "," + result + "]\n\n", Answered, result, 1, ""},
		{"a batch as JSON", jsonType, 200, "[" + progress + "," + result + "]", Answered, result, 1, ""},
		{"the answer to another request as JSON", jsonType, 200, `{"jsonrpc":"2.0","id":8,"result":{}}`, Answered, "", 1, "not a JSON-RPC response to this request"},
		{"a batch with the answer to another request", jsonType, 200, `[{"jsonrpc":"2.0","id":8,"result":{}},` + result + `]`, Answered, result, 1, ""},
		{"an id as text in JSON", jsonType, 200, `{"jsonrpc":"2.0","id":"7","result":{}}`, Answered, `{"jsonrpc":"2.0","id":"7","result":{}}`, 0, ""},
		{"a stream that ends", eventType, 200, "data: " + progress + "\n\n", Lost, "", 1, "ended without a result"},
		{"a stream cut in an event", eventType, 200, "data: " + result[:10], Lost, "", 0, "ended without a result"},
		{"JSON that is no response", jsonType, 200, `{"a":1}`, Answered, "", 0, "not a JSON-RPC response"},
		{"broken JSON", jsonType, 200, `{"jsonrpc"`, Answered, "", 0, "not a JSON-RPC response"},
		{"another type", "text/html", 200, "<html>", Answered, "", 0, "expected application/json or text/event-stream, got text/html"},
		{"no type", "", 200, "", Answered, "", 0, "got nothing"},
		{"no body", jsonType, 202, "", Answered, "", 0, "not a JSON-RPC response"},
		{"the server's words, JSON", jsonType, 429, `{"error":"rate_limited","error_description":"slow down"}`, Answered, "", 0, `429 Too Many Requests, "rate_limited": "slow down", retry after 7s`},
		{"the server's words, problem document", "application/problem+json", 400, `{"title":"Bad","detail":"no tenant"}`, Answered, "", 0, `400 Bad Request: "Bad: no tenant"`},
		{"the server's words, page", "text/html", 503, `<html><head><title>Down &amp; out</title></head><body>x</body></html>`, Lost, "", 0, `503 Service Unavailable: "Down & out"`},
		{"the server's words, text", "text/plain", 400, "no\nsuch\x1b[2Jtenant", Answered, "", 0, `400 Bad Request: "no such[2Jtenant"`},
		{"an error of the request with 500", jsonType, 500, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"x"}}`, Answered, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"x"}}`, 0, "x (JSON-RPC -32603)"},
		{"a long error with 400", jsonType, 400, longError, Answered, longError, 0, "no (JSON-RPC -32602)"},
		{"an error of no request with 500", jsonType, 500, `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"oh"}}`, Lost, "", 0, `500 Internal Server Error, "-32603": "oh"`},
		{"a redirect to elsewhere", "", 307, "", Answered, "", 0, "it redirects to \"https://other.example/mcp\", which may belong to another server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) {
				w.Header().Set("Retry-After", "7")
				if tt.status == 307 {
					w.Header().Set("Location", "https://other.example/mcp")
				}
				say(w, tt.kind, tt.status, tt.body)
			})
			l, r, before := s.link(), request(t, call), 0
			r.Receive = func(Message) bool { before++; return true }
			o := l.Exchange(t.Context(), legacy, r)
			if o.Kind != tt.want || string(o.Answer.Raw) != tt.answer || before != tt.before || o.Status != tt.status {
				t.Errorf("kind %d, answer %q, %d before it, status %d; %v", o.Kind, o.Answer.Raw, before, o.Status, o.Err)
			}
			err := l.Failure(o)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, expected %q", err, tt.err)
			}
			if n := len(s.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// The outcome is Lost if the connection breaks after the request was written, and Refused if there is no connection.
func TestLost(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) {
		c, _, _ := w.(http.Hijacker).Hijack()
		c.Close()
	})
	o := s.link().Exchange(t.Context(), &Session{}, request(t, call))
	var network *url.Error
	if o.Kind != Lost || !errors.As(o.Err, &network) || strings.Contains(o.Err.Error(), "?") {
		t.Errorf("kind %d, %v", o.Kind, o.Err)
	}
	s.Close()
	if o := s.link().Exchange(t.Context(), &Session{}, request(t, call)); o.Kind != Refused || o.Reason != NotSent {
		t.Errorf("a server that does not listen: kind %d, %v", o.Kind, o.Err)
	}
}

// If the stream of an answer is cut off, Exchange resumes it from the last event, after the server's retry time. It does not in revision
// 2026-07-28.
func TestResumption(t *testing.T) {
	for _, tt := range []struct {
		name, call string
		rest       []string // response to each GET: events, or a status
		want       Kind
		last       string // Last-Event-ID of each GET
	}{
		{"the answer comes", call, []string{"id: 3\ndata: " + result + "\n\n"}, Answered, "2"},
		{"it is cut off again", call, []string{"id: 3\ndata: " + progress + "\n\n", "data: " + result + "\n\n"}, Answered, "2 3"},
		{"nothing comes of it", call, []string{"", "", "", "", "", "", "", "", ""}, Lost, "2 2 2 2 2 2"},
		{"the server keeps nothing", call, []string{"405"}, Lost, "2"},
		{"2026-07-28", modernCall, nil, Lost, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ Message) {
				if r.Method == http.MethodPost {
					say(w, eventType, 200, "id: 1\ndata:\n\nid: 2\nretry: 1500\ndata: "+progress+"\n\n")
					return
				}
				rest := tt.rest[n]
				n++
				if rest == "405" {
					w.WriteHeader(405)
					return
				}
				say(w, eventType, 200, rest)
			})
			l := s.link()
			var pauses []time.Duration
			l.Pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
			o := l.Exchange(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, request(t, tt.call))
			if o.Kind != tt.want {
				t.Errorf("kind %d, %v", o.Kind, o.Err)
			}
			var last []string
			for _, r := range s.requests()[1:] {
				last = append(last, r.header.Get("Last-Event-Id"))
				if r.method != http.MethodGet || r.header.Get("Accept") != eventType || r.header.Get("Mcp-Session-Id") != "s" || r.header.Get("Mcp-Protocol-Version") != "2025-11-25" {
					t.Errorf("%s %v", r.method, r.header)
				}
			}
			if strings.Join(last, " ") != tt.last {
				t.Errorf("resumed after %q, expected %q", last, tt.last)
			}
			if tt.last != "" && pauses[0] != 1500*time.Millisecond {
				t.Errorf("pauses: %v", pauses)
			}
		})
	}
}

// Session.header sets the headers of a POST (2026-07-28, Request Metadata; 2025-11-25, Session Management and Protocol Version Header).
func TestHeaders(t *testing.T) {
	legacy := &Session{Version: "2025-06-18", ID: "abc"}
	withName := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s,"_meta":{%q:"2026-07-28"}}}`, method, params, MetaVersion)
	}
	for _, tt := range []struct {
		name, text string
		session    *Session
		want       string // version, session, method, name
	}{
		{"initialize names neither session nor version", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, legacy, "|||"},
		{"a request of a session", call, legacy, "2025-06-18|abc||"},
		{"a notification of a session", progress, legacy, "2025-06-18|abc||"},
		{"a response of a session", result, legacy, "2025-06-18|abc||"},
		{"2026-07-28 has no session", modernCall, legacy, "2026-07-28||tools/call|t"},
		{"a list has no name", withName("tools/list", `"x":1`), &Session{}, "2026-07-28||tools/list|"},
		{"a prompt", withName("prompts/get", `"name":"p"`), &Session{}, "2026-07-28||prompts/get|p"},
		{"a resource", withName("resources/read", `"uri":"file:///a b"`), &Session{}, "2026-07-28||resources/read|file:///a b"},
		{"a name that a header cannot hold", withName("tools/call", `"name":"wörld"`), &Session{}, "2026-07-28||tools/call|=?base64?d8O2cmxk?="},
		{"a name with blanks around it", withName("tools/call", `"name":" a"`), &Session{}, "2026-07-28||tools/call|=?base64?IGE=?="},
		{"a name that looks encoded", withName("tools/call", `"name":"=?base64?literal?="`), &Session{}, "2026-07-28||tools/call|=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
	} {
		h := tt.session.postHeader(request(t, tt.text))
		got := strings.Join([]string{h.Get("Mcp-Protocol-Version"), h.Get("Mcp-Session-Id"), h.Get("Mcp-Method"), h.Get("Mcp-Name")}, "|")
		if got != tt.want || h.Get("Accept") != "application/json, text/event-stream" || h.Get("Content-Type") != jsonType {
			t.Errorf("%s: %s, %v; expected %s", tt.name, got, h, tt.want)
		}
	}
}

// ParamHeader encodes arguments (2026-07-28, Custom Headers from Tool Parameters, Value Encoding).
func TestParamHeader(t *testing.T) {
	const schema = `{"properties":{"s":{"type":"string","x-mcp-header":"S"},"n":{"type":"integer","x-mcp-header":"N"},"b":{"type":"boolean","x-mcp-header":"B"},
		"o":{"properties":{"deep":{"type":"string","x-mcp-header":"Deep"}}},"plain":{"type":"string"}}}`
	for arguments, want := range map[string]string{
		`{"s":"us-west1","n":42,"b":false,"plain":"x"}`: "Mcp-Param-B: false, Mcp-Param-N: 42, Mcp-Param-S: us-west1",
		`{"s":"Hello, 世界"}`:                             "Mcp-Param-S: =?base64?SGVsbG8sIOS4lueVjA==?=",
		`{"s":"line1\nline2"}`:                          "Mcp-Param-S: =?base64?bGluZTEKbGluZTI=?=",
		`{"s":" padded "}`:                              "Mcp-Param-S: =?base64?IHBhZGRlZCA=?=",
		`{"s":null,"n":null}`:                           "",
		`{}`:                                            "",
		`{"n":-7.0}`:                                    "Mcp-Param-N: -7",
		`{"n":9007199254740992}`:                        "",
		`{"o":{"deep":"x"}}`:                            "Mcp-Param-Deep: x",
	} {
		var got bytes.Buffer
		ParamHeader([]byte(schema), []byte(arguments)).Write(&got)
		if s := strings.ReplaceAll(strings.TrimSpace(got.String()), "\r\n", ", "); s != want {
			t.Errorf("%s: %s, expected %s", arguments, s, want)
		}
	}
}

// If a member occurs twice in the properties or in the arguments, the last one counts. The time grows linearly with the size of the schema: a
// scan of all arguments for each property would take minutes.
func TestParamHeaderOfALargeSchema(t *testing.T) {
	schema := `{"x":"x-mcp-header","properties":{"a":{"type":"string","x-mcp-header":"Old"},` +
		strings.Repeat(`"o":{"properties":{"p":{}}},"p":{},`, 100_000) + `"a":{"type":"string","x-mcp-header":"New"}}}`
	arguments := `{"a":"1","o":{"x":"` + strings.Repeat("x", 200_000) + `"},"a":"2"}`
	began := time.Now()
	h := ParamHeader([]byte(schema), []byte(arguments))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%v", took)
	}
	if h.Get("Mcp-Param-New") != "2" || len(h) != 1 {
		t.Errorf("got %v", h)
	}
}

// Open returns a session with the version and the id of the server, and End sends DELETE.
func TestOpenAndEnd(t *testing.T) {
	for _, tt := range []struct{ name, version, id, err string }{
		{"a session", "2025-06-18", "abc", ""},
		{"no session", "2025-11-25", "", ""},
		{"a version that is not spoken", "2099-01-01", "abc", `protocol version "2099-01-01", which is not supported`},
		{"a version that is a secret", "secret-of-the-login", "abc", `protocol version "[redacted]", which is not supported`},
		{"no version", "", "", `protocol version "", which is not supported`},
		{"an id with a blank", "2025-11-25", "a b", "characters that are not allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m Message) {
				if m.Method == "initialize" {
					w.Header().Set("Mcp-Session-Id", tt.id)
					say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":%q}}`, tt.version))
					return
				}
				w.WriteHeader(202)
			})
			l := s.link()
			l.LoginSecrets().Learn("secret-of-the-login")
			session, o := l.Open(t.Context(), request(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`), NewRequest(nil, "notifications/initialized", nil))
			if tt.err != "" {
				if session != nil || o.Err == nil || !strings.Contains(o.Err.Error(), tt.err) {
					t.Errorf("%+v, %v", session, o.Err)
				}
				return
			}
			if session == nil || session.Version != tt.version || session.ID != tt.id {
				t.Fatalf("%+v, %v", session, o.Err)
			}
			l.End(session)
			l.End(session)
			want := 2
			if tt.id != "" {
				want = 3
			}
			in := s.requests()
			if len(in) != want || want == 3 && (in[2].method != http.MethodDelete || in[2].header.Get("Mcp-Session-Id") != "abc" || in[2].header.Get("Mcp-Protocol-Version") != tt.version) {
				t.Errorf("%+v", in)
			}
		})
	}
}

// Cancel sends notifications/cancelled with the id of the request. It sends nothing for initialize and nothing in 2026-07-28.
func TestCancel(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) { w.WriteHeader(202) })
	l, legacy := s.link(), &Session{Version: "2025-11-25", ID: "s"}
	l.prepare()
	l.Cancel(legacy, request(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`).Message)
	l.Cancel(legacy, request(t, progress).Message)
	l.Cancel(&Session{}, request(t, modernCall).Message)
	l.Cancel(legacy, request(t, call).Message)
	in := s.requests()
	if len(in) != 1 || !strings.Contains(in[0].body, `"method":"notifications/cancelled","params":{"requestId":7,`) || in[0].header.Get("Mcp-Session-Id") != "s" {
		t.Errorf("%+v", in)
	}
}

// A redirect that adds a slash to the URL is followed, and remembered for later messages. Other redirects are errors.
func TestRedirectToSlash(t *testing.T) {
	for _, tt := range []struct {
		to     string
		status int
		want   bool
	}{{"/mcp/", 307, true}, {"/mcp/", 308, true}, {"/mcp/", 301, false}, {"/mcp/", 302, false}, {"/other/", 307, false}, {"/mcp/?x=1", 307, false}, {"http://127.0.0.2/mcp/", 307, false}, {"/%6dcp/", 307, false}, {"/mcp%2F", 307, false}} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ Message) {
			if r.URL.Path == "/mcp" {
				w.Header().Set("Location", tt.to)
				w.WriteHeader(tt.status)
				return
			}
			say(w, jsonType, 200, result)
		})
		l := s.link()
		for range 2 {
			if o := l.Exchange(t.Context(), &Session{}, request(t, call)); (o.Answer.Raw != nil) != tt.want {
				t.Errorf("%d %s: %v", tt.status, tt.to, o.Err)
			}
		}
		if in := s.requests(); tt.want && (len(in) != 3 || in[1].body != call) {
			t.Errorf("%d %s: %d requests", tt.status, tt.to, len(in))
		}
		authorized := s.link()
		authorized.Header = http.Header{"Authorization": {"Bearer t"}}
		if o := authorized.Exchange(t.Context(), &Session{}, request(t, call)); o.Answer.Raw != nil {
			t.Errorf("%d %s: a request with a token was redirected", tt.status, tt.to)
		}
	}
}

// Exchange over HTTP+SSE returns an outcome for each way in which the server can end a call.
func TestEvents(t *testing.T) {
	const greeting = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2024-11-05"}}`
	for _, tt := range []struct {
		name     string
		endpoint string
		status   int    // status of the response to the POST
		onStream string // what the server then sends on the stream; "end" closes the stream
		want     Kind
		reason   Reason
		err      string
	}{
		{"the answer", "/post?session=1", 202, result, Answered, NoReason, ""},
		{"refused by status", "/post", 400, "", Answered, NoReason, "400 Bad Request: \"no\""},
		{"the session is unknown", "/post", 404, "", Refused, UnknownSession, "404 Not Found: \"no\""},
		{"refused by 500", "/post", 500, "", Lost, NoReason, "500"},
		{"the path contains a secret", "/secret-of-the-login", 500, "", Lost, NoReason, "/[redacted]: the server answers 500"},
		{"the stream ends", "/post", 202, "end", Lost, NoReason, "ended without a result"},
		{"an endpoint elsewhere", "https://other.example/post", 202, "", Refused, NotSent, "not on the origin"},
		{"an endpoint elsewhere with a secret", "https://other.example/secret-of-the-login", 202, "", Refused, NotSent,
			`"https://other.example/[redacted]" refused: it is not on the origin`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream := make(chan string, 10)
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, m Message) {
				switch {
				case r.Method == http.MethodGet:
					say(w, eventType, 200, "event: endpoint\ndata: "+tt.endpoint+"\n\n")
					w.(http.Flusher).Flush()
					for {
						select {
						case text := <-stream:
							if text == "end" {
								return
							}
							fmt.Fprintf(w, "event: message\ndata: %s\n\n", text)
							w.(http.Flusher).Flush()
						case <-r.Context().Done():
							return
						}
					}
				case m.Method == "initialize":
					stream <- greeting
					w.WriteHeader(202)
				case m.Method == "tools/call":
					if tt.onStream != "" {
						stream <- progress
						stream <- tt.onStream
					}
					say(w, "text/plain", tt.status, "no")
				default:
					w.WriteHeader(202)
				}
			})
			l := s.link()
			l.LoginSecrets().Learn("secret-of-the-login")
			received := make(chan Message, 10)
			session, o := l.OpenEvents(t.Context(), request(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`), NewRequest(nil, "notifications/initialized", nil),
				func(_ *Session, m Message) bool { received <- m; return true })
			if session != nil {
				defer l.End(session)
				o = l.Exchange(t.Context(), session, request(t, call))
			}
			if o.Kind != tt.want || o.Reason != tt.reason || (o.Err == nil) != (tt.err == "") || o.Err != nil && !strings.Contains(o.Err.Error(), tt.err) {
				t.Errorf("kind %d, reason %d, %v", o.Kind, o.Reason, o.Err)
			}
			var foreign *httpx.AddressError
			if strings.HasPrefix(tt.endpoint, "https") && !errors.As(o.Err, &foreign) {
				t.Errorf("%v", o.Err)
			}
			if tt.onStream == "end" {
				<-session.Over()
				if o := l.Exchange(t.Context(), session, request(t, call)); o.Kind != Refused || o.Reason != UnknownSession {
					t.Errorf("after the end: kind %d, reason %d", o.Kind, o.Reason)
				}
			}
			if tt.onStream == result {
				if m := <-received; m.Method != "notifications/progress" {
					t.Errorf("received %s", m.Raw)
				}
			}
		})
	}
}

// refresher counts the calls of Authorize.
type refresher struct{ asked int }

func (*refresher) TokenSource(context.Context) (oauth2.TokenSource, error) {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"}), nil
}

func (r *refresher) Authorize(context.Context, *http.Request, *http.Response) error {
	r.asked++
	return nil
}

// Exchange does not call Authorize after a 401 response that says that the session is unknown. The Rust SDK sent such responses until 2026.
// Exchange calls Authorize after a 401 response with a challenge.
func TestUnknownSessionIsNoRefusedToken(t *testing.T) {
	for challenge, want := range map[string]int{"": 0, "Bearer": maxAuthorize} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) {
			if challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			say(w, "text/plain", 401, "Unauthorized: Session not found")
		})
		l, auth := s.link(), &refresher{}
		l.Auth = auth
		o := l.Exchange(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, request(t, call))
		if o.Reason != UnknownSession || auth.asked != want {
			t.Errorf("challenge %q: reason %d, asked %d times", challenge, o.Reason, auth.asked)
		}
	}
}

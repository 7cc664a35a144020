package mcpproxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"context"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// Every request gets one answer: the server's answer unchanged if it is JSON-RPC, else an error with the id of the request. The proxy drops
// messages that are not JSON-RPC, and answers to unknown requests.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string // ID is replaced by the id of the request
		status           int
		want             string // part of the message with the id "x"; between slashes: the whole message
	}{
		{"byte for byte", jsonType, `{"id":ID, "jsonrpc":"2.0","result":{"n":1.50e+02,"u":"\u00e9"}}` + "\n", 200, `/{"id":"x", "jsonrpc":"2.0","result":{"n":1.50e+02,"u":"\u00e9"}}/`},
		{"over several lines", jsonType, "{\n\t\"id\": ID,\r\n\"jsonrpc\":\"2.0\",\"result\": {}\n}\n", 200, "/{ \t\"id\": \"x\",  \"jsonrpc\":\"2.0\",\"result\": {} }/"},
		{"events", eventType, "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\n", 200, `/{"jsonrpc":"2.0","id":"x","result":{}}/`},
		{"events that are no messages", eventType, "data: {}\n\ndata: []\n\ndata: 7\n\ndata: {\"jsonrpc\":\"2.0\"}\n\ndata: {\"method\":\"x\"}\n\nevent: ping\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\n", 200, `/{"jsonrpc":"2.0","id":"x","result":{}}/`},
		{"an answer that nobody asked for", eventType, "data: {\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\n", 200, `/{"jsonrpc":"2.0","id":"x","result":{}}/`},
		{"two answers", eventType, "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\n", 200, `/{"jsonrpc":"2.0","id":"x","result":{}}/`},
		{"a message with two ids", eventType, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n\n", 200, `/{"jsonrpc":"2.0","id":"x","result":{}}/`},
		{"an answer with two ids", jsonType, `{"jsonrpc":"2.0","id":7,"id":ID,"result":{"a":1}}`, 200, `/{"jsonrpc":"2.0","id":"x","result":{"a":1}}/`},
		{"an answer with a second id in capitals", jsonType, `{"jsonrpc":"2.0","id":ID,"Id":2,"result":{"a":1}}`, 200, `/{"jsonrpc":"2.0","id":"x","result":{"a":1}}/`},
		{"an answer that is also a request if case is ignored", jsonType, `{"jsonrpc":"2.0","id":ID,"result":{"a":1},"\u004dethod":"ping","param\u017f":{}}`, 200, `/{"jsonrpc":"2.0","id":"x","result":{"a":1}}/`},
		{"without a version", jsonType, `{"id":ID,"result":{"a":1}}`, 200, `/{"jsonrpc":"2.0","id":"x","result":{"a":1}}/`},
		{"a result and an error", jsonType, `{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"no"}}`, 200, `not a JSON-RPC response`},
		{"an error without a code", jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":"rate_limited","message":"no"}}`, 429, `not a JSON-RPC response`},
		{"refusal without an id", jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000, "message":"no"}}`, 400, `/{"jsonrpc":"2.0","id":"x","error":{"code":-32000, "message":"no"}}/`},
		{"refusal", jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"no"}}`, 404, `/{"jsonrpc":"2.0","id":"x","error":{"code":-32601,"message":"no"}}/`},
		{"a gateway's JSON", jsonType, `{"error":"unavailable"}`, 503, `"code":-32000,"message":"URL: the server answers 503 Service Unavailable, \"unavailable\""`},
		{"a gateway's page", "text/html", "<title>Sorry</title>", 502, `502 Bad Gateway: \"Sorry\"`},
		{"nothing", "", "", 204, `expected application/json or text/event-stream`},
		{"accepted", "", "", 202, `expected application/json or text/event-stream`},
		{"page with 200", "text/html", "<p>Sorry", 200, `expected application/json or text/event-stream`},
		{"broken JSON", jsonType, `{"id":`, 200, `not a JSON-RPC response`},
		{"end of the stream", eventType, ": nothing\n\n", 200, `the event stream ended without a result`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
				say(w, tt.kind, tt.status, strings.ReplaceAll(tt.body, "ID", string(m.ID)))
			})
			got := relayed(t, s.proxy(), modern(`"x"`, "ping", ""))
			want, whole := strings.CutPrefix(strings.ReplaceAll(tt.want, "URL", s.URL+"/mcp"), "/")
			want = strings.TrimSuffix(want, "/")
			if answer := got[`"x"`]; len(got) != 1 || !strings.Contains(answer, want) || whole && answer != want {
				t.Errorf("got %q, expected %q", got, want)
			}
		})
	}
}

// A network error is answered with a JSON-RPC error.
func TestUnreachable(t *testing.T) {
	s := newServer(t, nil)
	s.Close()
	got := relayed(t, s.proxy(), modern("1", "ping", ""), `{"jsonrpc":"2.0","method":"notifications/x"}`)
	if !strings.Contains(got["1"], `"code":-32000`) || len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// Input that is no JSON-RPC message is answered with an error. The messages of a batch (2025-03-26) are sent one by one.
func TestProgramsMessages(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		if m.IsRequest() {
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
		} else {
			w.WriteHeader(http.StatusAccepted)
		}
	})
	got := relayed(t, s.proxy(), "no JSON", "", `{"jsonrpc":"2.0","id":5}`, `{"jsonrpc":"2.0","id":6,"id":7,"method":"ping"}`,
		`[`+modern("1", "ping", "")+`,`+modern("2", "ping", "")+`,{"jsonrpc":"2.0","method":"notifications/x"}]`)
	for id, want := range map[string]string{"": "-32700", "5": "-32600", "7": "-32600", "1": `"result":{}`, "2": `"result":{}`} {
		if !strings.Contains(got[id], want) {
			t.Errorf("id %q: %s, expected %s", id, got[id], want)
		}
	}
	if n := len(s.seen("ping")); n != 2 || len(got) != 5 {
		t.Errorf("%d requests came, the program hears %q", n, got)
	}
}

// The proxy forwards messages unchanged except for the ids of the server's requests, even if a message contains the value of a secret header. Masking that value could damage the
// message, because the value may be a word of the protocol.
func TestMessagesPassUnchanged(t *testing.T) {
	const (
		asks    = `{"jsonrpc":"2.0","id":"acme-corp","method":"sampling/createMessage","params":{"messages":[{"content":{"text":"Bearer acme-corp"}}]}}`
		updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"https://acme-corp/resources/token-1"}}`
		failure = `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"acme-corp has no resources, token-1"}}`
	)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		say(w, eventType, 200, "data: "+asks+"\n\ndata: "+updated+"\n\ndata: "+failure+"\n\n")
	})
	p := s.proxy()
	p.Header = http.Header{"X-Workspace": {"acme-corp"}, "X-Kind": {"resources"}}
	p.Secrets, p.Auth = &httpx.Secrets{}, &tokens{token: "token-1"}
	p.Secrets.Learn("acme-corp", "resources")
	got := relayed(t, p, modern("1", "ping", ""))
	if got[`"mcpauth-question-1"`] != strings.Replace(asks, `"acme-corp"`, `"mcpauth-question-1"`, 1) || got[""] != updated || got["1"] != failure {
		t.Errorf("got %q", got)
	}
	s.Close() // the proxy's own errors mask secrets
	if got := relayed(t, p, modern("2", "ping", "")); strings.Contains(got["2"], "acme-corp") {
		t.Errorf("got %q", got)
	}
}

// tokens is an OAuth handler with one token, whose logins fail.
type tokens struct{ token string }

func (a *tokens) TokenSource(context.Context) (oauth2.TokenSource, error) {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: a.token}), nil
}

func (a *tokens) Authorize(_ context.Context, _ *http.Request, res *http.Response) error {
	res.Body.Close()
	return errors.New("no login")
}

// The cost of a message does not grow with the number of tokens used before.
func TestCostDoesNotGrow(t *testing.T) {
	auth := &tokens{}
	p := &Proxy{URL: "http://127.0.0.1/mcp", Auth: auth, HTTP: &http.Client{Transport: answering{}}}
	c := p.converse(t.Context(), func(mcphttp.Message) bool { return true })
	m, _ := mcphttp.Parse([]byte(modern("1", "ping", "")))
	n := 0
	exchange := func() {
		n++
		auth.token = fmt.Sprintf("token-%08d", n)
		r := &pendingRequest{Message: m, answer: func(mcphttp.Message, int) {}}
		c.runRequest(c.addRequest(t.Context(), r), r)
	}
	young := testing.AllocsPerRun(100, exchange)
	for range 3000 {
		exchange()
	}
	if old := testing.AllocsPerRun(100, exchange); old > young+20 {
		t.Errorf("%v allocations at first, %v after 3000 tokens", young, old)
	}
	if len(c.requests) > 0 {
		t.Errorf("%d requests are left", len(c.requests))
	}
}

// answering is an http.RoundTripper that refuses every request with an error text.
type answering struct{}

func (answering) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no")), Request: req}, nil
}

// The error codes of 2026-07-28 prove nothing in a session, also if the server names no version for it.
func TestSessionWithoutVersion(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		switch {
		case m.Method == "initialize":
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"","capabilities":{}}}`, m.ID))
		case !greeted(w, m, ""):
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"header mismatch"}}`, m.ID))
		}
	})
	k := talk(t, s.proxy())
	k.greets()
	k.say(call("1", "pay"))
	k.hears("header mismatch")
	if got := methods(s.seen("tools/call", "tools/list")); got != "tools/call" {
		t.Errorf("requests: %s", got)
	}
}

// If the program knows a tool from an earlier run, the first call lacks its Mcp-Param headers, and the proxy sends it again with them.
func TestHeaderMismatch(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
		switch {
		case m.Method == "tools/list" && param(m, "cursor") == "":
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[],"nextCursor":"2"}}`, m.ID))
		case m.Method == "tools/list":
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"region","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}`, m.ID))
		case r.Header.Get("Mcp-Param-Region") != "=?base64?c8O8ZA==?=":
			say(w, jsonType, 400, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"header mismatch"}}`, m.ID))
		default:
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"ok":true}}`, m.ID))
		}
	})
	k := talk(t, s.proxy())
	for id := range 2 {
		k.say(modern(fmt.Sprint(id), "tools/call", `"name":"region","arguments":{"region":"süd"}`))
		k.hears(`"ok":true`)
	}
	if got := methods(s.seen()); got != "tools/call tools/list tools/list tools/call tools/call" {
		t.Errorf("requests: %s", got)
	}
}

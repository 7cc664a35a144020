package mcpclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/mcphttp"
)

// After a header mismatch, the client fetches the definition of the tool again and repeats the call once.
func TestCallHeaderMismatch(t *testing.T) {
	const old = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":3600000,"tools":[{"name":"region","inputSchema":{"type":"object","properties":{"region":{"type":"string"}}}}]}}`
	const refused = `{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"header mismatch"}}`
	for _, tt := range []struct {
		name     string
		stubborn bool // refuses whatever comes
		list     string
		want     []string
	}{
		{"a new definition helps", false, old, []string{"tools/list", "tools/call", "tools/list", "tools/call"}},
		{"it does not", true, old, []string{"tools/list", "tools/call", "tools/list", "tools/call"}},
		{"the definition is the same", true, "", []string{"tools/list", "tools/call", "tools/list"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, modern(hour, nil))
			lists := 0
			s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				body := ""
				switch {
				case rpc == "tools/list":
					if lists++; lists == 1 {
						body = tt.list
					}
				case tt.stubborn:
					body = refused
				}
				if body == "" {
					return false
				}
				data, _ := io.ReadAll(r.Body)
				m, _ := mcphttp.Parse(data)
				w.Header().Set("Content-Type", "application/json")
				if rpc == "tools/call" {
					w.WriteHeader(http.StatusBadRequest)
				}
				w.Write(withID(t, body, m.ID))
				return true
			})
			r, err := client(t, s).Call(t.Context(), "region", Arguments{Args: []Arg{{Name: "region", Value: "x"}}})
			var rpc *RPCError
			switch {
			case tt.stubborn && (!errors.As(err, &rpc) || rpc.Code != mcphttp.CodeHeaderMismatch):
				t.Errorf("expected the server's refusal, got %v", err)
			case !tt.stubborn && (err != nil || r.Content[0].Text != "ok"):
				t.Errorf("got %+v, %v", r, err)
			}
			if calls := s.requests("tools/call"); !tt.stubborn && calls[len(calls)-1].header.Get("Mcp-Param-Region") != "x" {
				t.Errorf("the second call has the headers %v", calls[len(calls)-1].header)
			}
			wantSeen(t, s, tt.want...)
		})
	}
}

// A text is no proof for a call that was already sent again after a header mismatch, because a tool could have run and written the text.
func TestTextAfterAHeaderMismatch(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	lists, calls := 0, 0
	s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		data, _ := io.ReadAll(r.Body)
		m, _ := mcphttp.Parse(data)
		w.Header().Set("Content-Type", "application/json")
		switch rpc {
		case "tools/list":
			lists++
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","ttlMs":3600000,"tools":[{"name":"pay","description":"%d","inputSchema":{"type":"object"}}]}}`, m.ID, lists)
			return true
		case "initialize":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}`, m.ID)
			return true
		case "notifications/initialized":
			w.WriteHeader(http.StatusAccepted)
			return true
		case "tools/call":
			calls++
			w.WriteHeader(http.StatusBadRequest)
			if calls == 1 {
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"header mismatch"}}`, m.ID)
			} else {
				io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Unsupported protocol version (supported versions: 2025-11-25)"}}`)
			}
			return true
		}
		return false
	})
	if _, err := client(t, s).Call(t.Context(), "pay", Arguments{}); err == nil || !strings.Contains(err.Error(), "Unsupported protocol version") {
		t.Errorf("got %v", err)
	}
	if n := len(s.requests("tools/call")); n != 2 {
		t.Errorf("the call was sent %d times, want 2", n)
	}
}

// withID returns a response with this id.
func withID(t *testing.T, answer string, id json.RawMessage) []byte {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(answer), &m); err != nil {
		t.Fatal(err)
	}
	m["id"] = id
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The client sends a call again only after a response that proves that it was not carried out. One odd response of a gateway does not
// change the cached era of a modern server. The era changes only if the server refuses the version or the probe.
func TestOddAnswerToACall(t *testing.T) {
	const odd = `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}`
	for _, tt := range []struct {
		name   string
		status int
		body   string
		all    bool // the server has become a legacy server and sends this response to every modern request
		want   []string
		err    bool
		next   []string // requests that a new client with the same cache sends for its first call
	}{
		{"400 and -32000, once", 400, odd, false, []string{"tools/call", "server/discover"}, true, []string{"tools/call"}},
		{"404 of a gateway, once", 404, "not found", false, []string{"tools/call", "server/discover"}, true, []string{"tools/call"}},
		{"502 of a gateway, once", 502, "bad gateway", false, []string{"tools/call"}, true, []string{"tools/call"}},
		{"a server that has become a legacy one, in odd words", 400, odd, true,
			[]string{"tools/call", "server/discover", "initialize", "notifications/initialized"}, true, []string{"tools/call"}},
		{"a server that has become a legacy one, and refuses the version", 400, "Bad Request: Unsupported protocol version (supported versions: 2025-11-25)", true,
			[]string{"tools/call", "initialize", "notifications/initialized", "tools/call"}, false, []string{"tools/call"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := legacy("2025-11-25", nil)
			now := modern(hour, nil) // also speaks earlier revisions
			s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.all && r.Header.Get("Mcp-Protocol-Version") != mcphttp.Modern {
					old.ServeHTTP(w, r)
					return
				}
				now.ServeHTTP(w, r)
			}))
			dir := t.TempDir()
			c := client(t, s, func(c *Client) { c.CacheDir = dir })
			callText(t, c, "region", Arg{Name: "region", Value: "x"})
			s.seen()
			first := true
			s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				if r.Header.Get("Mcp-Protocol-Version") != mcphttp.Modern || !first && !tt.all {
					return false
				}
				first = false
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
				return true
			})
			_, err := c.Call(t.Context(), "region", Arguments{Args: []Arg{{Name: "region", Value: "x"}}})
			if (err != nil) != tt.err {
				t.Errorf("%v", err)
			}
			wantSeen(t, s, tt.want...)
			c.Close()
			s.seen()
			callText(t, client(t, s, func(c *Client) { c.CacheDir = dir }), "region", Arg{Name: "region", Value: "x"})
			wantSeen(t, s, tt.next...)
		})
	}
}

// A tool runs, and its error contains words of a server that has lost the session or does not support the version. The client does not send
// the call again, unless the tool may run twice. The next command opens another session, because the words may be true.
func TestWordsOfATool(t *testing.T) {
	const opened = "initialize notifications/initialized tools/call"
	for _, tt := range []struct {
		name     string
		status   int
		text     string
		tool     string // echo is marked as read-only
		want     string // requests of the call
		nextWant string // requests of the next command
	}{
		{"a session", 400, "charged, but the receipt failed: checkout session expired", "add", "tools/call", opened},
		{"a version", 400, "charged, but the mail failed: tls: unsupported protocol version", "add", "tools/call", "tools/list initialize notifications/initialized tools/list tools/call"},
		{"404", 404, "receipt not found", "add", "tools/call", opened},
		{"another error", 400, "charged, but the receipt failed", "add", "tools/call", "tools/call"},
		{"a session, of a tool that may run twice", 400, "the checkout session expired", "echo", "tools/call " + opened, "tools/call"},
		{"404, of a tool that may run twice", 404, "receipt not found", "echo", "tools/call " + opened, "tools/call"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, legacy("2025-11-25", nil))
			dir := t.TempDir()
			c := client(t, s, func(c *Client) { c.CacheDir = dir })
			callText(t, c, tt.tool, Arg{Name: "a", Value: "1"}, Arg{Name: "b", Value: "2"})
			s.seen()
			s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				calls := s.requests("tools/call")
				if rpc != "tools/call" || len(calls) > 1 {
					return false
				}
				var m struct{ ID json.RawMessage }
				if err := json.Unmarshal(calls[0].body, &m); err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":%q}}`, m.ID, tt.text)
				return true
			})
			_, err := c.Call(t.Context(), tt.tool, Arguments{Args: []Arg{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}})
			if rpc := asRPCError(err); tt.tool == "add" && (rpc == nil || rpc.Message != tt.text) || tt.tool == "echo" && err != nil {
				t.Errorf("%v", err)
			}
			wantSeen(t, s, strings.Fields(tt.want)...)
			c.Close()
			s.setFront(nil)
			s.seen()
			callText(t, client(t, s, func(c *Client) { c.CacheDir = dir }), tt.tool, Arg{Name: "a", Value: "1"}, Arg{Name: "b", Value: "2"})
			wantSeen(t, s, strings.Fields(tt.nextWant)...)
		})
	}
}

// A legacy server is checked for an upgrade after a day, even if it is called often.
func TestLegacyServerIsProbedAgain(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	refusing := true
	s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		if refusing && r.Header.Get("Mcp-Protocol-Version") == mcphttp.Modern {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	dir, now := t.TempDir(), time.Now()
	call := func() []string {
		s.seen()
		c := client(t, s, func(c *Client) { c.CacheDir, c.now = dir, func() time.Time { return now } })
		callText(t, c, "echo")
		defer c.Close()
		return s.seen()
	}
	call()
	refusing = false
	for hours := range 23 {
		if got := call(); len(got) != 1 {
			t.Fatalf("after %d hours: %q", hours, got)
		}
		now = now.Add(time.Hour)
	}
	now = now.Add(2 * time.Hour)
	call()
	if got := call(); len(got) != 1 || len(s.requests("initialize")) != 0 {
		t.Errorf("%q", got)
	}
	if c := client(t, s, func(c *Client) { c.CacheDir, c.now = dir, func() time.Time { return now } }); c.prepare(t.Context()) != nil || c.serverEra() != eraModern {
		t.Error("one answer of a gateway has made a server legacy for good")
	}
}

// The error of a call contains the text of the server's HTTP error response.
func TestServersWords(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"429, which is no JSON-RPC error", `{"error":"rate_limited"}`, 429, `429 Too Many Requests, "rate_limited", retry after 7s`},
		{"400 in plain text of a modern server", "tenant is missing", 400, `400 Bad Request: "tenant is missing"`},
	} {
		s := newServer(t, modern(hour, nil))
		s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
			if rpc == "initialize" {
				answerJSON(w, 404, mcphttp.Message{ID: []byte("1")}, `"error":{"code":-32601,"message":"Method not found: initialize"}`)
				return true
			}
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
			return true
		}
		_, err := client(t, s).Call(t.Context(), "add", Arguments{Args: sum})
		var status *StatusError
		if !errors.As(err, &status) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// If a request that resumes the stream of a call fails, the error says that the server accepted the call.
func TestCallWasAccepted(t *testing.T) {
	for status, want := range map[int]bool{http.StatusOK: true, http.StatusTooManyRequests: false} {
		s := newServer(t, legacy("2025-11-25", nil))
		s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
			switch {
			case rpc == "tools/call" && status == http.StatusOK:
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, "id: 1\nretry: 1\ndata:\n\n")
			case rpc == "tools/call", r.Header.Get("Last-Event-ID") != "":
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				return false
			}
			return true
		})
		_, err := client(t, s).Call(t.Context(), "slow", Arguments{})
		if failed, ok := errors.AsType[*StatusError](err); !ok || failed.StatusCode != http.StatusTooManyRequests || WasAccepted(err) != want {
			t.Errorf("%d: got %v, accepted is %v", status, err, !want)
		}
	}
}

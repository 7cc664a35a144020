package mcpclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// relayed runs the relay over lines of a program and returns what it wrote, by id; messages without one are under "".
func relayed(t *testing.T, c *Client, lines ...string) map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Relay(t.Context(), strings.NewReader(strings.Join(lines, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(out.String()) {
		m, ok := parseMessage([]byte(line))
		if !ok || !strings.HasSuffix(line, "}\n") {
			t.Errorf("%q is not a message and a line end", line)
		}
		got[string(m.id)] += strings.TrimSuffix(line, "\n")
	}
	return got
}

// modernMessage is a request of a program that speaks 2026-07-28.
func modernMessage(id, method, params string) string {
	if params != "" {
		params += ","
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
		`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`, id, method, params)
}

// answering answers every POST with a status, a type and a body, in which ID stands for the request's id.
func answering(status int, kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		m, _ := parseMessage(data)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, strings.ReplaceAll(body, "ID", string(m.id)))
	})
}

func TestRelayAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		status           int
		want             string // in the message with the id "x"
	}{
		{"byte for byte", "application/json", `{"id":ID, "jsonrpc":"2.0","result":{"n":1.50e+02,"u":"\u00e9"}}` + "\n", 200, `{"id":"x", "jsonrpc":"2.0","result":{"n":1.50e+02,"u":"\u00e9"}}`},
		{"over several lines", "application/json", "{\n\t\"id\": ID,\r\n\"result\": {}\n}\n", 200, "{ \t\"id\": \"x\",  \"result\": {} }"},
		{"events", "text/event-stream", "data: {\"id\":ID,\"result\":{}}\n\n", 200, `{"id":"x","result":{}}`},
		{"refusal without an id", "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32000, "message":"no"}}`, 400, `{"jsonrpc":"2.0","id":"x","error":{"code":-32000, "message":"no"}}`},
		{"refusal", "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"no"}}`, 404, `{"jsonrpc":"2.0","id":"x","error":{"code":-32601,"message":"no"}}`},
		{"page", "text/html", "<p>Sorry", 502, `502 Bad Gateway`},
		{"page with 200", "text/html", "<p>Sorry", 200, `expected application/json or text/event-stream`},
		{"broken JSON", "application/json", `{"id":`, 200, `its JSON is broken`},
		{"end of the stream", "text/event-stream", ": nothing\n\n", 200, `the event stream ended without a result`},
	} {
		c := client(t, newServer(t, answering(tt.status, tt.kind, tt.body)))
		got := relayed(t, c, modernMessage(`"x"`, "ping", ""))
		if !strings.Contains(got[`"x"`], tt.want) || len(got) != 1 {
			t.Errorf("%s: got %q, expected %q", tt.name, got, tt.want)
		}
	}
}

// The network's failures are answers too.
func TestRelayUnreachable(t *testing.T) {
	s := newServer(t, answering(200, "application/json", "{}"))
	s.Server.Close()
	got := relayed(t, client(t, s), modernMessage("1", "ping", ""), `{"jsonrpc":"2.0","method":"notifications/x"}`)
	if !strings.Contains(got["1"], `"code":-32000`) || len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// A tool that the program knows from an earlier run: the first call lacks the headers that the server wants.
func TestRelayHeaderMismatch(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	got := relayed(t, client(t, s), modernMessage("1", "tools/call", `"name":"region","arguments":{"region":"süd","n":5.0}`))
	if !strings.Contains(got["1"], `"ok"`) {
		t.Errorf("got %q", got)
	}
	calls := s.requests("tools/call")
	if len(calls) != 2 || len(s.requests("tools/list")) != 1 {
		t.Fatalf("requests: %v", s.seen())
	}
	h := calls[1].header
	for name, want := range map[string]string{"Mcp-Param-Region": "=?base64?c8O8ZA==?=", "Mcp-Param-N": "5", "Mcp-Method": "tools/call", "Mcp-Name": "region",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Session-Id": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, expected %q", name, got, want)
		}
	}
}

// The rest of a legacy answer that was cut off is asked for.
func TestRelayResumes(t *testing.T) {
	s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, "id: 2\ndata: {\"id\":1,\"result\":{\"after\":%q}}\n\n", r.Header.Get("Last-Event-ID"))
			return
		}
		io.WriteString(w, "id: 1\nretry: 0\ndata: {\"method\":\"notifications/message\"}\n\n")
	}))
	got := relayed(t, client(t, s), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`)
	if got["1"] != `{"id":1,"result":{"after":"1"}}` || got[""] != `{"method":"notifications/message"}` {
		t.Errorf("got %q", got)
	}
}

// What the program says goes out as it is, and a session ends with the run.
func TestRelayLegacySession(t *testing.T) {
	s := newServer(t, legacy("2025-11-25", nil))
	initialize := `{"jsonrpc":"2.0", "id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	lost := false
	s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		if rpc == "tools/call" && !lost {
			lost = true
			http.Error(w, "session not found", http.StatusNotFound)
			return true
		}
		return false
	})
	got := relayed(t, client(t, s), initialize, `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2}}}`)
	if !strings.Contains(got["2"], `"3"`) || strings.Count(got["1"], "protocolVersion") != 1 {
		t.Errorf("got %q", got)
	}
	opened := s.requests("initialize")
	if len(opened) != 2 || string(opened[0].body) != initialize || string(opened[1].body) != initialize {
		t.Errorf("%d sessions were opened", len(opened))
	}
	ended := 0
	for _, m := range s.seen() {
		if m == http.MethodDelete {
			ended++
		}
	}
	if ended != 1 {
		t.Errorf("%d sessions were ended", ended)
	}
}

// A program that does not read any more ends the run.
func TestRelayNoReader(t *testing.T) {
	c := client(t, newServer(t, answering(200, "application/json", `{"id":ID,"result":{}}`)))
	in, w := io.Pipe() // never ends
	go io.WriteString(w, modernMessage("1", "ping", "")+"\n")
	closed := errors.New("closed")
	if err := c.Relay(t.Context(), in, unwritable{closed}); !errors.Is(err, closed) {
		t.Errorf("got %v", err)
	}
}

type unwritable struct{ err error }

func (u unwritable) Write([]byte) (int, error) { return 0, u.err }

func TestMirrorArguments(t *testing.T) {
	schema := json.RawMessage(`{"properties":{"s":{"x-mcp-header":"S"},"o":{"properties":{"i":{"x-mcp-header":"I"}}},"b":{"x-mcp-header":"B"},"plain":{}}}`)
	for arguments, want := range map[string]map[string]string{
		`{"s":"a b","o":{"i":7},"b":true,"plain":"x"}`:  {"S": "a b", "I": "7", "B": "true"},
		`{"s":"é","o":{"i":7.0},"b":null}`:              {"S": "=?base64?w6k=?=", "I": "7"},
		`{"s":" a","o":{"i":9007199254740993},"b":"f"}`: {"S": "=?base64?IGE=?=", "B": "f"},
		`{"s":["a"],"o":5}`:                             {},
		``:                                              {},
	} {
		h := http.Header{}
		mirrorArguments(h, schema, json.RawMessage(arguments), 0)
		if len(h) != len(want) {
			t.Errorf("%s: %v", arguments, h)
		}
		for name, value := range want {
			if got := h.Get("Mcp-Param-" + name); got != value {
				t.Errorf("%s: %s is %q, expected %q", arguments, name, got, value)
			}
		}
	}
}

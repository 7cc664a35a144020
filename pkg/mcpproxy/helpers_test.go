package mcpproxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// server records messages and answers them with f.
type server struct {
	*httptest.Server
	mu sync.Mutex
	in []mcphttp.Message // a GET or DELETE is a message with that method and without Raw
}

func newServer(t *testing.T, f func(w http.ResponseWriter, r *http.Request, m mcphttp.Message)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, _ := mcphttp.Parse(body)
		if r.Method != http.MethodPost {
			m = mcphttp.Message{Method: r.Method}
		}
		s.mu.Lock()
		s.in = append(s.in, m)
		s.mu.Unlock()
		f(w, r, m)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) proxy() *Proxy {
	return &Proxy{URL: s.URL + "/mcp", HTTP: s.Client(), pause: func(context.Context, time.Duration) error { return nil }}
}

// seen returns the recorded messages with these methods, or all messages if no method is given.
func (s *server) seen(methods ...string) []mcphttp.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.in), func(m mcphttp.Message) bool { return len(methods) > 0 && !slices.Contains(methods, m.Method) })
}

func methods(all []mcphttp.Message) string {
	var names []string
	for _, m := range all {
		names = append(names, orResponse(m.Method))
	}
	return strings.Join(names, " ")
}

func say(w http.ResponseWriter, kind string, status int, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// greeted answers the messages of the handshake, GET and DELETE, as a server of an earlier revision. It returns false if m is any other
// message, which it does not answer.
func greeted(w http.ResponseWriter, m mcphttp.Message, session string) bool {
	switch {
	case m.Method == "initialize":
		if session != "" {
			w.Header().Set("Mcp-Session-Id", session)
		}
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"logging":{}},"serverInfo":{"name":"t","version":"1"}}}`, m.ID))
	case m.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case m.Method == http.MethodDelete:
	case m.ID == nil || m.IsResponse():
		w.WriteHeader(http.StatusAccepted)
	default:
		return false
	}
	return true
}

const (
	jsonType    = "application/json"
	eventType   = "text/event-stream"
	initialize  = `{"jsonrpc":"2.0", "id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// call returns a tools/call of an earlier revision.
func call(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q}}`, id, tool)
}

func modern(id, method, params string) string {
	if params != "" {
		params += ","
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, id, method, params)
}

// relayed runs Stdio with these lines as input. It returns the output by message id; "" holds messages without an id.
func relayed(t *testing.T, p *Proxy, lines ...string) map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := p.Stdio(t.Context(), strings.NewReader(strings.Join(lines, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(out.String()) {
		m, ok := mcphttp.Parse([]byte(line))
		if !ok || !strings.HasSuffix(line, "}\n") {
			t.Errorf("%q is not a message and a line end", line)
		}
		got[string(m.ID)] += strings.TrimSuffix(line, "\n")
	}
	return got
}

// talking is a program that is connected to Stdio by pipes.
type talking struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Reader
	over chan error
}

func talk(t *testing.T, p *Proxy) *talking {
	t.Helper()
	fromProgram, in := io.Pipe()
	out, toProgram := io.Pipe()
	k := &talking{t: t, in: in, out: bufio.NewReader(out), over: make(chan error, 1)}
	go func() {
		err := p.Stdio(context.Background(), fromProgram, toProgram)
		toProgram.Close()
		k.over <- err
	}()
	t.Cleanup(func() {
		in.Close()
		go io.Copy(io.Discard, k.out)
		if err := <-k.over; err != nil {
			t.Errorf("the proxy ended with %v", err)
		}
	})
	return k
}

func (k *talking) say(lines ...string) {
	k.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(k.in, line+"\n"); err != nil {
			k.t.Fatal(err)
		}
	}
}

// hears returns the next message to the program, which must contain want.
func (k *talking) hears(want string) string {
	k.t.Helper()
	line, err := k.out.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		k.t.Fatalf("the program hears %q (%v), expected %s", line, err, want)
	}
	return line
}

func (k *talking) greets() {
	k.t.Helper()
	k.say(initialize)
	k.hears("protocolVersion")
	k.say(initialized)
}

// param returns a string in the parameters of a message.
func param(m mcphttp.Message, name string) string {
	return jsonscan.Unquote(jsonscan.Member(m.Params, name))
}

// sseOnly refuses Streamable HTTP, as servers of 2024-11-05 do.
func sseOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.RawQuery == "" {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

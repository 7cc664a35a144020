package mcpclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/mcphttp"
)

// A server of HTTP+SSE may send a ping as soon as the stream is open (2024-11-05, Lifecycle). This one answers initialize only after the answer
// to its ping.
func TestPingBeforeInitialize(t *testing.T) {
	stream, answered := make(chan string, 2), make(chan struct{})
	s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "event: endpoint\ndata: /messages\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n")
			for http.NewResponseController(w).Flush() == nil {
				select {
				case m := <-stream:
					io.WriteString(w, "data: "+m+"\n\n")
				case <-r.Context().Done():
					return
				}
			}
		}
		body, _ := io.ReadAll(r.Body)
		m, _ := mcphttp.Parse(body)
		switch {
		case r.URL.Path != "/messages":
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		case m.IsResponse():
			close(answered)
		case m.Method == "initialize":
			go func() {
				<-answered
				stream <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}}`, m.ID)
			}()
		case m.Method == "tools/list":
			stream <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[]}}`, m.ID)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	if _, err := client(t, s).Tools(t.Context()); err != nil {
		t.Error(err)
	}
}

// askingServer is a legacy server that sends its elicitation request on the stream of the session, as servers built with the TypeScript SDK
// do. If the stream of the session is not open, the server discards the request and never answers the call.
type askingServer struct {
	http.Handler
	mu     sync.Mutex
	stream chan string // open stream, nil: none
	answer chan json.RawMessage
	breaks int // number of times that the stream ends after it was opened
	refuse bool
}

func newAskingServer() *askingServer {
	a := &askingServer{answer: make(chan json.RawMessage, 1)}
	a.Handler = onlyLegacy(http.HandlerFunc(a.serve))
	return a
}

func (a *askingServer) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		a.listen(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	m, _ := mcphttp.Parse(body)
	reply := func(result string) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Mcp-Session-Id", "s")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
	}
	switch m.Method {
	case "initialize":
		reply(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"t","version":"1"}}`)
	case "tools/list":
		reply(`{"tools":[{"name":"ask","inputSchema":{"type":"object"}}]}`)
	case "tools/call":
		a.mu.Lock()
		stream := a.stream
		a.mu.Unlock()
		if stream == nil {
			reply(`{"content":[{"type":"text","text":"nobody listens"}]}`)
			return
		}
		stream <- `{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string","default":"Ada"}}}}}`
		select {
		case got := <-a.answer:
			reply(fmt.Sprintf(`{"content":[],"structuredContent":%s}`, got))
		case <-r.Context().Done():
		}
	case "":
		a.answer <- m.Result
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// listen serves the stream of the session.
func (a *askingServer) listen(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || a.refuse {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a.mu.Lock()
	a.breaks--
	ends := a.breaks >= 0
	if !ends {
		a.stream = make(chan string)
	}
	stream := a.stream
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "retry: 0\n\n")
	w.(http.Flusher).Flush() // buffered, because a call may come immediately
	if ends {
		return
	}
	for {
		select {
		case m := <-stream:
			fmt.Fprintf(w, "data: %s\n\n", m)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func TestQuestionOutsideOfCall(t *testing.T) {
	a := newAskingServer()
	s := newServer(t, a)
	c := client(t, s, func(c *Client) { c.Elicit, c.Listen = Policy{Defaults: true}.Elicit, true })
	r, err := c.Call(t.Context(), "ask", Arguments{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"name":"Ada"`; !strings.Contains(string(r.Structured), want) {
		t.Errorf("the server was answered %s, expected %s in it", r.Structured, want)
	}
}

// A call succeeds even if the server refuses to open the stream of the session. Without Client.Listen, the stream is not requested.
func TestNoStreamOfSession(t *testing.T) {
	for _, listen := range []bool{true, false} {
		a := newAskingServer()
		a.refuse = true
		s := newServer(t, a)
		c := client(t, s, func(c *Client) { c.Listen = listen })
		if got := callText(t, c, "ask"); got != "nobody listens" {
			t.Errorf("listen %v: got %q", listen, got)
		}
		gets := 0
		for _, m := range s.seen() {
			if m == http.MethodGet {
				gets++
			}
		}
		if want := map[bool]int{true: 1, false: 0}[listen]; gets != want {
			t.Errorf("listen %v: %d GET, expected %d", listen, gets, want)
		}
	}
}

// The client reopens a stream that ends, and keeps the session.
func TestStreamOfSessionEnds(t *testing.T) {
	a := newAskingServer()
	const breaks = 20
	a.breaks = breaks // more breaks than the Go SDK's limit of retries
	s := newServer(t, a)
	pauses := make(chan time.Duration, breaks)
	c := client(t, s, func(c *Client) {
		c.Elicit, c.Listen = Policy{Defaults: true}.Elicit, true
		c.pause = func(_ context.Context, d time.Duration) error { pauses <- d; return nil }
	})
	for {
		if got := callText(t, c, "ask"); got != "nobody listens" {
			break
		}
	}
	if n := len(s.requests("initialize")); n != 1 {
		t.Errorf("%d sessions, expected one", n)
	}
	for range breaks {
		if d := <-pauses; d < time.Second {
			t.Errorf("a stream without events is opened again after %s", d)
		}
	}
}

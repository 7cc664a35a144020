package mcpclient

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// oldServer is a server of 2024-11-05: answers come on the stream, which can be cut.
type oldServer struct {
	mu       sync.Mutex
	endpoint string // in the first event; empty: its own
	stream   chan string
	cut      chan struct{}
	streams  int
}

func (o *oldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet:
		o.serveStream(w, r)
	case r.URL.Path != "/messages":
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		body, _ := io.ReadAll(r.Body)
		m, _ := parseMessage(body)
		o.mu.Lock()
		defer o.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		switch {
		case unquote(member(m.params, "name")) == "silent", m.id == nil:
		case m.method == "initialize":
			o.stream <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`, m.id)
		default:
			o.stream <- fmt.Sprintf(`{"jsonrpc":"2.0", "id":%s,"result":{"stream":%d}}`, m.id, o.streams)
		}
	}
}

func (o *oldServer) serveStream(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.streams++
	stream, cut := make(chan string, 10), make(chan struct{})
	o.stream, o.cut = stream, cut
	endpoint := o.endpoint
	o.mu.Unlock()
	if endpoint == "" {
		endpoint = "/messages?session=1"
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", endpoint)
	for {
		w.(http.Flusher).Flush()
		select {
		case m := <-stream:
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", m)
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// A server of 2024-11-05 is found out by its refusal. A stream that ends is replaced, and the program does not notice.
func TestRelayOldTransport(t *testing.T) {
	o := &oldServer{}
	s := newServer(t, o)
	p := talk(t, client(t, s))
	p.say(initializeMessage)
	p.hears("2024-11-05")
	p.say(initializedMessage, `{"jsonrpc":"2.0","id":"a","method":"tools/list"}`)
	p.hears(`{"jsonrpc":"2.0", "id":"a","result":{"stream":1}}`)
	wantSeen(t, s, "initialize", "GET", "initialize", "notifications/initialized", "tools/list")
	o.mu.Lock()
	o.stream <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	o.mu.Unlock()
	p.hears("list_changed")

	p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"silent"}}`)
	for len(s.requests("tools/call")) == 0 {
		p.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`) // the call has no answer to wait for
		p.hears(`"id":2`)
	}
	close(o.cut)
	p.hears(`"id":1,"error"`)
	s.seen()
	p.say(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)
	p.hears(`"id":3,"result":{"stream":2}`)
	wantSeen(t, s, "GET", "initialize", "notifications/initialized", "ping")
}

// The call of a program that was cancelled is waited for no more.
func TestRelayOldTransportCancels(t *testing.T) {
	s := newServer(t, &oldServer{})
	got := relayed(t, client(t, s), initializeMessage)
	if !strings.Contains(got["0"], "2024-11-05") {
		t.Fatal(got)
	}
	p := talk(t, client(t, s))
	p.say(initializeMessage)
	p.hears("2024-11-05")
	p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"silent"}}`)
	for len(s.requests("tools/call")) == 0 {
		p.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		p.hears(`"id":2`)
	}
	p.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `{"jsonrpc":"2.0","id":4,"method":"ping"}`)
	p.hears(`"id":4`)
	if n := len(s.requests("notifications/cancelled")); n != 1 {
		t.Errorf("the server heard of %d cancellations", n)
	}
}

// Neither messages nor the token go to another origin.
func TestRelayOldTransportElsewhere(t *testing.T) {
	asked := 0
	stranger := newServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	for _, endpoint := range []string{stranger.URL + "/messages", "file:///messages", "://"} {
		got := relayed(t, client(t, newServer(t, &oldServer{endpoint: endpoint})), initializeMessage)
		if !strings.Contains(got["0"], "not on the origin") || asked > 0 {
			t.Errorf("%s: %q, %d requests", endpoint, got, asked)
		}
	}
}

// A refusal of initialize is the server's word where there is no such stream.
func TestRelayNoOldTransport(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"another version, please"}}`)
			}
		}))
		if got := relayed(t, client(t, s), initializeMessage); !strings.Contains(got["0"], "another version, please") {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// hasty is a server of 2024-11-05 whose stream brings an answer and ends before the POST is answered.
type hasty struct{ stream *io.PipeWriter }

func (h *hasty) RoundTrip(req *http.Request) (*http.Response, error) {
	res := accepted(req)
	switch {
	case req.Method == http.MethodGet:
		in, out := io.Pipe()
		h.stream = out
		go io.WriteString(out, "event: endpoint\ndata: /messages\n\n")
		res = stub(req, http.Header{}, nil)
		res.Header.Set("Content-Type", "text/event-stream")
		res.Body, res.ContentLength = in, -1
	case req.URL.Path != "/messages":
		res.StatusCode = http.StatusMethodNotAllowed
	default:
		io.WriteString(h.stream, `data: {"jsonrpc":"2.0","id":0,"result":{}}`+"\n\n")
		h.stream.Close()
		synctest.Wait()
	}
	return res, nil
}

// What was answered does not fail as well.
func TestRelayOldTransportAnswersOnce(t *testing.T) {
	for range 20 { // which of two channels is seen first is left to chance
		synctest.Test(t, func(t *testing.T) {
			c := &Client{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: &hasty{}}}
			got := relayed(t, c, initializeMessage)
			if want := `{"jsonrpc":"2.0","id":0,"result":{}}`; got["0"] != want {
				t.Errorf("the program hears %s", got["0"])
			}
		})
	}
}

package mcpproxy

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpauth/internal/mcphttp"
)

// forgetful is a server that loses its session when lose is called. It refuses requests with the method in the field refuses.
type forgetful struct {
	mu      sync.Mutex
	session int
	refuses string
	stream  func(w http.ResponseWriter, r *http.Request) // of GET
	status  int                                          // status of the response to a request of a lost session
}

func (f *forgetful) lose(refuses string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session++
	f.refuses = refuses
}

func (f *forgetful) serve(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
	f.mu.Lock()
	id, refuses := fmt.Sprint("s", f.session), f.refuses
	f.mu.Unlock()
	switch {
	case m.Method == "initialize":
		greeted(w, m, id)
	case r.Header.Get("Mcp-Session-Id") != id:
		message := map[int]string{401: "Unauthorized: Session not found"}[f.status]
		say(w, jsonType, f.status, fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":%q}}`, cmp.Or(message, "Bad Request: No valid session ID provided")))
	case m.Method == http.MethodGet && f.stream != nil:
		f.stream(w, r)
	case greeted(w, m, id):
	case m.Method == refuses:
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no more"}}`, m.ID))
	default:
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"session":%q}}`, m.ID, id))
	}
}

// The proxy replaces a lost session with the program's own initialize and repeats its subscriptions and log level. If a repeated
// subscription or log level is refused, the program gets a warning.
func TestLostSession(t *testing.T) {
	subscribe := func(id int, method, uri string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"resources/%s","params":{"uri":%q}}`, id, method, uri)
	}
	const level = `{"jsonrpc":"2.0","id":9,"method":"logging/setLevel","params":{"level":%q}}`
	for _, status := range []int{404, 400, 401} {
		f := &forgetful{status: status}
		s := newServer(t, f.serve)
		p := s.proxy()
		var warned []string
		p.Warn = func(text string) { warned = append(warned, text) }
		k := talk(t, p)
		k.greets()
		for _, line := range []string{subscribe(1, "subscribe", "a:1"), subscribe(2, "subscribe", "a:2"), subscribe(3, "unsubscribe", "a:1"), subscribe(4, "subscribe", "a:2"),
			fmt.Sprintf(level, "info"), fmt.Sprintf(level, "debug")} {
			k.say(line)
			k.hears(`"session":"s0"`)
		}
		before := len(s.seen())
		f.lose("")
		k.say(call("10", "x"))
		k.hears(`{"jsonrpc":"2.0","id":10,"result":{"session":"s1"}}`)
		var got []string
		for _, m := range s.seen()[before:] {
			if m.Method != http.MethodGet {
				got = append(got, m.Method+" "+param(m, "uri")+param(m, "level"))
			}
		}
		want := "tools/call , initialize , notifications/initialized , resources/subscribe a:2, logging/setLevel debug, tools/call "
		if strings.Join(got, ", ") != want {
			t.Errorf("%d: the server sees %s\nexpected %s", status, strings.Join(got, ", "), want)
		}
		if all := s.seen("initialize"); len(all) != 2 || string(all[0].Raw) != initialize || string(all[1].Raw) != initialize {
			t.Errorf("%d: %d handshakes", status, len(all))
		}
		if len(warned) > 0 {
			t.Errorf("warned without need: %q", warned)
		}

		f.lose("resources/subscribe")
		k.say(call("11", "x"))
		k.hears(`"notifications/message","params":{"level":"warning","logger":"mcpauth","data":"the server lost the session, and the subscription to a:2 could not be restored`)
		k.hears(`{"jsonrpc":"2.0","id":11,"result":{"session":"s2"}}`)
		if len(warned) != 1 {
			t.Errorf("warned: %q", warned)
		}
	}
}

// A tool runs, and its error contains words of a server that has lost the session. The proxy passes the error on and does not send the call
// again. It opens another session for the next request, because the words may be true. A list is requested again.
func TestWordsOfATool(t *testing.T) {
	for _, tt := range []struct {
		status        int
		id, text      string
		method        string
		sent          int    // requests with this method
		hears         string // the answer to the program
		sessionsAfter int
	}{
		{400, "10", "charged, but the receipt failed: checkout session expired", "tools/call", 1, `"message":"charged`, 2},
		{400, "null", "charged, but the receipt failed: checkout session expired", "tools/call", 1, `"message":"charged`, 2},
		{404, "10", "receipt not found", "tools/call", 1, `"message":"receipt not found"`, 2},
		{400, "10", "charged, but the receipt failed", "tools/call", 1, `"message":"charged`, 1},
		{400, "10", "Bad Request: No valid session ID provided", "x/unknown", 1, `"message":"Bad Request`, 2},
		{400, "null", "Bad Request: No valid session ID provided", "tools/call", 2, `"result"`, 2},
		{400, "10", "unknown session", "tools/list", 2, `"result"`, 2},
		{404, "10", "gone", "resources/read", 2, `"result"`, 2},
	} {
		f, refused := &forgetful{status: 404}, atomic.Bool{}
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
			if m.Method == tt.method && refused.CompareAndSwap(false, true) {
				say(w, jsonType, tt.status, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":%q}}`, tt.id, tt.text))
				return
			}
			f.serve(w, r, m)
		})
		k := talk(t, s.proxy())
		k.greets()
		k.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":10,"method":%q,"params":{"name":"x"}}`, tt.method))
		k.hears(tt.hears)
		k.say(call("11", "x"))
		k.hears(`"id":11,"result"`)
		sent := len(s.seen(tt.method))
		if tt.method == "tools/call" {
			sent-- // the call with id 11
		}
		if n := len(s.seen("initialize")); sent != tt.sent || n != tt.sessionsAfter {
			t.Errorf("%d %s, %s %q: sent %d times, %d sessions", tt.status, tt.method, tt.id, tt.text, sent, n)
		}
	}
}

// The program gets an error that only suggests a lost session at once, even if the server does not answer the next initialize.
func TestErrorBeforeAnotherSession(t *testing.T) {
	f, hang := &forgetful{status: 404}, make(chan struct{})
	var refused atomic.Bool
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
		switch {
		case m.Method == "tools/call" && refused.CompareAndSwap(false, true):
			say(w, jsonType, 404, `{"jsonrpc":"2.0","id":10,"error":{"code":-32000,"message":"receipt not found"}}`)
			return
		case m.Method == "initialize" && refused.Load():
			<-hang
		}
		f.serve(w, r, m)
	})
	k := talk(t, s.proxy())
	k.greets()
	k.say(call("10", "x"))
	k.hears("receipt not found")
	close(hang)
	k.say(call("11", "x"))
	k.hears(`"id":11,"result"`)
	if n := len(s.seen("initialize")); n != 2 {
		t.Errorf("%d handshakes", n)
	}
}

// If many concurrent requests find the session lost, the proxy opens only one new session.
func TestLostSessionOnce(t *testing.T) {
	f := &forgetful{status: 404}
	s := newServer(t, f.serve)
	k := talk(t, s.proxy())
	k.greets()
	k.say(call("1", "x"))
	k.hears("s0")
	f.lose("")
	go func() {
		for i := range 20 {
			io.WriteString(k.in, call(fmt.Sprint(10+i), "x")+"\n")
		}
	}()
	for range 20 {
		k.hears("s1")
	}
	if n := len(s.seen("initialize")); n != 2 {
		t.Errorf("%d handshakes", n)
	}
}

// While the program sends nothing, the end of the session's stream shows the proxy that the server has lost the session. Different servers
// report a lost session with different statuses.
func TestLostSessionInSilence(t *testing.T) {
	for _, status := range []int{404, 400, 401} {
		f := &forgetful{status: status}
		var streams atomic.Int32
		cut := make(chan struct{})
		f.stream = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", eventType)
			io.WriteString(w, fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/n%d\"}\n\n", streams.Add(1)))
			w.(http.Flusher).Flush()
			select {
			case <-cut:
			case <-r.Context().Done():
			}
		}
		s := newServer(t, f.serve)
		k := talk(t, s.proxy())
		k.greets()
		k.hears("notifications/n1")
		f.lose("")
		close(cut)
		k.hears("notifications/n2")
		if n := len(s.seen("initialize")); n != 2 {
			t.Errorf("%d: %d handshakes", status, n)
		}
	}
}

// An elicitation request that the server sends on the stream of the session reaches the program, and its answer reaches the server.
func TestQuestion(t *testing.T) {
	const question = `{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{}}`
	asked, answered := make(chan string), make(chan string, 1)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
		switch {
		case m.Method == http.MethodGet:
			w.Header().Set("Content-Type", eventType)
			w.(http.Flusher).Flush()
			select {
			case text := <-asked:
				io.WriteString(w, "data: "+text+"\n\n")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			case <-r.Context().Done():
			}
		case m.IsResponse():
			answered <- string(m.Raw)
			w.WriteHeader(http.StatusAccepted)
		case m.Method == "tools/call":
			asked <- question
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"answer":%q}}`, m.ID, <-answered))
		default:
			greeted(w, m, "s1")
		}
	})
	k := talk(t, s.proxy())
	k.greets()
	k.say(call("1", "ask"))
	k.hears(`"id":"mcpauth-question-1","method":"elicitation/create","params":{}`)
	k.say(`{"jsonrpc":"2.0", "id":"mcpauth-question-1","result":{"action":"accept"}}`)
	k.hears(`"answer":"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"action\":\"accept\"}}"`)
}

// oldServer is a server of 2024-11-05, which answers on its stream. The stream can be cut off.
type oldServer struct {
	mu       sync.Mutex
	endpoint string // URL that the first event names as the endpoint; empty: the server's real endpoint
	stream   chan string
	cut      chan struct{}
	streams  int
	live     atomic.Int32 // open streams
}

func (o *oldServer) serve(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
	switch {
	case r.Method == http.MethodGet:
		o.serveStream(w, r)
	case r.URL.Path != "/messages":
		w.WriteHeader(http.StatusMethodNotAllowed)
	case param(m, "name") == "refused":
		say(w, jsonType, http.StatusInternalServerError, `{"error":"out of order"}`)
	default:
		o.mu.Lock()
		defer o.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		switch {
		case param(m, "name") == "silent", m.ID == nil:
		case m.Method == "initialize":
			o.stream <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`, m.ID)
		default:
			o.stream <- fmt.Sprintf(`{"jsonrpc":"2.0", "id":%s,"result":{"stream":%d}}`, m.ID, o.streams)
		}
	}
}

func (o *oldServer) serveStream(w http.ResponseWriter, r *http.Request) {
	o.live.Add(1)
	defer o.live.Add(-1)
	o.mu.Lock()
	o.streams++
	stream, cut := make(chan string, 10), make(chan struct{})
	o.stream, o.cut = stream, cut
	endpoint := o.endpoint
	o.mu.Unlock()
	if endpoint == "" {
		endpoint = "/messages?session=1"
	}
	w.Header().Set("Content-Type", eventType)
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

// The proxy detects a server of 2024-11-05 by its refusal of initialize. If the stream ends, the proxy answers pending requests and opens a
// new session without a message from the program.
func TestOldTransport(t *testing.T) {
	o := &oldServer{}
	s := newServer(t, o.serve)
	k := talk(t, s.proxy())
	k.greets()
	k.say(`{"jsonrpc":"2.0","id":"a","method":"tools/list"}`)
	k.hears(`{"jsonrpc":"2.0", "id":"a","result":{"stream":1}}`)
	if got := methods(s.seen()); got != "initialize GET initialize notifications/initialized tools/list" {
		t.Errorf("the server sees %s", got)
	}
	o.mu.Lock()
	o.stream <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	o.mu.Unlock()
	k.hears("list_changed")

	k.say(call("0", "refused")) // the server refuses this call by the status of the POST, so the stream contains no answer to the call
	if got := k.hears(`"id":0,"error"`); !strings.Contains(got, "500") || !strings.Contains(got, "out of order") {
		t.Errorf("a call that is refused by status: %s", got)
	}

	k.say(call("1", "silent"))
	for len(s.seen("tools/call")) == 1 {
		k.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`) // the call does not wait for an answer
		k.hears(`"id":2`)
	}
	o.mu.Lock()
	close(o.cut)
	o.mu.Unlock()
	k.hears(`"id":1,"error"`)
	soon(t, func() bool { return len(s.seen("notifications/initialized")) == 2 })
	k.say(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)
	k.hears(`"id":3,"result":{"stream":2}`)
	if n := len(s.seen("initialize")); n != 3 {
		t.Errorf("%d handshakes", n)
	}
}

// A server of 2024-11-05 says for every message that it has lost the session. The proxy opens a session each time, and closes the stream of the
// session before. A call that waits on an old stream still gets its answer.
func TestOldTransportLosesEverySession(t *testing.T) {
	for _, lost := range []struct {
		status     int
		text       string
		message    string
		sent       int // how often the message is sent
		handshakes int
	}{
		{404, "Could not find session", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"lost"}}`, 2, 2},
		{400, "no transport for this session", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"lost"}}`, 1, 2},
		{404, "Could not find session", `{"jsonrpc":"2.0","method":"notifications/x","params":{"name":"lost"}}`, 2, 2},
	} {
		o := &oldServer{}
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
			if param(m, "name") == "lost" {
				say(w, "text/plain", lost.status, lost.text)
				return
			}
			o.serve(w, r, m)
		})
		k := talk(t, s.proxy())
		k.greets()
		k.say(call("1", "silent"))
		soon(t, func() bool { return len(s.seen("tools/call")) == 1 })
		o.mu.Lock()
		first := o.stream
		o.mu.Unlock()
		const rounds = 5
		for i := range rounds {
			k.say(lost.message)
			if strings.Contains(lost.message, `"id"`) {
				k.hears(fmt.Sprint(lost.status))
			}
			soon(t, func() bool { return len(s.seen("initialize")) >= 1+lost.sent+i }) // a message that is not sent again leaves the session to the next one
		}
		k.say(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)
		k.hears(`"id":3,"result":`)
		soon(t, func() bool { return o.live.Load() == 2 }) // that of the session, and that of the call
		first <- `{"jsonrpc":"2.0","id":1,"result":{"late":true}}`
		k.hears(`"late":true`)
		soon(t, func() bool { return o.live.Load() == 1 })
	}
}

// The proxy sends no messages and no token to an endpoint on another origin.
func TestOldTransportElsewhere(t *testing.T) {
	stranger := newServer(t, func(http.ResponseWriter, *http.Request, mcphttp.Message) {})
	for _, endpoint := range []string{stranger.URL + "/messages", "file:///messages", "://"} {
		o := &oldServer{endpoint: endpoint}
		got := relayed(t, newServer(t, o.serve).proxy(), initialize)
		if !strings.Contains(got["0"], "not on the origin") || len(stranger.seen()) > 0 {
			t.Errorf("%s: %q, %d requests", endpoint, got, len(stranger.seen()))
		}
	}
}

// If HTTP+SSE fails too, the answer is the server's refusal of initialize.
func TestNoOldTransport(t *testing.T) {
	for _, kind := range []string{jsonType, eventType, "text/plain"} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ mcphttp.Message) {
			body := ""
			if r.Method == http.MethodPost {
				body = `{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"another version, please"}}`
			}
			say(w, kind, http.StatusBadRequest, body)
		})
		if got := relayed(t, s.proxy(), initialize); !strings.Contains(got["0"], "another version, please") {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// A second initialize ends the first session.
func TestInitializeAgain(t *testing.T) {
	f := &forgetful{status: 404}
	s := newServer(t, f.serve)
	k := talk(t, s.proxy())
	k.greets()
	k.say(call("1", "x"))
	k.hears("s0")
	k.greets()
	k.say(call("2", "x"))
	k.hears("s0")
	soon(t, func() bool { return len(s.seen(http.MethodDelete)) == 1 })
}

// soon waits until a condition becomes true in another goroutine.
func soon(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("in vain")
}

// If the server loses every session, the proxy waits longer before each new session.
func TestLostAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var handshakes []time.Duration
		begun := time.Now()
		gets := map[string]int{}
		server := transport(func(req *http.Request, m mcphttp.Message) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			session := req.Header.Get("Mcp-Session-Id")
			switch {
			case m.Method == "initialize":
				handshakes = append(handshakes, time.Since(begun))
				res := reply(200, jsonType, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`)
				res.Header.Set("Mcp-Session-Id", fmt.Sprint("s", len(handshakes)))
				return res
			case req.Method == http.MethodGet && gets[session] == 0:
				gets[session]++
				return reply(200, eventType, ":\n\n")
			case req.Method == http.MethodGet:
				return reply(404, "", "")
			}
			return reply(202, "", "")
		})
		in, program := io.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() {
			over <- (&Proxy{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: server}}).Stdio(ctx, in, io.Discard)
		}()
		io.WriteString(program, initialize+"\n"+initialized+"\n")
		time.Sleep(time.Hour)
		mu.Lock()
		if n := len(handshakes); n < 10 || n > 75 {
			t.Errorf("%d handshakes in an hour: %v", n, handshakes[:min(n, 20)])
		}
		mu.Unlock()
		stop()
		<-over
		in.Close()
		time.Sleep(time.Minute)
	})
}

// A protocol version that the server chooses goes into the header of each request, so a long one is refused and the session ends.
func TestLongVersion(t *testing.T) {
	for size, good := range map[int]bool{maxVersion: true, maxVersion + 1: false} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
			if m.Method == "initialize" {
				w.Header().Set("Mcp-Session-Id", "s1")
				say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"%s"}}`, m.ID, strings.Repeat("2", size)))
				return
			}
			if len(r.Header.Get("Mcp-Protocol-Version")) > maxVersion {
				t.Errorf("%s has the version", m.Method)
			}
			greeted(w, m, "s1")
		})
		got := relayed(t, s.proxy(), initialize)["0"]
		if strings.Contains(got, `"result"`) != good || !good && !strings.Contains(got, "more than 100 bytes") {
			t.Errorf("%d bytes: %.300s", size, got)
		}
		for start := time.Now(); len(s.seen(http.MethodDelete)) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%d bytes: the session did not end", size)
			}
		}
	}
}

// A server runs a tool, and its response begins with an error without an id that names another reason. The program gets the result, and the tool
// does not run again.
func TestErrorBeforeTheResult(t *testing.T) {
	for _, code := range []int{mcphttp.CodeHeaderMismatch, mcphttp.CodeUnsupportedVersion} {
		for kind, format := range map[string]string{jsonType: "[%s,%s]", eventType: "data: %s\n\ndata: %s\n\n"} {
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
				refused := fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":"m","data":{"supported":["2026-07-28"]}}}`, code)
				say(w, kind, 200, fmt.Sprintf(format, refused, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, m.ID)))
			})
			got := relayed(t, s.proxy(), modern("7", "tools/call", `"name":"pay"`))["7"]
			if sent := len(s.seen("tools/call")); sent != 1 || !strings.Contains(got, `"result"`) {
				t.Errorf("%d as %s: sent %d times, answer %s", code, kind, sent, got)
			}
		}
	}
}

package mcphttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

// streamServer is a server of HTTP+SSE with one stream. post answers a POST, except that of the handshake.
type streamServer struct {
	*server
	stream chan string // sent on the stream
	open   atomic.Int32
}

func newStreamServer(t *testing.T, post func(w http.ResponseWriter, m Message)) *streamServer {
	t.Helper()
	s := &streamServer{stream: make(chan string, 10)}
	s.server = newServer(t, func(w http.ResponseWriter, r *http.Request, m Message) {
		switch {
		case r.Method == http.MethodGet:
			s.open.Add(1)
			defer s.open.Add(-1)
			say(w, eventType, 200, "event: endpoint\ndata: /post\n\n")
			for http.NewResponseController(w).Flush() == nil {
				select {
				case text := <-s.stream:
					fmt.Fprintf(w, "data: %s\n\n", text)
				case <-r.Context().Done():
					return
				}
			}
		case m.Method == "initialize":
			s.stream <- `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2024-11-05"}}`
			w.WriteHeader(202)
		default:
			post(w, m)
		}
	})
	return s
}

// session opens a session. The channel receives the messages that answer no request.
func (s *streamServer) session(t *testing.T) (*Link, *Session, <-chan Message) {
	t.Helper()
	l, received := s.link(), make(chan Message, 10)
	session, o := l.OpenEvents(t.Context(), request(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`), Message{}, func(_ *Session, m Message) bool { received <- m; return true })
	if session == nil {
		t.Fatal(o.Err)
	}
	t.Cleanup(func() { l.End(session) })
	return l, session, received
}

// awaitClosed waits until the server sees no open stream.
func (s *streamServer) awaitClosed() {
	for s.open.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// The server sends the answer on the stream before or after it refuses the POST, or breaks the connection of the POST. The answer counts.
func TestAnswerOnTheStreamOfARefusedPost(t *testing.T) {
	for _, status := range []int{0, 202, 400, 404, 500} {
		for _, late := range []bool{false, true} {
			if late && status != 404 { // only a call that would be sent again waits for the answer
				continue
			}
			var s *streamServer
			taken := make(chan struct{})
			s = newStreamServer(t, func(w http.ResponseWriter, m Message) {
				if !late {
					s.stream <- result
					s.stream <- progress
					<-taken // the client has read the answer, because it has read the next message
				}
				if status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(status)
				if late {
					w.(http.Flusher).Flush()
					s.stream <- result
				}
			})
			l, session, received := s.session(t)
			if !late {
				go func() {
					<-received
					close(taken)
				}()
			}
			o := l.Exchange(t.Context(), session, request(t, call))
			if string(o.Answer.Raw) != result || o.Kind != Answered || o.Status != 200 || o.Err != nil || o.Next(Tried{}, true) != Deliver {
				t.Errorf("%d, late %v: kind %d, answer %q, %v", status, late, o.Kind, o.Answer.Raw, o.Err)
			}
		}
	}
}

// Two requests wait with the ids 1 and "1". Each gets its own answer. If only one request waits, the quotes do not matter.
func TestIDsThatLookAlike(t *testing.T) {
	for range 20 {
		s := newStreamServer(t, func(w http.ResponseWriter, m Message) { w.WriteHeader(202) })
		l, session, _ := s.session(t)
		ids := []string{`1`, `"1"`}
		answers := make(chan [2]string, 2)
		for _, id := range ids {
			go func() {
				o := l.Exchange(t.Context(), session, request(t, `{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call"}`))
				answers <- [2]string{id, string(o.Answer.ID)}
			}()
		}
		for len(s.requests()) < 4 { // GET, initialize and both calls
			time.Sleep(time.Millisecond)
		}
		for _, id := range ids {
			s.stream <- `{"jsonrpc":"2.0","id":` + id + `,"result":{}}`
		}
		for range ids {
			if got := <-answers; got[0] != got[1] {
				t.Fatalf("the request %s got the answer to %s", got[0], got[1])
			}
		}
	}
}

// Leave ends the stream as soon as no request waits for its answer.
func TestLeave(t *testing.T) {
	s := newStreamServer(t, func(w http.ResponseWriter, m Message) { w.WriteHeader(202) })
	l, idle, _ := s.session(t)
	idle.Leave()
	<-idle.Over()
	if o := l.Exchange(t.Context(), idle, request(t, call)); o.Reason != UnknownSession {
		t.Errorf("a request after Leave: %v", o.Err)
	}
	s.awaitClosed()

	l, busy, received := s.session(t)
	answered := make(chan Outcome)
	go func() { answered <- l.Exchange(t.Context(), busy, request(t, call)) }()
	gone, cancel := context.WithCancel(t.Context())
	go func() {
		answered <- l.Exchange(gone, busy, request(t, `{"jsonrpc":"2.0","id":8,"method":"tools/call"}`))
	}()
	for len(s.requests()) < 6 { // two streams, two handshakes and both calls
		time.Sleep(time.Millisecond)
	}
	busy.Leave()
	cancel()
	if o := <-answered; o.Kind != Lost {
		t.Errorf("a request whose context ended: kind %d", o.Kind)
	}
	s.stream <- progress
	<-received // the stream is still open
	s.stream <- result
	if o := <-answered; string(o.Answer.Raw) != result {
		t.Errorf("the last answer: %v", o.Err)
	}
	<-busy.Over()
	s.awaitClosed()
	(&Session{Version: "2025-11-25", ID: "s"}).Leave() // Streamable HTTP: nothing to end
}

// An HTTP+SSE server may name an endpoint at or below the folder of its own URL. Every other URL may belong to another tenant of its origin, which
// would get the user's credentials.
func TestEndpointOfAnotherTenant(t *testing.T) {
	for _, tt := range []struct {
		path, endpoint string
		ok             bool
	}{
		{"/sse", "/messages?session=1", true}, {"/sse", "/mcp/message", true}, {"/sse/", "/messages/", true}, {"", "/messages", true}, {"/", "/messages", true},
		{"/evil/sse", "/evil/messages", true}, {"/evil/sse/", "/evil/messages", true}, {"/evil/sse", "messages", true}, {"/evil/sse", "?session=1", true},
		{"/v1/sse", "/v1/sse/message", true}, {"/evil/sse?key=1", "/evil/messages", true},
		{"/evil/sse", "/victim/mcp", false}, {"/evil/sse", "/", false}, {"/evil/sse", "/evil2/messages", false}, {"/evil/sse", "../victim/mcp", false},
		{"/evil/sse", "/evil/%2e%2e/victim/mcp", false}, {"/evil/sse", "/evil/..%2fvictim/mcp", false}, {"/a/evil/sse", "/a/victim/mcp", false},
		{"/evil", "/victim/messages", false}, {"/evil/", "/victim/messages", false}, {"/evil", "/messages", false}, {"/a/evil", "/a/messages", false}, {"/evil/ssex", "/evil/messages", false},
		{"/evil%2Fsse", "/victim/mcp", false}, {"/a/evil%2Fmcp", "/a/victim", false}, {"/evil/mcp%2F", "/evil/messages", false},
		{"/evil", "/evil/messages", true}, {"/evil/", "messages", true}, {"/evil", "?session=1", true}, {"/evil/events", "/evil/messages", true}, {"/mcp/", "/messages", true},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m Message) {
			if r.Method == http.MethodGet {
				say(w, eventType, 200, "event: endpoint\ndata: "+tt.endpoint+"\n\n")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			w.WriteHeader(http.StatusForbidden) // ends the handshake
		})
		l := &Link{URL: s.URL + tt.path, HTTP: s.Client()}
		_, o := l.OpenEvents(t.Context(), request(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`), Message{}, func(*Session, Message) bool { return true })
		_, refused := errors.AsType[*httpx.AddressError](o.Err)
		if refused == tt.ok || len(s.requests()) == 1 == tt.ok {
			t.Errorf("%s names %s: %d requests, %v", tt.path, tt.endpoint, len(s.requests()), o.Err)
		}
	}
}

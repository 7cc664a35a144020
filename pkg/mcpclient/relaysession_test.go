package mcpclient

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// talking is a program that stays connected to a relay.
type talking struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Reader
	over chan error
}

func talk(t *testing.T, c *Client) *talking {
	t.Helper()
	fromProgram, in := io.Pipe()
	out, toProgram := io.Pipe()
	p := &talking{t: t, in: in, out: bufio.NewReader(out), over: make(chan error, 1)}
	go func() {
		p.over <- c.Relay(context.WithoutCancel(t.Context()), fromProgram, toProgram)
		toProgram.Close()
	}()
	t.Cleanup(func() {
		in.Close()
		go io.Copy(io.Discard, p.out)
		if err := <-p.over; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return p
}

func (p *talking) say(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(p.in, line+"\n"); err != nil {
			p.t.Fatal(err)
		}
	}
}

// hears returns the next message of the server.
func (p *talking) hears(want string) {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		p.t.Fatalf("the program hears %q (%v), expected %s", line, err, want)
	}
}

const (
	initializeMessage  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	initializedMessage = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// A question that a server asks outside of the call reaches the program, and the answer the server.
func TestRelayQuestion(t *testing.T) {
	p := talk(t, client(t, newServer(t, newAskingServer())))
	p.say(initializeMessage)
	p.hears("protocolVersion")
	p.say(initializedMessage)
	for { // until the stream of the session is open
		p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask"}}`)
		line, err := p.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "elicitation/create") {
			break
		}
	}
	p.say(`{"jsonrpc":"2.0","id":7,"result":{"action":"accept","content":{"name":"Lin"}}}`)
	p.hears(`"structuredContent":{"action":"accept","content":{"name":"Lin"}}`)
}

// streams is a legacy server whose stream of the session goes through fates, one a request; sessions are numbered.
type streams struct {
	fates    chan string
	mu       sync.Mutex
	sessions int
	asked    []string // session and Last-Event-ID of every request for the stream
	waits    []string // pauses of the relay
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		m, _ := parseMessage(body)
		if m.method != "initialize" {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		s.mu.Lock()
		s.sessions++
		w.Header().Set("Mcp-Session-Id", fmt.Sprint("s", s.sessions))
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`, m.id)
		return
	}
	if r.Method != http.MethodGet {
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(r.Header.Get("Mcp-Session-Id")+" "+r.Header.Get("Last-Event-ID")))
	s.mu.Unlock()
	select {
	case fate := <-s.fates:
		s.meet(w, fate)
	case <-r.Context().Done():
	}
}

// pause is the relay's.
func (s *streams) pause(_ context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = append(s.waits, d.String())
	return nil
}

func (s *streams) meet(w http.ResponseWriter, fate string) {
	var status int
	if _, err := fmt.Sscan(fate, &status); err == nil {
		w.WriteHeader(status)
		return
	}
	if fate == "broken" { // which net/http does not ask for again by itself
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "what?\n")
			conn.Close()
		}
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, fate)
}

// The stream of a session outlives what may pass, ends with a refusal, and finds out that the session is lost.
func TestRelayStream(t *testing.T) {
	event := func(n int) string {
		return fmt.Sprintf("id: e%d\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/n%d\"}\n\n", n, n)
	}
	for _, tt := range []struct {
		name  string
		fates []string
		asked string // as the server sees it
		waits string // pauses
		hears int    // notifications
		posts int    // initialize, initialized, for each session
	}{
		{"none is offered", []string{"405"}, "s1", "", 0, 2},
		{"not found, never open", []string{"404"}, "s1", "", 0, 2},
		{"cut off", []string{event(1), event(2), "405"}, "s1, s1 e1, s1 e2", "1s, 1s", 2, 2},
		{"as the server says", []string{"retry: 20\n" + event(1), "405"}, "s1, s1 e1", "20ms", 1, 2},
		{"silent", []string{":\n\n", "retry: 0\n\n", ":\n\n", "405"}, "s1, s1, s1, s1", "1s, 2s, 4s", 0, 2},
		{"trouble", []string{event(1), "503", "429", "401", "broken", event(2), "405"}, "s1, s1 e1, s1 e1, s1 e1, s1 e1, s1 e1, s1 e2", "1s, 1s, 2s, 4s, 8s, 1s", 2, 2},
		{"lost session", []string{event(1), "404", event(2), "405"}, "s1, s1 e1, s2, s2 e2", "1s, 1s, 1s", 2, 4},
		{"lost again and again", []string{":\n\n", "404", ":\n\n", "404", "405"}, "s1, s1, s2, s2, s3", "1s, 1s, 1s, 2s", 0, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &streams{fates: make(chan string)}
			s := newServer(t, h)
			p := talk(t, client(t, s, func(c *Client) { c.pause = h.pause }))
			p.say(initializeMessage)
			p.hears("protocolVersion")
			p.say(initializedMessage)
			heard := 0
			for _, fate := range tt.fates {
				h.fates <- fate
				if strings.Contains(fate, "data:") {
					heard++
					p.hears(fmt.Sprintf("notifications/n%d", heard))
				}
			}
			p.in.Close()
			if err := <-p.over; err != nil {
				t.Fatal(err)
			}
			p.over <- nil // for the cleanup
			h.mu.Lock()
			defer h.mu.Unlock()
			if got := strings.Join(h.asked, ", "); got != tt.asked {
				t.Errorf("asked for: %s\nexpected %s", got, tt.asked)
			}
			if got := strings.Join(h.waits, ", "); got != tt.waits {
				t.Errorf("waited %s, expected %s", got, tt.waits)
			}
			posts := 0
			for _, m := range s.seen() {
				if m == "initialize" || m == "notifications/initialized" {
					posts++
				}
			}
			if heard != tt.hears || posts != tt.posts {
				t.Errorf("%d notifications, %d messages, expected %d, %d", heard, posts, tt.hears, tt.posts)
			}
		})
	}
}

// A cancellation is a notification for a legacy server, and the end of the stream for a modern one.
func TestRelayCancels(t *testing.T) {
	for _, modern := range []bool{true, false} {
		begun, told, ended := make(chan struct{}), make(chan struct{}), make(chan string, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			m, _ := parseMessage(body)
			switch m.method {
			case "initialize":
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`)
			case "tools/call":
				close(begun)
				select {
				case <-r.Context().Done():
					ended <- "stream"
				case <-told:
				}
			case "notifications/cancelled":
				if unquote(member(m.params, "requestId")) == "c" {
					close(told)
					ended <- "notification"
				}
				w.WriteHeader(http.StatusAccepted)
			default:
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		})
		p := talk(t, client(t, newServer(t, h)))
		want, call := "stream", modernMessage(`"c"`, "tools/call", `"name":"a"`)
		if !modern {
			want, call = "notification", `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"a"}}`
			p.say(initializeMessage)
			p.hears("protocolVersion")
		}
		p.say(call)
		<-begun
		p.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}`)
		if got := <-ended; got != want {
			t.Errorf("modern %v: the server sees the end by %s, expected by %s", modern, got, want)
		}
	}
}

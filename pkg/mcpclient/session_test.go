package mcpclient

import (
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

// streams is a server of HTTP+SSE. It answers tools/call with a status, and everything else on the stream of the session.
type streams struct {
	mu           sync.Mutex
	status       int
	opened, open int
	all          map[string]chan string // by query of the endpoint
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.serveStream(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	m, _ := mcphttp.Parse(body)
	s.mu.Lock()
	stream := s.all[r.URL.RawQuery]
	s.mu.Unlock()
	switch result := map[string]string{"initialize": `{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}`,
		"tools/list": `{"tools":[{"name":"pay","inputSchema":{"type":"object"}}]}`}[m.Method]; {
	case stream == nil:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case m.Method == "tools/call":
		http.Error(w, "no such session", s.status)
	default:
		w.WriteHeader(http.StatusAccepted)
		if result != "" {
			stream <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		}
	}
}

func (s *streams) serveStream(w http.ResponseWriter, r *http.Request) {
	stream := make(chan string, 10)
	s.mu.Lock()
	s.opened++
	s.open++
	id := fmt.Sprint("s=", s.opened)
	s.all[id] = stream
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "event: endpoint\ndata: /messages?"+id+"\n\n")
	for http.NewResponseController(w).Flush() == nil {
		select {
		case m := <-stream:
			io.WriteString(w, "data: "+m+"\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// A server of HTTP+SSE says for each call that it has lost the session. Each call opens a session, and the stream of the session before is
// closed.
func TestStreamsOfLostSessions(t *testing.T) {
	for _, status := range []int{404, 400} {
		s := &streams{status: status, all: map[string]chan string{}}
		c := client(t, newServer(t, s))
		var lines strings.Builder
		for range 4 {
			lines.WriteString(`{"tool":"pay"}` + "\n")
		}
		failed := 0
		if err := c.Batch(t.Context(), strings.NewReader(lines.String()), Batch{Parallel: 1, Done: func(_ json.RawMessage, _ Result, err error) error {
			if err != nil {
				failed++
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		var opened, open int
		for range 500 {
			s.mu.Lock()
			opened, open = s.opened, s.open
			s.mu.Unlock()
			if open <= 1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if failed != 4 || opened < 4 || open > 1 {
			t.Errorf("%d: %d calls failed, %d streams were opened, %d are open", status, failed, opened, open)
		}
		c.Close()
	}
}

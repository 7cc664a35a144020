package mcphttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpauth/internal/sse"
)

// receiveProgress is a Receive that drops all messages other than progress, as a proxy drops messages that are no valid JSON-RPC.
func receiveProgress(m Message) bool { return m.Method == "notifications/progress" }

// listenPauses returns the pauses before the first n times that Listen reopens the stream.
func listenPauses(t *testing.T, s *server, n int) []time.Duration {
	t.Helper()
	var pauses []time.Duration
	l := s.link()
	l.Pause = func(_ context.Context, d time.Duration) error {
		if pauses = append(pauses, d); len(pauses) == n {
			return errors.New("enough")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // ends a stream that Listen does not close
	defer cancel()
	l.Listen(ctx, &Session{Version: "2025-11-25", ID: "s"}, receiveProgress, nil)
	return pauses
}

// If a server ends each stream at once without a message, the pauses of Listen grow, even if each stream has a new event ID. A stream that
// delivered a message is reopened after the server's retry time.
func TestListenPauses(t *testing.T) {
	growing := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}
	polling := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
	for _, tt := range []struct {
		name, events string // %d is the number of the stream
		want         []time.Duration
	}{
		{"no event", "", growing},
		{"a server that polls", "id: %d\nretry: 0\ndata:\n\n", polling},
		{"new event IDs", "id: %d\ndata:\n\n", growing},
		{"data that is no message", "retry: 0\ndata: ping\n\n", growing},
		{"responses that nobody waits for", "retry: 0\ndata: " + `{"jsonrpc":"2.0","id":99,"result":{}}` + "\n\n", growing},
		{"messages that are dropped", "retry: 0\ndata: " + `{"method":"x"}` + "\n\n", growing},
		{"messages", "id: %d\nretry: 0\ndata: " + progress + "\n\n", slices.Repeat([]time.Duration{100 * time.Millisecond}, 8)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) {
				n++
				say(w, eventType, 200, strings.ReplaceAll(tt.events, "%d", fmt.Sprint(n)))
			})
			if got := listenPauses(t, s, len(tt.want)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, expected %v", got, tt.want)
			}
		})
	}
}

// endingTransport answers with a stream that contains nothing and ends with err after d.
type endingTransport struct {
	d   time.Duration
	err error
}

func (e *endingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {eventType}}, Body: e, Request: req}, nil
}

func (e *endingTransport) Read([]byte) (int, error) {
	time.Sleep(e.d)
	return 0, e.err
}

func (e *endingTransport) Close() error { return nil }

// A server that floods the connection keeps it open for longer than steadyTime. The pauses grow nevertheless.
func TestListenPausesAfterAFlood(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want []time.Duration
	}{
		{sse.ErrTooLarge, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		{io.ErrUnexpectedEOF, []time.Duration{time.Second, time.Second, time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var pauses []time.Duration
			l := &Link{URL: "https://mcp.test/mcp", HTTP: &http.Client{Transport: &endingTransport{steadyTime + time.Second, tt.err}}}
			l.Pause = func(_ context.Context, d time.Duration) error {
				if pauses = append(pauses, d); len(pauses) == len(tt.want) {
					return errors.New("enough")
				}
				return nil
			}
			l.Listen(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, func(Message) bool { return true }, nil)
			if !slices.Equal(pauses, tt.want) {
				t.Errorf("after %v: %v, expected %v", tt.err, pauses, tt.want)
			}
		})
	}
}

// A stream of comments or of other events without a message, compressed to a thousandth of its size, is closed after a few megabytes. Listen
// reopens the stream with growing pauses. A call fails.
func TestStreamsOfNothing(t *testing.T) {
	for name, line := range map[string]string{
		"comments":                  ":\n",
		"empty lines":               "\n",
		"event IDs":                 "id: 1\n\n",
		"data without a message":    "data: ping\n\n",
		"other events":              "event: ping\ndata: {}\n\n",
		"unexpected responses":      "data: " + `{"jsonrpc":"2.0","id":99,"result":{}}` + "\n\n",
		"dropped messages":          "data: " + `{"method":"x"}` + "\n\n",
		"comments, dropped message": strings.Repeat(":\n", 400<<10) + "data: " + `{"method":"x"}` + "\n\n",
		"comments, small messages":  strings.Repeat(":\n", 400<<10) + "data: " + progress + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bomb bytes.Buffer
			z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
			z.Write(bytes.Repeat([]byte(line), 20<<20/len(line)))
			z.Close()
			s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ Message) {
				if r.Header.Get("Accept-Encoding") != "gzip" {
					t.Errorf("the request does not accept gzip: %v", r.Header)
				}
				w.Header().Set("Content-Type", eventType)
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(bomb.Bytes())
				w.(http.Flusher).Flush()
				<-r.Context().Done() // if the client does not close the stream, the stream stays open
			})
			if got, want := listenPauses(t, s, 3), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}; !slices.Equal(got, want) {
				t.Errorf("pauses %v, expected %v", got, want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			o := s.link().Exchange(ctx, &Session{Version: "2025-11-25", ID: "s"}, request(t, call))
			if o.Kind != Answered || o.Err == nil || !strings.Contains(o.Err.Error(), sse.ErrTooLarge.Error()) {
				t.Errorf("kind %d, %v", o.Kind, o.Err)
			}
		})
	}
}

// An HTTP+SSE stream of events that nobody uses is closed as well.
func TestEventStreamsOfNothing(t *testing.T) {
	for _, line := range []string{"data: ping\n\n", "event: ping\ndata: {}\n\n", "data: " + `{"jsonrpc":"2.0","id":99,"result":{}}` + "\n\n", "data: " + `{"method":"x"}` + "\n\n"} {
		s := eventSession{waiting: map[string]chan Message{}}
		events := sse.NewReader(strings.NewReader(strings.Repeat(line, 2<<20/len(line))), 64<<20)
		if err := s.dispatchMessages(events, receiveProgress); !errors.Is(err, sse.ErrTooLarge) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// A server may send a few large messages or many small ones, each after a comment. Its streams are not closed.
func TestStreamsOfMessages(t *testing.T) {
	small := ": keep-alive " + strings.Repeat(" ", 2<<10) + "\nevent: message\nid: 1\ndata: " + progress + "\n\n"
	large := "data: " + strings.Replace(progress, "{", `{"x":"`+strings.Repeat("a", 8<<20)+`",`, 1) + "\n\n"
	for name, stream := range map[string]string{"large": strings.Repeat(large, 3), "small": strings.Repeat(small, 10_000)} {
		s := eventSession{waiting: map[string]chan Message{}}
		events := sse.NewReader(strings.NewReader(stream), 64<<20)
		if err := s.dispatchMessages(events, receiveProgress); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("HTTP+SSE, %s messages: %v", name, err)
		}
		n := 0
		e := new(Link).readEvents(Request{Receive: func(m Message) bool { n++; return receiveProgress(m) }}, io.NopCloser(strings.NewReader(stream)))
		if want := strings.Count(stream, "data: "); !errors.Is(e.err, io.EOF) || n != want || e.messages != want {
			t.Errorf("%s messages: %d of %d, %v", name, n, want, e.err)
		}
	}
}

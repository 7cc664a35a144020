package mcpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stubborn is a server without a network, so that waiting for it takes no time. It never answers what is silent, and a call neither.
type stubborn struct {
	old    bool // of 2024-11-05
	silent string
	asked  chan string
}

func (s *stubborn) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	m, _ := parseMessage(body)
	method := m.method
	if req.Method != http.MethodPost {
		method = req.Method
	}
	s.asked <- method
	if method == s.silent {
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
	answer := `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`
	switch {
	case s.old && method == "initialize" && req.URL.Path != "/messages":
		res := accepted(req)
		res.StatusCode = http.StatusMethodNotAllowed
		return res, nil
	case method == http.MethodGet && s.old:
		return unending(req, "event: endpoint\ndata: /messages\n\ndata: "+answer+"\n\n"), nil
	case method == http.MethodGet, method == "tools/call" && !s.old:
		return unending(req, ":\n\n"), nil
	case method == "initialize" && !s.old:
		return stub(req, http.Header{"Mcp-Session-Id": {"s1"}}, []byte(answer)), nil
	}
	return accepted(req), nil
}

// unending is an event stream that ends with its request.
func unending(req *http.Request, begin string) *http.Response {
	in, out := io.Pipe()
	context.AfterFunc(req.Context(), func() { out.CloseWithError(context.Cause(req.Context())) })
	go io.WriteString(out, begin)
	res := stub(req, nil, nil)
	res.Header.Set("Content-Type", "text/event-stream")
	res.Body, res.ContentLength = in, -1
	return res
}

// The relay ends soon after its input, or with its context, whatever the server holds back, and leaves nothing behind: synctest fails where
// a goroutine does.
func TestRelayEnds(t *testing.T) {
	const (
		call      = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`
		cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	)
	for _, old := range []bool{false, true} {
		for _, silent := range []string{"", "initialize", "GET", "notifications/initialized", "tools/call", "notifications/cancelled", "DELETE"} {
			for _, stopped := range []bool{false, true} {
				name := map[bool]string{false: "2025-11-25", true: "2024-11-05"}[old] + map[bool]string{false: " end ", true: " stop "}[stopped] + silent
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &stubborn{old: old, silent: silent, asked: make(chan string, 100)}
						c := &Client{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: s}}
						ctx, stop := context.WithTimeout(t.Context(), lastAnswers+closeTimeout+time.Second) // less than a notification may take
						defer stop()
						in, program := io.Pipe()
						over := make(chan error, 1)
						go func() { over <- c.Relay(ctx, in, io.Discard) }()
						go func() {
							io.WriteString(program, strings.Join([]string{initializeMessage, initializedMessage, call, cancelled, ""}, "\n"))
							if !stopped {
								program.Close()
							}
						}()
						synctest.Wait()
						if stopped {
							stop()
						}
						err := <-over
						if stopped != errors.Is(err, context.Canceled) || !stopped && err != nil {
							t.Errorf("ended with %v", err)
						}
						in.Close()
						synctest.Wait()
						close(s.asked)
						var asked []string
						for m := range s.asked {
							asked = append(asked, m)
						}
						if open := !old && silent != "initialize"; open != slices.Contains(asked, "DELETE") {
							t.Errorf("the session is not ended, or one that there is not: %q", asked)
						}
					})
				})
			}
		}
	}
}

package mcpproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpauth/internal/mcphttp"
)

// Stdio returns the error if it cannot write to the program.
func TestNoReader(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
	})
	in, w := io.Pipe() // never ends
	go io.WriteString(w, modern("1", "ping", "")+"\n")
	closed := errors.New("closed")
	if err := s.proxy().Stdio(t.Context(), in, unwritable{closed}); !errors.Is(err, closed) {
		t.Errorf("got %v", err)
	}
}

type unwritable struct{ err error }

func (u unwritable) Write([]byte) (int, error) { return 0, u.err }

// transport is a server without a network, so that synctest controls the time.
type transport func(*http.Request, mcphttp.Message) *http.Response

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) {
	m := mcphttp.Message{Method: req.Method}
	if req.Body != nil {
		body, _ := io.ReadAll(req.Body)
		if parsed, ok := mcphttp.Parse(body); ok {
			m = parsed
		}
	}
	res := f(req, m)
	if res == nil {
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
	res.Request = req
	return res, nil
}

func reply(status int, kind, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

// unending returns an event stream that ends when its request ends.
func unending(req *http.Request, begin string) *http.Response {
	in, out := io.Pipe()
	context.AfterFunc(req.Context(), func() { out.CloseWithError(context.Cause(req.Context())) })
	go io.WriteString(out, begin)
	res := reply(200, eventType, "")
	res.Body = in
	return res
}

// Stdio ends soon after its input or its context, even if the server does not answer one of the methods. Every request has an answer.
// synctest fails if a goroutine remains.
func TestEnds(t *testing.T) {
	const answer = `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t","version":"1"}}}`
	for _, old := range []bool{false, true} {
		for _, silent := range []string{"", "initialize", "GET", "notifications/initialized", "tools/call", "DELETE"} {
			for _, stopped := range []bool{false, true} {
				name := map[bool]string{false: "2025-11-25", true: "2024-11-05"}[old] + map[bool]string{false: " end ", true: " stop "}[stopped] + silent
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var mu sync.Mutex
						var asked []string
						server := transport(func(req *http.Request, m mcphttp.Message) *http.Response {
							mu.Lock()
							asked = append(asked, m.Method)
							mu.Unlock()
							switch method := m.Method; {
							case method == silent:
								return nil
							case old && method == "initialize" && req.URL.Path != "/messages":
								return reply(http.StatusMethodNotAllowed, "", "")
							case method == http.MethodGet && old:
								return unending(req, "event: endpoint\ndata: /messages\n\ndata: "+answer+"\n\n")
							case method == http.MethodGet, method == "tools/call" && !old:
								return unending(req, ":\n\n")
							case method == "initialize" && !old:
								res := reply(200, jsonType, answer)
								res.Header.Set("Mcp-Session-Id", "s1")
								return res
							}
							return reply(http.StatusAccepted, "", "")
						})
						p := &Proxy{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: server}}
						ctx, stop := context.WithTimeout(t.Context(), answerTimeout+endTimeout+time.Second)
						defer stop()
						in, program := io.Pipe()
						var out bytes.Buffer
						over := make(chan error, 1)
						go func() { over <- p.Stdio(ctx, in, &out) }()
						go func() {
							io.WriteString(program, strings.Join([]string{initialize, initialized, call("1", "a"), ""}, "\n"))
							if !stopped {
								program.Close()
							}
						}()
						synctest.Wait()
						if stopped {
							stop()
						}
						begun := time.Now()
						err := <-over
						if stopped != errors.Is(err, context.Canceled) || !stopped && err != nil {
							t.Errorf("ended with %v", err)
						}
						if took := time.Since(begun); stopped && took > endTimeout {
							t.Errorf("ended %v after the interrupt", took)
						}
						for _, id := range []string{`"id":0,`, `"id":1,`} {
							if n := strings.Count(out.String(), id); n != 1 {
								t.Errorf("%d answers with %s: %s", n, id, &out)
							}
						}
						in.Close()
						time.Sleep(10 * time.Second) // the last messages to the server have a time limit of their own
						synctest.Wait()
						if open := !old && silent != "initialize"; open != slices.Contains(asked, "DELETE") {
							t.Errorf("the session is not ended, or one that there is not: %q", asked)
						}
					})
				})
			}
		}
	}
}

// After the end of the input, Stdio waits for a slow answer.
func TestEndOfInputWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := transport(func(_ *http.Request, m mcphttp.Message) *http.Response {
			time.Sleep(45 * time.Second)
			return reply(200, jsonType, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
		})
		got := relayed(t, &Proxy{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: server}}, modern("1", "ping", ""))
		if got["1"] != `{"jsonrpc":"2.0","id":1,"result":{}}` {
			t.Errorf("got %q", got)
		}
	})
}

// The server receives messages in the required order, and a slow response delays other messages only as long as the queue allows.
func TestOrder(t *testing.T) {
	const notify = `{"jsonrpc":"2.0","method":"notifications/%s"}`
	for _, tt := range []struct {
		name  string
		slow  map[string]time.Duration // time until a message is answered, by method
		lines []string
		want  string // method of each message and the second of its arrival
	}{
		{"a notification holds up no request", map[string]time.Duration{"notifications/a": time.Hour},
			[]string{initialize, initialized, fmt.Sprintf(notify, "a"), call("1", "x")}, "initialize 0, notifications/initialized 0, notifications/a 0, tools/call 0"},
		{"notifications keep their order for two seconds", map[string]time.Duration{"notifications/a": time.Second, "notifications/b": time.Hour},
			[]string{initialize, initialized, fmt.Sprintf(notify, "a"), fmt.Sprintf(notify, "b"), fmt.Sprintf(notify, "c")}, "initialize 0, notifications/initialized 0, notifications/a 0, notifications/b 1, notifications/c 2"},
		{"everything waits for initialize", map[string]time.Duration{"initialize": 30 * time.Second},
			[]string{initialize, initialized, call("1", "x")}, "initialize 0, notifications/initialized 30, tools/call 30"},
		{"and for initialized, two seconds", map[string]time.Duration{"notifications/initialized": time.Hour},
			[]string{initialize, initialized, call("1", "x"), fmt.Sprintf(notify, "a")}, "initialize 0, notifications/initialized 0, notifications/a 2, tools/call 2"},
		{"a slow request holds up nothing", map[string]time.Duration{"tools/call": time.Hour},
			[]string{initialize, initialized, call("1", "x"), fmt.Sprintf(notify, "a"), `{"jsonrpc":"2.0","id":2,"method":"ping"}`}, "initialize 0, notifications/initialized 0, notifications/a 0, ping 0, tools/call 0"},
		{"an answer follows the progress before it", map[string]time.Duration{"notifications/progress": time.Second},
			[]string{initialize, initialized, fmt.Sprintf(notify, "progress"), `{"jsonrpc":"2.0","id":"mcpauth-question-1","result":{}}`}, "initialize 0, notifications/initialized 0, notifications/progress 0, a response 1"},
		{"a cancellation goes at once", map[string]time.Duration{"notifications/a": time.Hour, "tools/call": time.Hour},
			[]string{initialize, initialized, call("1", "x"), fmt.Sprintf(notify, "a"), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`},
			"initialize 0, notifications/initialized 0, notifications/a 0, notifications/cancelled 0, tools/call 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var mu sync.Mutex
				var seen []string
				server := transport(func(req *http.Request, m mcphttp.Message) *http.Response {
					if req.Method == http.MethodPost {
						mu.Lock()
						seen = append(seen, fmt.Sprintf("%s %.0f", orResponse(m.Method), time.Since(begun).Seconds()))
						mu.Unlock()
					}
					select {
					case <-time.After(tt.slow[m.Method]):
					case <-req.Context().Done():
						return nil
					}
					switch {
					case req.Method != http.MethodPost:
						return reply(http.StatusMethodNotAllowed, "", "")
					case m.Method == "notifications/progress": // the server asks the question that the program answers
						return reply(200, eventType, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n\n")
					case !m.IsRequest():
						return reply(http.StatusAccepted, "", "")
					}
					return reply(200, jsonType, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25"}}`, m.ID))
				})
				in, program := io.Pipe()
				ctx, stop := context.WithCancel(t.Context())
				over := make(chan error)
				go func() {
					over <- (&Proxy{URL: "http://127.0.0.1/mcp", HTTP: &http.Client{Transport: server}}).Stdio(ctx, in, io.Discard)
				}()
				for i, line := range tt.lines {
					io.WriteString(program, line+"\n")
					if i > 1 {
						synctest.Wait() // wait until the request has been sent, because the next message refers to the request
					}
				}
				time.Sleep(time.Minute)
				mu.Lock()
				got := slices.Clone(seen)
				mu.Unlock()
				head := min(2, len(got))
				slices.Sort(got[head:]) // concurrent messages have no fixed order
				want := strings.Split(tt.want, ", ")
				slices.Sort(want[2:])
				if !slices.Equal(got, want) {
					t.Errorf("the server sees %q, expected %q", got, want)
				}
				stop()
				<-over
				in.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}

// A cancellation is forwarded to a server of an earlier revision, and closes the stream to a server of 2026-07-28. A cancelled request has
// no answer.
func TestCancels(t *testing.T) {
	for _, isModern := range []bool{true, false} {
		begun, ended := make(chan struct{}), make(chan string, 2)
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, m mcphttp.Message) {
			switch {
			case m.Method == "tools/call":
				close(begun)
				<-r.Context().Done()
				ended <- "stream"
			case m.Method == "notifications/cancelled" && param(m, "requestId") == "c":
				ended <- "notification"
				w.WriteHeader(http.StatusAccepted)
			case m.Method == "ping":
				say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID))
			default:
				greeted(w, m, "s1")
			}
		})
		k := talk(t, s.proxy())
		want, request, ping := "stream", modern(`"c"`, "tools/call", `"name":"a"`), modern("9", "ping", "")
		if !isModern {
			want, request, ping = "notification", call(`"c"`, "a"), `{"jsonrpc":"2.0","id":9,"method":"ping"}`
			k.greets()
		}
		k.say(request)
		<-begun
		k.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}`)
		got := <-ended
		if !isModern && got == "stream" {
			got = <-ended
		}
		if got != want {
			t.Errorf("modern %v: the server sees the end by %s, expected by %s", isModern, got, want)
		}
		k.say(ping)
		k.hears(`"id":9`)
		for _, m := range s.seen("notifications/cancelled") {
			if id := param(m, "requestId"); id != "c" {
				t.Errorf("modern %v: the server receives a cancellation of %q, which is not pending", isModern, id)
			}
		}
	}
}

// When the program ends, the server gets no cancellation of a request that was answered meanwhile.
func TestEndCancelsOnlyPending(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) { greeted(w, m, "s1") })
	c := s.proxy().converse(t.Context(), func(mcphttp.Message) bool { return true })
	c.session = &mcphttp.Session{Version: "2025-11-25", ID: "s1"}
	for _, id := range []string{"1", "2"} {
		m, _ := mcphttp.Parse([]byte(call(id, "x")))
		r := &pendingRequest{Message: m, answer: func(mcphttp.Message, int) {
			for _, other := range []string{"1", "2"} {
				if r := c.findRequest(json.RawMessage(other)); r != nil {
					c.removeRequest(r) // the server answers the other request at the same time
				}
			}
		}}
		c.addRequest(t.Context(), r)
	}
	c.endConversation()
	if n := len(s.seen("notifications/cancelled")); n != 1 {
		t.Errorf("%d cancellations, expected 1", n)
	}
}

package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// told collects the arguments of Done.
type told struct {
	ids    []string
	failed map[string]error
	end    error // returned for every call
}

func (d *told) done(id json.RawMessage, r Result, err error) error {
	d.ids = append(d.ids, string(id))
	if err != nil || r.IsError {
		if d.failed == nil {
			d.failed = map[string]error{}
		}
		d.failed[string(id)] = err
	}
	return d.end
}

func TestBatch(t *testing.T) {
	for name, h := range map[string]http.Handler{"modern": modern(hour, nil), "legacy": legacy("2025-11-25", nil), "sse": sseServer()} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, h)
			c := client(t, s)
			var in strings.Builder
			for i := range 100 {
				fmt.Fprintf(&in, `{"tool":"add","arguments":{"a":%d,"b":1}}`+"\n", i)
			}
			in.WriteString(`{"tool":"fail"}`)
			d := told{}
			if err := c.Batch(t.Context(), strings.NewReader(in.String()), Batch{Done: d.done}); err != nil {
				t.Fatal(err)
			}
			if len(d.ids) != 101 || len(d.failed) != 1 {
				t.Errorf("%d calls, %d failed: %v", len(d.ids), len(d.failed), d.failed)
			}
			if n := len(s.requests("tools/call")); n != 101 {
				t.Errorf("%d calls at the server", n)
			}
			if n := len(s.requests("initialize")); n > 2 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

// Concurrent calls fetch the list of tools only once, and lines with unknown tools do not fetch it again.
func TestBatchAsksForListOnce(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	c := client(t, s)
	d := told{}
	in := strings.Repeat(`{"tool":"nonsense"}`+"\n"+`{"tool":"echo"}`+"\n", 50)
	if err := c.Batch(t.Context(), strings.NewReader(in), Batch{Done: d.done, Parallel: 16}); err != nil {
		t.Fatal(err)
	}
	if len(d.ids) != 100 || len(d.failed) != 50 {
		t.Errorf("%d calls, %d failed", len(d.ids), len(d.failed))
	}
	if n := len(s.requests("tools/list")); n != 1 {
		t.Errorf("%d lists, expected 1", n)
	}
}

// gateServer has a tool named gate, whose calls it answers only after open was called.
type gateServer struct {
	*testServer
	begun chan struct{}
	open  func()
}

func newGate(t *testing.T) *gateServer {
	open := make(chan struct{})
	g := &gateServer{begun: make(chan struct{}, 100), open: sync.OnceFunc(func() { close(open) })}
	server := sdkServer(hour, allVersions...)
	server.AddTool(&mcp.Tool{Name: "gate", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		g.begun <- struct{}{}
		select {
		case <-open:
		case <-ctx.Done():
		}
		return &mcp.CallToolResult{}, nil
	})
	g.testServer = newServer(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(g.open) // opened before the server is closed, because Close waits for calls
	return g
}

// lineByLine is a reader that returns one line per Read and counts the lines.
type lineByLine struct {
	mu    sync.Mutex
	lines int
	left  int
}

func (r *lineByLine) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	r.lines++
	return copy(p, `{"tool":"gate"}`+"\n"), nil
}

func (r *lineByLine) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

// Batch reads a line only when one of its concurrent calls is free to send it.
func TestBatchReadsNoFurther(t *testing.T) {
	g := newGate(t)
	c := client(t, g.testServer)
	in := &lineByLine{left: 20}
	d := told{}
	over := make(chan error, 1)
	go func() { over <- c.Batch(t.Context(), in, Batch{Parallel: 3, Done: d.done}) }()
	for range 3 {
		<-g.begun
	}
	if n := in.count(); n != 3 {
		t.Errorf("%d lines are read while 3 calls are made", n)
	}
	g.open()
	if err := <-over; err != nil || len(d.ids) != 20 {
		t.Errorf("%v, %d calls", err, len(d.ids))
	}
}

// When the context ends, Batch reports running calls to Done, and does not wait for a blocked read.
func TestBatchInterrupted(t *testing.T) {
	g := newGate(t)
	c := client(t, g.testServer)
	in, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, strings.Repeat(`{"tool":"gate"}`+"\n", 2))
	ctx, cancel := context.WithCancel(t.Context())
	d := told{}
	over := make(chan error, 1)
	go func() { over <- c.Batch(ctx, in, Batch{Done: d.done}) }()
	<-g.begun
	<-g.begun
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) || len(d.failed) != 2 {
		t.Errorf("%v, failed: %v", err, d.failed)
	}
}

// The time limit applies to each call separately.
func TestBatchTimeout(t *testing.T) {
	g := newGate(t)
	c := client(t, g.testServer)
	callText(t, c, "echo") // fetches the list first, so that no call spends its time limit on it
	d := told{}
	err := c.Batch(t.Context(), strings.NewReader(`{"tool":"gate"}`), Batch{Done: d.done, Timeout: 20 * time.Millisecond})
	if err != nil || !errors.Is(d.failed["1"], context.DeadlineExceeded) {
		t.Errorf("%v, call: %v", err, d.failed["1"])
	}
}

// An error of Done ends the batch, even if the input has ended or never ends.
func TestBatchEndsByDone(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	stop := errors.New("enough")
	for _, in := range []io.Reader{strings.NewReader(`{"tool":"echo"}`), &endless{}} {
		c := client(t, s)
		d := told{end: stop}
		if err := c.Batch(t.Context(), in, Batch{Parallel: 1, Done: d.done}); err != stop {
			t.Errorf("%T: got %v", in, err)
		}
		if len(d.ids) != 1 {
			t.Errorf("%T: %d calls", in, len(d.ids))
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, `{"tool":"echo"}`+"\n"), nil }

// If reading the input fails, Batch first makes the calls of the earlier lines, and then returns the read error.
func TestBatchReadError(t *testing.T) {
	c := client(t, newServer(t, modern(hour, nil)))
	broken := errors.New("disk")
	d := told{}
	err := c.Batch(t.Context(), io.MultiReader(strings.NewReader("{\"tool\":\"echo\"}\n{\"to"), failing{broken}), Batch{Done: d.done})
	if err != broken || !slices.Equal(d.ids, []string{"1"}) {
		t.Errorf("%v, %q", err, d.ids)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestLineReader(t *testing.T) {
	const max = 40
	long := `{"tool":"` + strings.Repeat("x", max) + `"}`
	edge := `{"tool":"` + strings.Repeat("x", max-11) + `"}`
	for _, tt := range []struct {
		name, in string
		want     []string // id and tool, or the error
	}{
		{"empty", "", nil},
		{"blank", "\n \r\n\n", nil},
		{"numbered by lines", "{\"tool\":\"a\"}\n\n{\"tool\":\"b\"}\r\n", []string{"1 a", "3 b"}},
		{"no end", `{"tool":"a","id":"x"}`, []string{`"x" a`}},
		{"too long", long + "\n{\"tool\":\"a\"}", []string{"1 has 51 bytes", "2 a"}},
		{"just not", edge + "\n", []string{"1 " + strings.Repeat("x", max-11)}},
		{"too long at the end", long, []string{"1 has 51 bytes"}},
		{"id as it stands", `{"id": 1.0e2 ,"tool":"a"}`, []string{"1.0e2 a"}},
		{"id kept", `{"id":[],"tool":5}`, []string{"[] not the name"}},
		{"not UTF-8", "{\"tool\":\"\xff\"}", []string{"1 not UTF-8"}},
		{"list", `[{"tool":"a"}]`, []string{"1 not a JSON object"}},
		{"two on a line", `{"tool":"a"}{"tool":"b"}`, []string{"1 not a JSON object"}},
		{"arguments", `{"tool":"a","arguments":"x"}`, []string{"1 not an object"}},
		{"null", `{"tool":"a","arguments":null}`, []string{"1 a"}},
		{"unknown", `{"tool":"a","params":{}}`, []string{`1 member "params"`}},
		{"twice", `{"tool":"a","tool":"b"}`, []string{`1 two members "tool"`}},
	} {
		r := newLineReader(strings.NewReader(tt.in), max)
		n := 0
		for ; ; n++ {
			l, err := r.nextLine()
			if err == errEndOfBatch {
				break
			}
			if err != nil || n == len(tt.want) {
				t.Errorf("%s: %v, %+v", tt.name, err, l)
				break
			}
			id, text, _ := strings.Cut(tt.want[n], " ")
			if string(l.id) != id || l.err == nil && l.tool != text || l.err != nil && !strings.Contains(l.err.Error(), text) {
				t.Errorf("%s: %s, tool %q, %v; expected %s", tt.name, l.id, l.tool, l.err, tt.want[n])
			}
		}
		if n != len(tt.want) {
			t.Errorf("%s: %d lines, expected %d", tt.name, n, len(tt.want))
		}
	}
}

// For every line, parseLine returns an id that is JSON, and a tool name or an error.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{`{"tool":"a","arguments":{},"id":1}`, `{"id":`, `{}`, `{"tool":"\ud800"}`, "\xff", `{"id":null,"tool":"a","x":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := parseLine(data, 7)
		if !json.Valid(l.id) || (l.tool == "") && l.err == nil || l.err == nil && l.arguments != nil && !bytes.HasPrefix(l.arguments, []byte("{")) {
			t.Errorf("%q: %+v", data, l)
		}
	})
}

// If one stream is cut off, only its own call fails, with a network error.
func TestBatchCutStream(t *testing.T) {
	for _, h := range map[string]http.Handler{"2026-07-28": modern(hour, nil), "2025-11-25": legacy("2025-11-25", nil)} {
		s := newServer(t, h)
		s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			if !bytes.Contains(body, []byte(`"cut"`)) {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {\"jsonrpc\"")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		d := told{}
		in := strings.Repeat(`{"tool":"echo"}`+"\n", 20) + `{"tool":"region","arguments":{"region":"cut"},"id":"cut"}` + "\n" + strings.Repeat(`{"tool":"echo"}`+"\n", 20)
		if err := client(t, s).Batch(t.Context(), strings.NewReader(in), Batch{Done: d.done}); err != nil {
			t.Fatal(err)
		}
		var network *url.Error
		if len(d.ids) != 41 || len(d.failed) != 1 || !errors.As(d.failed[`"cut"`], &network) {
			t.Errorf("%d calls, failed: %v", len(d.ids), d.failed)
		}
		if n := len(s.requests("initialize")); n > 1 {
			t.Errorf("%d sessions", n)
		}
	}
}

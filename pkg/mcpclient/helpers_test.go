package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"

	"mcpauth/internal/mcphttp"
)

// recorded is one request as the server saw it.
type recorded struct {
	method, rpc string // HTTP method, JSON-RPC method
	header      http.Header
	body        []byte
}

// testServer records requests and passes them to a handler.
type testServer struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex
	// in holds the requests in order of arrival.
	in []recorded
	// front, if set, may answer a request instead of the handler.
	front func(w http.ResponseWriter, r *http.Request, rpc string) bool
}

func newServer(t *testing.T, h http.Handler) *testServer {
	t.Helper()
	s := &testServer{t: t}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var m struct{ Method string }
		_ = json.Unmarshal(body, &m)
		s.mu.Lock()
		s.in = append(s.in, recorded{r.Method, m.Method, r.Header.Clone(), body})
		front := s.front
		s.mu.Unlock()
		if front != nil && front(w, r, m.Method) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Server.Close)
	return s
}

// seen returns a short text for each recorded request, and clears the record.
func (s *testServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.in {
		switch {
		case r.rpc != "":
			out = append(out, r.rpc)
		case r.method == http.MethodPost:
			out = append(out, "answer")
		default:
			out = append(out, r.method)
		}
	}
	s.in = nil
	return out
}

func (s *testServer) requests(rpc string) []recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []recorded
	for _, r := range s.in {
		if r.rpc == rpc {
			out = append(out, r)
		}
	}
	return out
}

func (s *testServer) setFront(f func(w http.ResponseWriter, r *http.Request, rpc string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front = f
}

type addIn struct {
	A int `json:"a"`
	B int `json:"b"`
}

// sdkServer is a server of the SDK with a few tools.
func sdkServer(ttl int, versions ...string) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ServerOptions{
		SupportedProtocolVersions: versions,
		SetCacheable:              func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.TTLMs = ttl },
	})
	mcp.AddTool(s, &mcp.Tool{Name: "add", Description: "adds"}, func(_ context.Context, _ *mcp.CallToolRequest, in addIn) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(in.A + in.B)}}}, nil, nil
	})
	s.AddTool(&mcp.Tool{Name: "echo", Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true}, InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(r.Params.Arguments)}}}, nil
		})
	s.AddTool(&mcp.Tool{Name: "fail", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: "no"}}}, nil
	})
	s.AddTool(&mcp.Tool{Name: "region", InputSchema: json.RawMessage(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer","x-mcp-header":"N"}}}`)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "ok"}}}, nil
		})
	s.AddTool(&mcp.Tool{Name: "slow", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for i := range 3 {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(i + 1), Total: 3, Message: "step"})
		}
		//lint:ignore SA1019 servers of earlier revisions send log messages
		_ = r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "warning", Logger: "l", Data: "careful"})
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil
	})
	return s
}

var allVersions = []string{"2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"}

const hour = 3600_000 // milliseconds

// modern, legacy and sse return handlers for the three eras.
func modern(ttl int, o *mcp.StreamableHTTPOptions) http.Handler {
	s := sdkServer(ttl, allVersions...)
	if o == nil {
		o = &mcp.StreamableHTTPOptions{}
	}
	o.Stateless = true
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o)
}

func legacy(version string, o *mcp.StreamableHTTPOptions) http.Handler {
	s := sdkServer(0, version)
	return onlyLegacy(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o))
}

// onlyLegacy refuses requests as a server without support for 2026-07-28 does.
func onlyLegacy(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") == mcphttp.Modern {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}`)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func sseServer() http.Handler {
	s := sdkServer(0, "2024-11-05")
	h := mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return s }, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.RawQuery == "" {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// client returns a client of the server; opts change it.
func client(t *testing.T, s *testServer, opts ...func(*Client)) *Client {
	t.Helper()
	c := &Client{URL: s.URL + "/mcp", HTTP: s.Client(), pause: func(context.Context, time.Duration) error { return nil }}
	for _, o := range opts {
		o(c)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func callText(t *testing.T, c *Client, tool string, args ...Arg) string {
	t.Helper()
	r, err := c.Call(t.Context(), tool, Arguments{Args: args})
	if err != nil {
		t.Fatalf("call %s: %v", tool, err)
	}
	if len(r.Content) == 0 {
		return string(r.Raw)
	}
	return r.Content[0].Text
}

func wantSeen(t *testing.T, s *testServer, want ...string) {
	t.Helper()
	if got := s.seen(); !slices.Equal(got, want) {
		t.Errorf("requests\n got %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

var sum = []Arg{{Name: "a", Value: "2"}, {Name: "b", Value: "3"}}

// fakeAuth is an OAuth handler with numbered tokens.
type fakeAuth struct {
	mu        sync.Mutex
	token     int // 0: none
	authorize int // number of calls of Authorize
	last      int // status of the last response given to Authorize
	err       error
}

func (f *fakeAuth) TokenSource(context.Context) (oauth2.TokenSource, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token == 0 {
		return nil, nil
	}
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: fmt.Sprintf("token-%d", f.token)}), nil
}

func (f *fakeAuth) Authorize(_ context.Context, _ *http.Request, res *http.Response) error {
	res.Body.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.authorize++
	f.last = res.StatusCode
	if f.err != nil {
		return f.err
	}
	f.token++
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/demo"
)

// proxied is a demo server and an MCP client that uses it through `mcpauth proxy`.
type proxied struct {
	*demo.Server
	session  *mcp.ClientSession
	progress chan *mcp.ProgressNotificationParams
}

// newProxied logs in and connects. version is the protocol version of the client; empty means the newest.
func newProxied(t *testing.T, era, version string) *proxied {
	t.Helper()
	m := newMachine(t)
	s, err := demo.Start(demo.Options{Era: era})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	m.Server = s
	if code := m.start(t, "login", "SERVER", "--name", "demo").end(t); code != 0 {
		t.Fatalf("login: exit code %d", code)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "proxy", "demo")
	c.Env, c.Dir = append(m.env, "BROWSER=none"), m.home
	p := &proxied{Server: m.Server, progress: make(chan *mcp.ProgressNotificationParams, 10)}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Lin"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			select {
			case p.progress <- r.Params:
			default: // the SDK's Close waits for this handler, and the call to be cancelled says more than anybody reads
			}
		},
	})
	p.session, err = client.Connect(t.Context(), &mcp.CommandTransport{Command: c}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.session.Close(); err != nil {
			t.Errorf("the proxy did not end cleanly: %v", err)
		}
		if n := p.sessionsEnded(); version != modernVersion && era != modernVersion && era != "sse" && n != 1 {
			t.Errorf("%d sessions were ended, expected 1", n)
		}
	})
	return p
}

const modernVersion = "2026-07-28"

// sessionsEnded counts the DELETE requests.
func (p *proxied) sessionsEnded() (n int) {
	for _, e := range p.Requests("mcp") {
		if e.Method == "DELETE" {
			n++
		}
	}
	return n
}

func (p *proxied) call(t *testing.T, tool string, arguments map[string]any) string {
	t.Helper()
	r, err := p.session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *proxied) set(t *testing.T, words string) {
	t.Helper()
	if err := p.Set(words); err != nil {
		t.Fatal(err)
	}
}

// The client of the Go SDK works through the proxy with every combination of protocol versions.
func TestProxy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, era, version string }{
		{"both new", modernVersion, modernVersion},
		{"both old", "2025-11-25", "2025-11-25"},
		{"new client, old server", "2025-06-18", ""},
		{"old client, server of both", "both", "2025-11-25"},
		{"new client, server of HTTP+SSE", "sse", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProxied(t, tt.era, tt.version)
			list, err := p.session.ListTools(t.Context(), nil)
			if err != nil || len(list.Tools) < 10 {
				t.Fatalf("tools: %v", err)
			}
			if got := p.call(t, "echo", map[string]any{"text": "line\nline"}); !strings.Contains(got, `line\nline`) {
				t.Errorf("echo: %s", got)
			}
			if got := p.call(t, "ask", nil); !strings.Contains(got, "Lin") {
				t.Errorf("ask: %s", got)
			}
			p.progresses(t)
			p.cancels(t)
			p.renews(t)
			switch tt.era {
			case modernVersion:
				if got := p.call(t, "headers", map[string]any{"region": "süd"}); !strings.Contains(got, "Mcp-Param-Region") {
					t.Errorf("headers: %s", got)
				}
			case "sse":
			default:
				p.reopens(t)
			}
		})
	}
}

func (p *proxied) progresses(t *testing.T) {
	params := &mcp.CallToolParams{Name: "slow", Arguments: map[string]any{"steps": 2, "delay_ms": 1}}
	params.SetProgressToken("p1")
	if _, err := p.session.CallTool(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	for want := 1.0; want <= 2; want++ {
		if got := <-p.progress; got.Progress != want {
			t.Errorf("progress %v, expected %v", got.Progress, want)
		}
	}
}

// A cancellation reaches the tool. If the cancellation did not reach the tool, the test would hang, because the demo server waits for
// running tools.
func (p *proxied) cancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	params := &mcp.CallToolParams{Name: "slow", Arguments: map[string]any{"steps": 2, "delay_ms": 1}}
	params.SetProgressToken("p2")
	params.Arguments = map[string]any{"steps": 60000, "delay_ms": 10}
	over := make(chan error, 1)
	go func() {
		_, err := p.session.CallTool(ctx, params)
		over <- err
	}()
	<-p.progress
	cancel()
	if err := <-over; err == nil {
		t.Error("a cancelled call gave a result")
	}
}

// If the server rejects the token during a session, the proxy renews it and the client sees no error.
func (p *proxied) renews(t *testing.T) {
	before := p.Count("refresh")
	p.set(t, "expire")
	if got := p.call(t, "echo", map[string]any{"text": "renewed"}); !strings.Contains(got, "renewed") {
		t.Errorf("after a 401: %s", got)
	}
	if n := p.Count("refresh") - before; n != 1 {
		t.Errorf("%d refreshes, expected 1", n)
	}
}

// If the server has lost the session, the proxy opens a new one with the client's initialize request.
func (p *proxied) reopens(t *testing.T) {
	before := p.Count("mcp/initialize")
	p.set(t, `mcp:method=tools/call,status=404,body=gone,n=1`)
	if got := p.call(t, "echo", map[string]any{"text": "again"}); !strings.Contains(got, "again") {
		t.Errorf("after a 404: %s", got)
	}
	if n := p.Count("mcp/initialize") - before; n != 1 {
		t.Errorf("%d new sessions, expected 1", n)
	}
}

// If stdout cannot be written, proxy ends with the same error as the other commands.
func TestProxyCannotWrite(t *testing.T) {
	env := map[string]string{"HOME": t.TempDir(), "USERPROFILE": t.TempDir(), "MCPAUTH_ACCESS_TOKEN": "t"}
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"proxy", "https://example.com/mcp"}, func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		strings.NewReader("no message\n"), fullDisk{}, &stderr)
	if code != exitInternal || !strings.Contains(stderr.String(), "hint: check that stdout") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}

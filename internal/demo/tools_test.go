// These tests call every tool, in every revision, through the client of the official SDK.

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// callTool calls a tool and returns the text and the structured content of the result.
func callTool(t *testing.T, cs *mcp.ClientSession, name, args string) (*mcp.CallToolResult, string) {
	t.Helper()
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: json.RawMessage(args)})
	if err != nil {
		t.Fatalf("%s %s: %v", name, args, err)
	}
	var parts []string
	for _, c := range res.Content {
		if text, ok := c.(*mcp.TextContent); ok {
			parts = append(parts, text.Text)
		}
	}
	return res, strings.Join(parts, "\n")
}

func TestEveryEraServesTools(t *testing.T) {
	for _, era := range Eras() {
		for _, asJSON := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s json=%t", era, asJSON), func(t *testing.T) {
				s := start(t, Options{Era: era, JSON: asJSON})
				u := newUser(t, s)
				u.login("notes:read notes:write")
				cs := u.session(t.Context(), nil)
				want := map[string]string{"both": modern, "sse": "2025-03-26"}[era]
				if want = orText(want, era); cs.InitializeResult().ProtocolVersion != want {
					t.Errorf("version %s, want %s", cs.InitializeResult().ProtocolVersion, want)
				}
				if _, text := callTool(t, cs, "echo", `{"text":"hello"}`); text != "hello" {
					t.Errorf("echo said %q", text)
				}
				if _, text := callTool(t, cs, "whoami", `{}`); !strings.Contains(text, `"subject":"demo-user"`) {
					t.Errorf("whoami said %s", text)
				}
				list, err := cs.ListTools(t.Context(), nil)
				if err != nil || len(list.Tools) != len(tools()) {
					t.Errorf("%d tools, want %d (%v)", len(list.Tools), len(tools()), err)
				}
			})
		}
	}
}

func TestTools(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read notes:write")
	var mu sync.Mutex
	var steps []string
	cs := u.session(t.Context(), &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, r.Params.Message)
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Grace", "count": 3}}, nil
		},
	})
	if _, err := cs.ListTools(t.Context(), nil); err != nil { // after ListTools, the SDK knows the tools and sends the argument region in a header too
		t.Fatal(err)
	}
	for _, c := range []struct {
		tool, args, want string
		isError          bool
	}{
		{"add", `{"a":170141183460469231731687303715884105727,"b":1}`, `{"sum":170141183460469231731687303715884105728}`, false},
		{"add", `{"a":1.5,"b":1}`, "must be integers", true},
		{"add", `{"a":1}`, "b must be", true},
		{"fail", `{"message":"no luck"}`, "no luck", true},
		{"secret_note", `{"text":"x"}`, "noted: x", false},
		{"big", `{"bytes":25}`, "0123456789012345678901234", false},
		{"ask", `{}`, `"name":"Grace"`, false},
		{"headers", `{"region":"eu"}`, `"Mcp-Param-Region":"eu"`, false},
		{"headers", `{}`, `"Authorization":"Bearer [redacted]"`, false},
		{"gallery", `{"kind":"nothing"}`, "not known", true},
	} {
		res, text := callTool(t, cs, c.tool, c.args)
		if !strings.Contains(text, c.want) || res.IsError != c.isError {
			t.Errorf("%s %s: %q (error %t), want %q (error %t)", c.tool, c.args, text, res.IsError, c.want, c.isError)
		}
	}
	if res, _ := callTool(t, cs, "gallery", `{}`); len(res.Content) != 6 {
		t.Errorf("gallery has %d blocks, want 6", len(res.Content))
	}
	res, _ := callTool(t, cs, "picture", `{"size":16}`)
	if img, ok := res.Content[0].(*mcp.ImageContent); !ok || !strings.HasPrefix(string(img.Data), "\x89PNG") {
		t.Errorf("picture is %T", res.Content[0])
	}
	params := &mcp.CallToolParams{Name: "slow", Arguments: json.RawMessage(`{"steps":3,"delay_ms":1}`)}
	params.SetProgressToken("p")
	if _, err := cs.CallTool(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	// The SDK's client returns the result although a handler may still be processing an earlier notification.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		came := slices.Contains(steps, "step 2 of 3")
		mu.Unlock()
		if came {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no progress came")
		}
	}
	if n := s.Count("tool/add"); n != 3 {
		t.Errorf("add ran %d times, want 3", n)
	}
}

func TestCutStreamResumes(t *testing.T) {
	s := start(t, Options{Era: "2025-11-25", Resumable: true})
	u := newUser(t, s)
	u.login("notes:read")
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	cs, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: s.URL(), HTTPClient: &http.Client{Transport: bearer{u.access}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	s.Inject(Fault{Endpoint: "mcp", Method: "tool/echo", Drop: "mid", N: 1})
	if _, text := callTool(t, cs, "echo", `{"text":"hello"}`); text != "hello" || s.Count("tool/echo") != 1 {
		t.Errorf("said %q after %d runs", text, s.Count("tool/echo"))
	}
}

package mcpclient

import (
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The test lists the HTTP requests of a call until its result arrives, in each era, without and with a cache.
func TestRoundTrips(t *testing.T) {
	for _, tt := range []struct {
		name       string
		server     func(*testing.T) *testServer
		cold, warm []string
		close      []string
	}{
		{"2026-07-28, JSON", func(t *testing.T) *testServer {
			return newServer(t, modern(hour, &mcp.StreamableHTTPOptions{JSONResponse: true}))
		},
			[]string{"tools/list", "tools/call"}, []string{"tools/call"}, nil},
		{"2026-07-28, event stream", func(t *testing.T) *testServer { return newServer(t, modern(hour, nil)) },
			[]string{"tools/list", "tools/call"}, []string{"tools/call"}, nil},
		{"2025-11-25", func(t *testing.T) *testServer { return newServer(t, legacy("2025-11-25", nil)) },
			[]string{"tools/list", "initialize", "notifications/initialized", "tools/list", "tools/call"}, []string{"tools/call"}, nil},
		{"2025-06-18, JSON", func(t *testing.T) *testServer {
			return newServer(t, legacy("2025-06-18", &mcp.StreamableHTTPOptions{JSONResponse: true}))
		},
			[]string{"tools/list", "initialize", "notifications/initialized", "tools/list", "tools/call"}, []string{"tools/call"}, nil},
		{"2025-03-26, stateless", func(t *testing.T) *testServer {
			return newServer(t, legacy("2025-03-26", &mcp.StreamableHTTPOptions{Stateless: true}))
		},
			[]string{"tools/list", "initialize", "notifications/initialized", "tools/list", "tools/call"}, []string{"tools/call"}, nil},
		{"2024-11-05, HTTP+SSE", func(t *testing.T) *testServer { return newServer(t, sseServer()) },
			[]string{"tools/list", "initialize", "GET", "initialize", "notifications/initialized", "tools/list", "tools/call"}, []string{"GET", "initialize", "notifications/initialized", "tools/call"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.server(t)
			dir := t.TempDir()
			cached := func(c *Client) { c.CacheDir = dir }
			c := client(t, s, cached)
			if got := callText(t, c, "add", sum...); got != "5" {
				t.Errorf("cold: got %q", got)
			}
			wantSeen(t, s, tt.cold...)
			c.Close()
			wantSeen(t, s, tt.close...)
			c = client(t, s, cached)
			if got := callText(t, c, "add", sum...); got != "5" {
				t.Errorf("warm: got %q", got)
			}
			wantSeen(t, s, tt.warm...)
			if got := callText(t, c, "add", sum...); got != "5" {
				t.Errorf("again: got %q", got)
			}
			wantSeen(t, s, "tools/call")
			c.Close()
			wantSeen(t, s, tt.close...)
		})
	}
}

package mcpproxy

import (
	"fmt"
	"strings"
	"testing"

	"mcpauth/internal/mcphttp"
)

// handleMessage reports whether a message reached the program, because a server may send only a limited number of messages that are dropped.
func TestDroppedMessages(t *testing.T) {
	session := &mcphttp.Session{Version: "2025-11-25"}
	noStream := &httpProgram{}
	noStream.conversation = (&Proxy{URL: "https://mcp.example/mcp"}).converse(t.Context(), noStream.sendUnrelated)
	noStream.requests[&pendingRequest{Message: mcphttp.NewRequest([]byte("7"), "ping", nil), receive: (&eventWriter{closed: true}).sendMessage}] = true
	program := (&Proxy{URL: "https://mcp.example/mcp"}).converse(t.Context(), func(mcphttp.Message) bool { return true })
	program.addRequest(t.Context(), &pendingRequest{Message: mcphttp.NewRequest([]byte("7"), "ping", nil), answer: func(mcphttp.Message, int) {}})
	for _, tt := range []struct {
		name, text string
		c          *conversation
		want       bool
	}{
		{"a notification", `{"jsonrpc":"2.0","method":"x"}`, program, true},
		{"a request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, program, true},
		{"without jsonrpc", `{"method":"x"}`, program, false},
		{"an array as id", `{"jsonrpc":"2.0","id":[],"method":"x"}`, program, false},
		{"null as id", `{"jsonrpc":"2.0","id":null,"method":"x"}`, program, false},
		{"two ids", `{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}`, program, false},
		{"a long id", fmt.Sprintf(`{"jsonrpc":"2.0","id":"%s","method":"x"}`, strings.Repeat("1", mcphttp.MaxRequestID)), program, false},
		{"a response", `{"jsonrpc":"2.0","id":7,"result":{}}`, program, true},
		{"another response to the same request", `{"jsonrpc":"2.0","id":7,"result":{}}`, program, false},
		{"a notification, the program has no stream", `{"jsonrpc":"2.0","method":"x"}`, noStream.conversation, false},
	} {
		m, ok := mcphttp.Parse([]byte(tt.text))
		if got := tt.c.handleMessage(nil, session, m); got != tt.want || !ok {
			t.Errorf("%s: %v, expected %v", tt.name, got, tt.want)
		}
	}
}

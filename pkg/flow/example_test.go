package flow_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/demo"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// A Go program gives a client of the official SDK the keychain, the locks and the renewal. A real Open starts a browser; here the demo
// server approves at once.
func ExampleClient_Handler() {
	ctx := context.Background()
	server, err := demo.Start(demo.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	store, err := keystore.Open(keystore.Options{Backend: keystore.File, StateDir: dir + "/state", Dir: dir + "/keys"})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &flow.Client{Store: store, Open: follow}
	target, err := flow.NewTarget(server.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := client.Handler(target, flow.HandlerOptions{})
	transport := &mcp.StreamableClientTransport{Endpoint: handler.Endpoint(ctx), OAuthHandler: handler}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil).Connect(ctx, transport, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	// Output: hello
}

// follow requests a URL as a browser does, for a server that approves without a question.
func follow(ctx context.Context, address string) error {
	go func() {
		if res, err := http.Get(address); err == nil {
			res.Body.Close()
		}
	}()
	return nil
}

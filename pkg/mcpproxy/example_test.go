package mcpproxy_test

import (
	"context"
	"fmt"
	"strings"

	"mcpauth/internal/demo"
	"mcpauth/pkg/mcpproxy"
)

// Stdio forwards each line of its input and writes the answers. In a program, the input and output are os.Stdin and os.Stdout, and Auth
// is a *flow.Handler.
func ExampleProxy_Stdio() {
	server, err := demo.Start(demo.Options{Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	proxy := &mcpproxy.Proxy{URL: server.URL()}
	in := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}` + "\n")
	var out strings.Builder
	if err := proxy.Stdio(context.Background(), in, &out); err != nil {
		fmt.Println(err)
	}
	fmt.Println(strings.Contains(out.String(), `"protocolVersion":"2025-11-25"`))
	// Output: true
}

package mcpclient_test

import (
	"context"
	"fmt"

	"mcpauth/internal/demo"
	"mcpauth/pkg/mcpclient"
)

// Arguments are converted by the tool's schema. Results are unchanged. In a program, Auth is a *flow.Handler.
func ExampleClient_Call() {
	server, err := demo.Start(demo.Options{Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := &mcpclient.Client{URL: server.URL()}
	defer client.Close()
	result, err := client.Call(context.Background(), "add", mcpclient.Arguments{Args: []mcpclient.Arg{
		{Name: "a", Value: "9007199254740993"}, {Name: "b", Value: "1"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(result.Structured))
	// Output: {"sum":9007199254740994}
}

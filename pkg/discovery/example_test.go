package discovery_test

import (
	"context"
	"fmt"
	"net/http"

	"mcpauth/internal/demo"
	"mcpauth/pkg/discovery"
)

func ExampleDiscover() {
	server, err := demo.Start(demo.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	found, err := discovery.Discover(context.Background(), server.URL(), discovery.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Server.Issuer == server.Issuer(), found.Challenge.Scope())
	for _, a := range found.Attempts {
		fmt.Println(a.Stage, a.Status)
	}
	// Output:
	// true notes:read
	// server 401
	// resource metadata 200
	// authorization server metadata 200
}

// A header may contain several challenges, and their quoted strings may contain commas and escaped quotes.
func ExampleParseChallenges() {
	h := http.Header{"Www-Authenticate": {`Basic realm="a \"b\", c\\", Bearer scope="read write", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource"`}}
	c, _ := discovery.Bearer(discovery.ParseChallenges(h))
	fmt.Println(c.Scope())
	fmt.Println(c.ResourceMetadata())
	// Output:
	// read write
	// https://mcp.example.com/.well-known/oauth-protected-resource
}

// Command bare is a minimal program that calls a tool with the official SDK and a bearer token. It has no cache, no credential store and no
// token renewal. The benchmark compares mcpauth with bare.
//
//	TOKEN=… bare ADDRESS VERSION N PARALLEL    calls echo N times over one session; VERSION is a legacy revision, or "" for the SDK's default
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: bare ADDRESS VERSION N PARALLEL")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	parallel, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "bare", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: args[0], HTTPClient: &http.Client{Transport: bearer{os.Getenv("TOKEN")}},
		DisableStandaloneSSE: true}
	session, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: args[1]})
	if err != nil {
		return err
	}
	defer session.Close()
	return calls(ctx, session, n, parallel)
}

func calls(ctx context.Context, session *mcp.ClientSession, n, parallel int) error {
	work, failed := make(chan int), make(chan error, n)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for range work {
				r, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "hello"}})
				if err != nil {
					failed <- err
					continue
				}
				if t, ok := r.Content[0].(*mcp.TextContent); ok {
					fmt.Println(t.Text)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
	close(failed)
	return <-failed
}

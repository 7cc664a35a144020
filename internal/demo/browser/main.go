// Command browser stands in for a web browser where there is none: it opens the address that it is given as its last argument, follows
// redirects, and ends. At the bundled server, which approves at once, that is all a login takes:
//
//	BROWSER="go run ./internal/demo/browser" mcpauth login http://127.0.0.1:8080/mcp
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := open(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func open(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: %s ADDRESS", args[0])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[len(args)-1], nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

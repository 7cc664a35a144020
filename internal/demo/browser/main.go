// Command browser replaces a web browser on machines without one. The command opens the URL in its last argument, follows redirects, keeps
// its cookies for the next run, and exits. The demo server approves every login at once, so this browser is enough for a login:
//
//	BROWSER="go run ./internal/demo/browser" mcpauth login http://127.0.0.1:8080/mcp
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"mcpauth/internal/demo"
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
	file, err := demo.BrowserFile()
	if err != nil {
		return err
	}
	_, err = (&demo.Browser{File: file}).Open(ctx, args[len(args)-1])
	return err
}

// Command browser stands in for a web browser where there is none: it opens the address that it is given as its last argument, follows
// redirects, keeps its cookies for the next time, and ends. At the bundled server, which approves at once, that is all a login takes:
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

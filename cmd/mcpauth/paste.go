package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"mcpauth/pkg/flow"
)

// newPaste returns a function that reads pasted callback URLs, one per line. On a terminal, the user can paste another URL after a wrong
// one. In a pipe or a file, a wrong URL ends the login with an error. If the input ends without a URL, the login still waits for the
// browser.
func (p *program) newPaste() flow.Paste {
	in := bufio.NewReader(io.LimitReader(p.stdin, maxSecret))
	person, _ := isTerminal(p.stdin)
	return func(_ context.Context, refused error) (string, error) {
		if refused != nil {
			if !person {
				return "", refused
			}
			p.out.printWarning("%v", refused)
		}
		for {
			line, err := in.ReadString('\n')
			switch {
			case strings.TrimSpace(line) != "":
				return line, nil
			case errors.Is(err, io.EOF):
				return "", io.EOF
			case err != nil:
				return "", &configError{message: "standard input: " + err.Error()}
			}
		}
	}
}

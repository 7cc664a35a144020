package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"mcpauth/pkg/flow"
)

// paste reads pasted addresses from standard input, one per line. If the input is a terminal, paste reports a wrong address and the user
// can paste another. If the input is not a terminal, a wrong address ends the login with an error. If the input ends without an address,
// the login continues to wait for the browser.
func (p *program) paste() flow.Paste {
	in := bufio.NewReader(io.LimitReader(p.stdin, maxSecret))
	person, _ := terminal(p.stdin)
	return func(_ context.Context, refused error) (string, error) {
		if refused != nil {
			if !person {
				return "", refused
			}
			p.out.warn("%v", refused)
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

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"mcpauth/pkg/flow"
)

// paste reads addresses from standard input, one a line. A person at a terminal is told what is wrong with one, and may paste another; a
// program that sends a wrong one has nobody to ask, so that is the error. Input that ends without an address leaves the browser to answer.
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

package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

// If the tool of a call has run or may have run, the hint says so before it suggests another call.
func TestHintOfACallThatRan(t *testing.T) {
	lost := &net.OpError{Op: "read", Err: context.DeadlineExceeded}
	call, repeatable := commandLine{command: "call"}, commandLine{command: "call", idempotent: true}
	pending := &mcpclient.PendingError{Err: &mcpclient.StatusError{StatusCode: 429}}
	for _, tt := range []struct {
		name  string
		typed commandLine
		sent  bool
		err   error
		want  string // the beginning of the hint
	}{
		{"time limit", call, true, context.DeadlineExceeded, mayHaveRun},
		{"time limit of a call that may be repeated", repeatable, true, context.DeadlineExceeded, "allow more time"},
		{"time limit before the first request", call, false, context.DeadlineExceeded, "allow more time"},
		{"time limit of a renewal", call, true, &flow.StageError{Stage: "refresh", Err: context.DeadlineExceeded}, "allow more time"},
		{"time limit of another command", commandLine{command: "tools"}, true, context.DeadlineExceeded, "allow more time"},
		{"no response", call, true, lost, mayHaveRun},
		{"no connection", call, true, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, "allow more time"},
		{"lost connection", call, true, &net.OpError{Op: "read", Err: errors.New("connection reset")}, mayHaveRun},
		{"refused connection", call, true, &net.OpError{Op: "dial", Err: errors.New("connection refused")}, "mcpauth discover"},
		{"5xx", call, true, &mcpclient.StatusError{StatusCode: 503}, mayHaveRun},
		{"5xx of a call that may be repeated", repeatable, true, &mcpclient.StatusError{StatusCode: 503}, "the server failed"},
		{"429", call, true, &mcpclient.StatusError{StatusCode: 429}, "the server failed"},
		{"429 to a question about the task", call, true, pending, mayHaveRun},
		{"401 to a question about the task", call, true, &mcpclient.PendingError{Err: flow.ErrLoginRequired}, mayHaveRun},
		{"time limit of a task", call, true, &mcpclient.PendingError{Err: context.DeadlineExceeded}, "wait for the result: "},
		{"output", call, true, &outputError{"stdout", errors.New("disk full")}, mayHaveRun},
		{"output of another command", commandLine{command: "read"}, true, &outputError{"stdout", errors.New("disk full")}, "check that stdout"},
		{"raw", call, true, unprintable("two blocks"), "the tool has run, and another call runs it again; "},
		{"raw of a call that may be repeated", repeatable, true, unprintable("two blocks"), "add --output json"},
		{"raw of another command", commandLine{command: "task"}, true, unprintable("two blocks"), "add --output json"},
		{"too many URLs", call, true, &protocolError{message: "many"}, mayHaveRun},
	} {
		got := hintInput{typed: tt.typed, server: "s", sent: tt.sent, err: tt.err}.hintOf(rowFor(tt.err))
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}

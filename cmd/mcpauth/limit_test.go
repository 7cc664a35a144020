package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/mcpclient"
)

// A login has no more time than its limit.
func TestLoginEndsAtItsLimit(t *testing.T) {
	p := testProgram()
	p.global.timeout = time.Minute
	var left time.Duration
	act := func(cx *cli.Context) error {
		deadline, _ := cx.Context.Deadline()
		left = time.Until(deadline)
		return nil
	}
	app := &cli.App{Commands: []*cli.Command{{Name: "login", Action: func(cx *cli.Context) error { return p.runWithLimit(cx, act) }}}}
	if err := app.RunContext(t.Context(), []string{"mcpauth", "login"}); err != nil || left <= 0 || left > time.Minute {
		t.Errorf("%s, %v", left, err)
	}
}

// A message names the time limit once, even if several wrapped errors mention it.
func TestMessageNamesTheLimitOnce(t *testing.T) {
	p := testProgram()
	p.userLine.limit = time.Minute
	err := fmt.Errorf("https://x: %w: dial: %w", context.DeadlineExceeded, context.DeadlineExceeded)
	if got, want := p.errorText(err), "https://x: not done within the time limit of 1m: dial"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.limitEnd = time.Now().Add(time.Hour) // the request had a limit of its own
	if got, want := p.errorText(err), "https://x: no response in time: dial"; got != want || timeHint(p.hintInput(err)) != "try again later" {
		t.Errorf("got %q, want %q", got, want)
	}
	p.limitEnd = time.Time{}
	for _, said := range []error{
		errors.New(`https://x: the server answers 500: "context deadline exceeded"`),
		fmt.Errorf(`the server says "context deadline exceeded" after 2s: %w`, context.DeadlineExceeded),
	} {
		want := strings.TrimSuffix(said.Error(), ": context deadline exceeded")
		if got := strings.TrimSuffix(p.errorText(said), ": not done within the time limit of 1m"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The hint to use --idempotent is not for a user who used it.
func TestIdempotentHint(t *testing.T) {
	busy := &mcpclient.StatusError{StatusCode: 429, RetryAfter: time.Second}
	for _, used := range []bool{false, true} {
		hint := laterHint(hintInput{typed: commandLine{command: "call", idempotent: used}, err: busy})
		if strings.Contains(hint, "--idempotent") == used {
			t.Errorf("used %v: %s", used, hint)
		}
	}
}

// Nothing in a hint is masked, because the user may paste the hint, and a masked quote would change what the shell runs. A hint with a secret is
// left out.
func TestHintsAreWhole(t *testing.T) {
	const hint = "mcpauth login x --scope 'AAAAAAAAAAAA$(touch x)'"
	var stderr strings.Builder
	o := &output{stderr: &stderr}
	o.writeError("insufficient_scope", "no", hint, exitAuth)
	o.secrets.AddValues("'AAAAAAAAAAAA$(touch")
	o.writeError("insufficient_scope", "with 'AAAAAAAAAAAA$(touch", hint, exitAuth)
	o.json = true
	o.writeError("insufficient_scope", "with 'AAAAAAAAAAAA$(touch", hint, exitAuth)
	if got := stderr.String(); strings.Count(got, hint) != 1 || strings.Count(got, "with '[redacted]") != 2 || strings.Count(got, "$(touch") != 1 {
		t.Errorf("got %s", got)
	}
}

package main

import (
	"testing"
	"time"

	"github.com/urfave/cli/v2"
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

package main

import (
	"strings"
	"testing"
	"time"

	"mcpauth/pkg/flow"
)

// On a terminal, the state and the bar have the same colour and five columns fit in 80 cells. A pipe gets neither colours nor bars.
func TestStatusBars(t *testing.T) {
	obtained := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	expires, half, over := obtained.Add(time.Hour), int64(1800), int64(-60)
	name, other := "notes", "old"
	list := []flow.Status{
		{Name: &name, State: "valid", ExpiresAt: &expires, ExpiresIn: &half, ObtainedAt: &obtained, Refreshable: true, Scopes: []string{strings.Repeat("scope ", 20)}},
		{Name: &other, State: "expired", ExpiresAt: &expires, ExpiresIn: &over, ObtainedAt: &obtained},
	}
	o, out := testOutput(80)
	o.outColour = true
	if err := o.statusTable(list); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[32mvalid\x1b[0m", "\x1b[32m████░░░░\x1b[0m in 30m", "\x1b[31mexpired\x1b[0m", "\x1b[31m░░░░░░░░\x1b[0m 1m ago"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	plain := strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(out.String())
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimSpace(line))); n > 80 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	o, out = testOutput(0)
	if err := o.statusTable(list); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b█░") {
		t.Errorf("piped: %q", out)
	}
}

func TestBar(t *testing.T) {
	obtained := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	expires := obtained.Add(time.Hour)
	for left, want := range map[int64]string{
		3600: "████████",
		3599: "████████",
		1800: "████░░░░",
		1:    "█░░░░░░░",
		0:    "░░░░░░░░",
		-5:   "░░░░░░░░",
		9999: "████████", // the clock was set back
	} {
		if got := lifetimeBar(flow.Status{ExpiresAt: &expires, ExpiresIn: &left, ObtainedAt: &obtained}); got != want {
			t.Errorf("%d seconds left: %s, want %s", left, got, want)
		}
	}
	left := int64(5)
	for name, s := range map[string]flow.Status{
		"unknown":     {ObtainedAt: &obtained},
		"no login":    {},
		"no lifetime": {ExpiresAt: &obtained, ExpiresIn: &left, ObtainedAt: &obtained},
	} {
		if got := lifetimeBar(s); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

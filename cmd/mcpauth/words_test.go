package main

import (
	"testing"
	"time"

	"mcpauth/pkg/flow"
)

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
		9999: "████████", // a clock that went back
	} {
		if got := bar(flow.Status{ExpiresAt: &expires, ExpiresIn: &left, ObtainedAt: &obtained}); got != want {
			t.Errorf("%d seconds left: %s, want %s", left, got, want)
		}
	}
	left := int64(5)
	for name, s := range map[string]flow.Status{
		"unknown":     {ObtainedAt: &obtained},
		"no login":    {},
		"no lifetime": {ExpiresAt: &obtained, ExpiresIn: &left, ObtainedAt: &obtained},
	} {
		if got := bar(s); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

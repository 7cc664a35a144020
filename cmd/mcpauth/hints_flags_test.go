package main

import (
	"strings"
	"testing"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
)

// A hint keeps the flags of the user, except those that the suggested flag replaces or forbids. --auth-param is repeatable.
func TestHintKeepsFlags(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		flags []string
		want  string // the end of the hint
	}{
		{"parameters of the authorization request", flow.ErrNoAnswer, []string{"--auth-param audience=a", "--auth-param acr_values=mfa"},
			"mcpauth login s --auth-param audience=a --auth-param acr_values=mfa --auth-param prompt="},
		{"no resource parameter", discovery.ErrPKCE, []string{"--no-resource"}, "mcpauth login s --no-resource --assume-pkce-s256"},
		{"unknown scopes", &flow.ScopeError{}, []string{"--name m"}, "mcpauth login s --name m --scope SCOPE"},
	} {
		got := rowFor(tt.err).hint(hintInput{typed: commandLine{command: "login", flags: newTypedFlags(tt.flags...)}, server: "s", err: tt.err})
		if !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

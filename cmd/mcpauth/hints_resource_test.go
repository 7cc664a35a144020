package main

import (
	"fmt"
	"strings"
	"testing"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/token"
)

// A hostile MCP server can name an honest authorization server, which refuses to issue a token for the hostile server. The hint says what a
// token without the parameter resource is. It is given only if the error is about the parameter, and not for an error of the identity provider.
func TestResourceHint(t *testing.T) {
	for _, tt := range []struct {
		name, code, description, flag string
		provider                      bool
		want, not                     string
	}{
		{name: "invalid_target", code: "invalid_target", want: "other servers may accept the token, and this MCP server gets it; if you trust this server: mcpauth login s --no-resource, or: mcpauth login s --resource URI"},
		{name: "Entra", code: "invalid_request", description: "AADSTS901002: not supported", want: "--no-resource"},
		{name: "a word of the parameter", code: "invalid_request", description: "the parameter resource is not supported", want: "--no-resource"},
		{name: "another word", code: "invalid_request", description: "the resource owner is not known", not: "--no-resource"},
		{name: "the flag was given", code: "invalid_target", flag: "--no-resource", want: "operator", not: "if you trust"},
		{name: "strict", code: "invalid_target", flag: "--strict", want: "the command leaves out --strict, which forbids the flag; without the resource parameter"},
		{name: "the identity provider", code: "invalid_target", provider: true, want: administrator, not: "--no-resource"},
		{name: "a word of the identity provider", code: "invalid_request", description: "the parameter resource is unknown", provider: true, not: "--no-resource"},
	} {
		var err error = &token.Error{StatusCode: 400, Code: tt.code, Description: tt.description}
		if tt.provider {
			err = fmt.Errorf("%w: %w", flow.ErrIdentityProvider, err)
		}
		a := hintInput{typed: commandLine{command: "login"}, server: "s", err: err}
		if tt.flag != "" {
			a.typed.flags = newTypedFlags(tt.flag)
		}
		got := rowFor(err).hint(a)
		if !strings.Contains(got, tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
	strict := hintInput{typed: commandLine{flags: newTypedFlags("--strict")}, server: "s"}
	if got := suggestLogin("", "--assume-pkce-s256")(strict); !strings.HasPrefix(got, "the command leaves out --strict") {
		t.Errorf("got %q", got)
	}
}

package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
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

// The hint does not suggest chmod for a folder that others use too. It recognizes such a folder, for example /tmp, by its sticky bit.
func TestModeHint(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // Windows has no sticky bit
	}
	folder := t.TempDir()
	for mode, want := range map[os.FileMode]string{0o755: "chmod 700 ", 0o777 | os.ModeSticky: "use a folder of your own: "} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		if got := modeHint(hintInput{}, &keystore.Error{Path: folder}); !strings.HasPrefix(got, want) {
			t.Errorf("%v: got %q", mode, got)
		}
	}
}

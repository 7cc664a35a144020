//go:build secretservice && linux

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSecretServiceStories runs the stories of the keychain against the session's real Secret Service, see scripts/secretservice.
func TestSecretServiceStories(t *testing.T) {
	p := stories("testdata/secretservice")
	p.Setup = func(e *testscript.Env) error {
		if err := setup(e); err != nil {
			return err
		}
		for _, name := range []string{"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"} {
			e.Setenv(name, os.Getenv(name))
		}
		e.Setenv("MCPAUTH_KEYSTORE", "")
		return nil
	}
	testscript.Run(t, p)
}

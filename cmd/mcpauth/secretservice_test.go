//go:build secretservice && linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestSecretServiceStories runs the keychain stories with the Secret Service of the session; see scripts/secretservice.
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

// TestSecretServiceHundredProcesses is TestHundredProcesses and TestShortTokens with the credential in the keyring.
func TestSecretServiceHundredProcesses(t *testing.T) {
	hundredProcesses(t, keychainEnv("keychain")...)
	shortTokens(t, keychainEnv("keychain")...)
}

// TestSecretServiceRandomKills is TestRandomKills with the credential in the keyring.
func TestSecretServiceRandomKills(t *testing.T) { randomKills(t, keychainEnv("keychain")...) }

// keychainEnv returns the environment variables with which processes find the keyring of the session.
func keychainEnv(keystore string) []string {
	return []string{"MCPAUTH_KEYSTORE=" + keystore, "DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
		"XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")}
}

// TestLockedSecretService locks the keyring of a user with a login. Every command that needs the keyring fails with a hint, sends no
// request, and stores nothing elsewhere. The test cannot unlock the keyring again, so it needs a separate session.
func TestLockedSecretService(t *testing.T) {
	m := newMachine(t, keychainEnv("auto")...)
	m.does(t, exitDone, "login", "SERVER")
	lock(t)
	m.Reset()
	m.does(t, exitDone, "status", "SERVER")
	for _, args := range [][]string{echo, {"token", "SERVER"}, {"refresh", "SERVER"}, {"login", "SERVER"}, {"logout", "SERVER"}} {
		p := m.does(t, exitKeystore, args...)
		if text := p.stderr.String(); !strings.Contains(text, "locked") || !strings.Contains(text, "hint: ") {
			t.Errorf("%q: %s", args, text)
		}
	}
	m.counts(t, map[string]int{"requests": 0})
	if _, err := os.Stat(filepath.Join(m.home, ".local", "share", "mcpauth")); err == nil {
		t.Error("auto made a file store beside the keychain")
	}
}

func lock(t *testing.T) {
	t.Helper()
	conn, err := dbus.SessionBus()
	if err != nil {
		t.Fatal(err)
	}
	var done []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := conn.Object("org.freedesktop.secrets", "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.Lock", 0,
		[]dbus.ObjectPath{"/org/freedesktop/secrets/collection/login"}).Store(&done, &prompt); err != nil || len(done) != 1 {
		t.Fatalf("lock: %v, %v", done, err)
	}
}

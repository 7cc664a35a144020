//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// A logout that is interrupted before the server has revoked the tokens says so with its exit code. The login is deleted on this machine.
func TestInterruptedLogout(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	m.set(t, "revoke:delay=20s")
	p := m.start(t, "logout", "SERVER")
	time.Sleep(time.Second)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t); code != exitInterrupted || !strings.Contains(p.stderr.String(), "revocation") {
		t.Errorf("exit code %d\n%s", code, &p.stderr)
	}
	m.does(t, exitAuth, "token", "SERVER")
}

// No session ID survives a logout whose client certificate is missing. None survives logout --all, even if a token in a variable opened the session.
func TestLogoutForgetsSessions(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	good, err := demo.Start(demo.Options{Era: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(good.Close)
	sessions := filepath.Join(u.home, ".local", "state", "mcpauth", "cache", "*.session")
	u.must(t, exitDone, "login", good.URL(), "--name", "a")
	u.must(t, exitDone, "tools", "a")
	only(t, sessions)
	missing := filepath.Join(u.home, "missing.pem")
	u.must(t, exitDone, "logout", "a", "--cert", missing) // the session cannot be ended at the server
	if files, _ := filepath.Glob(sessions); len(files) > 0 {
		t.Errorf("logout without the client certificate leaves %q", files)
	}
	u.must(t, exitDone, "login", good.URL(), "--name", "a")
	u.must(t, exitDone, "token", "a")
	env := u.env
	u.env = append(u.env, "MCPAUTH_ACCESS_TOKEN="+strings.TrimSpace(u.stdout.String()))
	u.must(t, exitDone, "tools", good.URL())
	u.env = env
	only(t, sessions)
	u.must(t, exitDone, "logout", "--all")
	if files, _ := filepath.Glob(sessions); len(files) > 0 {
		t.Errorf("logout --all leaves %q", files)
	}
}

// logout finds a stored login even if a configuration file has a syntax error.
func TestLogoutWithoutConfiguration(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "x")
	u.project(t, "{")
	u.must(t, exitDone, "logout", "x")
	if n := u.good.Count("revoked"); n == 0 {
		t.Error("no token was revoked")
	}
	u.must(t, exitUsage, "logout", "x")
}

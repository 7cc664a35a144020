//go:build unix

package main

import (
	"errors"
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

// If the server has moved since an earlier login, logout also forgets the tools, the sessions and the tasks of its former URL.
func TestLogoutForgetsTheFormerURL(t *testing.T) {
	t.Parallel()
	for era, use := range map[string][]string{"2025-11-25": {"tools", "a"}, "2026-07-28": {"call", "a", "report", "pages=1000", "--detach"}} {
		m := newMachineFor(t, demo.Options{Era: era})
		stored := func() (names []string) {
			for _, pattern := range []string{"*.mcp", "*.session", "*.task"} {
				files, err := filepath.Glob(filepath.Join(m.home, ".local", "state", "mcpauth", "*", pattern))
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, files...)
			}
			return names
		}
		m.does(t, exitDone, "login", "SERVER", "--name", "a")
		m.does(t, exitDone, use...)
		if names := stored(); len(names) != 2 {
			t.Errorf("%s: stored %q", era, names)
		}
		m.set(t, "slash=true")
		m.does(t, exitDone, "login", "SERVER", "--name", "a")
		m.does(t, exitDone, use...)
		m.does(t, exitDone, "logout", "a")
		if names := stored(); len(names) > 0 {
			t.Errorf("%s: logout leaves %q", era, names)
		}
	}
}

// Two certificates whose relative paths are equal, or that a link leads to one after the other, do not share a session.
func TestSessionsOfCertificates(t *testing.T) {
	t.Parallel()
	m := newMachineFor(t, demo.Options{Era: "2025-11-25"})
	authority, err := demo.Start(demo.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(authority.Close)
	m.does(t, exitDone, "login", "SERVER")
	m.Reset()
	for _, name := range []string{"admin", "reader"} {
		folder, link := filepath.Join(m.home, name), filepath.Join(m.home, "current.pem")
		if err := errors.Join(os.Mkdir(folder, 0o700), os.RemoveAll(link), os.Symlink(filepath.Join(folder, "other.pem"), link)); err != nil {
			t.Fatal(err)
		}
		for file, path := range map[string]string{"me.pem": "me.pem", "other.pem": "../current.pem"} {
			pem, err := authority.ClientCertificate(name+file, time.Hour)
			if err := errors.Join(err, os.WriteFile(filepath.Join(folder, file), pem, 0o600)); err != nil {
				t.Fatal(err)
			}
			p := m.prepare(t, "call", "SERVER", "echo", "text=x", "--cert", path)
			p.Dir = folder
			if err := p.Run(); err != nil {
				t.Fatalf("%s: %v %s", path, err, &p.stderr)
			}
		}
	}
	opened := 0
	for _, method := range m.methods() {
		if method == "initialize" {
			opened++
		}
	}
	if opened != 4 {
		t.Errorf("%d sessions were opened, want one for each of 4 certificates", opened)
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

//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
	"time"
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

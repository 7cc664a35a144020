//go:build linux || darwin

package flow

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// A store that can be read and not written is found out before the refresh token is sent, and before a browser opens. A limit on the size
// of files stands for a full disk.
func TestNothingIsSpentWithoutAPlaceForIt(t *testing.T) {
	const child = "FLOW_TEST_FULL_DISK"
	if os.Getenv(child) == "" { // the limit is the whole process's, and the test's own log is a file
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	b := newBench(t, demo.Options{})
	b.login(t)
	full := limitFiles(t)
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, keystore.ErrUnwritable) {
		t.Errorf("refresh: %v", err)
	}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{}); !errors.Is(err, keystore.ErrUnwritable) {
		t.Errorf("login: %v", err)
	}
	b.counts(t, map[string]int{"token": 1, "authorize": 1})
	full()
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Error(err)
	}
}

// limitFiles lets this process write no more than 100 bytes to a file, until the returned function is called.
func limitFiles(t *testing.T) (end func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // the write fails instead
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	end = func() { set(before) }
	t.Cleanup(end)
	set(syscall.Rlimit{Cur: 100, Max: before.Max})
	return end
}

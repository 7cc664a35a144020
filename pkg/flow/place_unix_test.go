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

// If the store is readable but not writable, Refresh fails before it sends the refresh token, and Login fails before it opens a browser. A
// limit on the size of files simulates a full disk.
func TestNothingIsSpentWithoutAPlaceForIt(t *testing.T) {
	const child = "FLOW_TEST_FULL_DISK"
	if os.Getenv(child) == "" { // a child process is needed, because the limit on the file size applies to the whole process, including the file with the test log
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

// limitFiles limits the files that this process writes to 100 bytes, until the returned function is called.
func limitFiles(t *testing.T) (end func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // without this, a write beyond the limit would end the process
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

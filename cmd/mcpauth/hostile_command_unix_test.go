//go:build !windows

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The command that prints an assertion runs in the folder of the login. If the user then works in a cloned repository, no command uses a
// program or a file of the repository.
func TestCommandOfAnAssertionInAClone(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	work, clone := filepath.Join(u.home, "work"), filepath.Join(u.home, "clone")
	for folder, jwt := range map[string]string{work: u.good.Assertion("ann", time.Hour), clone: u.good.Assertion("eve", time.Hour)} {
		if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "jwt"), []byte(jwt), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	marker := filepath.Join(u.home, "started")
	if err := errors.Join(os.WriteFile(filepath.Join(work, "print"), []byte("#!/bin/sh\ncat jwt\n"), 0o700),
		os.WriteFile(filepath.Join(work, "print.awk"), []byte("BEGIN { getline jwt < (ENVIRON[\"PWD\"] \"/jwt\"); print jwt }\n"), 0o600),
		os.WriteFile(filepath.Join(clone, "print"), []byte("#!/bin/sh\ntouch "+marker+"\ncat jwt\n"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]string{"program": "exec:./print", "file": "exec:cat jwt", "variable": "exec:awk -f print.awk"} {
		u.home, u.env = work, append(u.env, "PWD="+work)
		u.must(t, exitDone, "login", u.good.URL(), "--name", name, "--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion", command)
		u.home, u.env = clone, append(u.env, "PWD="+clone) // as a shell sets it after cd
		for _, args := range [][]string{{"refresh", name}, {"login", u.good.URL(), "--name", name}, {"call", name, "whoami"}} {
			u.must(t, exitDone, args...)
		}
		if got := u.stdout.String(); !strings.Contains(got, `"subject":"ann"`) {
			t.Errorf("%s: %s", command, got)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a program of the clone ran")
	}
}

//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A project file may name a pipe as an assertion or a key: nobody waits at it.
func TestProjectNamesAPipe(t *testing.T) {
	u := newUser(t)
	if err := syscall.Mkfifo(filepath.Join(u.home, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{
		"a":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"pipe"}},
		"k":{"url":"`+u.good.URL()+`","auth":{"grant":"client_credentials","clientId":"demo-public","clientKey":"pipe"}}}}`)
	u.must(t, exitDone, "trust")
	for _, name := range []string{"a", "k"} {
		u.must(t, exitUsage, "login", name)
		if !strings.Contains(u.stderr.String(), "no regular file") || u.good.Count("requests") != 0 {
			t.Errorf("%d requests, stderr %s", u.good.Count("requests"), u.stderr.String())
		}
	}
}

//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcpauth/internal/attack"
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

// The example of a tool is pasted into a shell as it is printed: no file goes to the server.
func TestPastedExample(t *testing.T) {
	w, err := attack.Start("terminal/tool-example")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	v := newVictim(t, w, "none")
	const canary = "canary-private-key"
	if err := os.WriteFile(filepath.Join(v.home, "id_rsa"), []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := v.run("login", "SERVER"); code != exitDone {
		t.Fatalf("login: %d %s", code, v.stderr.String())
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"echo", "fail"} {
		if code := v.run("tools", "SERVER", tool); code != exitDone {
			t.Fatalf("tools: %d %s", code, v.stderr.String())
		}
		_, line, _ := strings.Cut(v.stdout.String(), "\nExample:\n")
		cmd := exec.Command("sh", "-c", "mcpauth() { "+path+" --cacert "+w.CAFile()+` "$@"; }`+"\n"+line)
		cmd.Env, cmd.Dir = v.env, v.home
		out, err := cmd.CombinedOutput()
		called := false
		for _, r := range w.Requests() {
			called = called || strings.Contains(r.Body, `"name":"`+tool+`"`)
			if strings.Contains(r.Body, canary) {
				t.Errorf("the file was sent: %s", r.Body)
			}
		}
		if !called {
			t.Errorf("nothing was called by %s: %v %s", line, err, out)
		}
	}
	v.world = nil // completion comes before all flags
	for _, args := range [][]string{{"__complete", "call", w.URL(), ""}, {"__complete", "call", w.URL(), "fail", ""}} {
		if code := v.run(args...); code != exitDone || v.stdout.Len() == 0 {
			t.Errorf("%q: exit %d, %s%s", args, code, v.stdout.String(), v.stderr.String())
		}
		for word := range strings.Lines(v.stdout.String()) {
			if isFlag(word) {
				t.Errorf("%q offers %q", args, word)
			}
		}
	}
}

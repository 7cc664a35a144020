package main

import (
	"io"
	"net/http"
	"os/exec"
	"testing"

	"mcpauth/internal/demo"
)

// call closes stdout before it ends the MCP session, so the reader of stdout does not wait for the answer to the DELETE request.
func TestResultBeforeEndOfSession(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"call", "SERVER", "echo", "text=hello"}, {"tools", "SERVER"}} {
		t.Run(args[0], func(t *testing.T) {
			m := newMachine(t)
			s, err := demo.Start(demo.Options{Era: "2025-11-25"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			m.Server = s
			if code := m.start(t, "login", "SERVER").end(t); code != 0 {
				t.Fatalf("login: exit code %d", code)
			}
			if err := s.Set("mcp:method=DELETE,delay=4s"); err != nil {
				t.Fatal(err)
			}
			path, err := built()
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(path, m.words(args)...)
			c.Env, c.Dir = m.env, m.home
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(out)
			for _, r := range s.Requests("mcp") {
				if r.Method == http.MethodDelete && r.Status != 0 {
					t.Error("the session was ended before stdout was")
				}
			}
			if err != nil || len(text) == 0 {
				t.Errorf("printed %q, %v", text, err)
			}
			c.Process.Kill()
			c.Wait()
		})
	}
}

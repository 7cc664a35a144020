package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/pkg/flow"
)

// hangingWriter is an output that nobody reads. Its first write closes began, and no write ends before the test.
type hangingWriter struct {
	began chan struct{}
	once  sync.Once
	end   <-chan struct{}
}

func (w *hangingWriter) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.began) })
	<-w.end
	return len(b), nil
}

// If nobody reads the last output, the end of the time limit or one interrupt ends the process, even if the command itself ended before.
func TestLastWriteHangs(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		stdout     bool // stdout hangs, and not stderr
		interrupt  bool
		code       int
	}{
		{"a name, at the limit", "status nobody --timeout 1s", false, false, exitUsage},
		{"a name, interrupted", "status nobody", false, true, exitInterrupted},
		{"a flag, at the limit", "status nobody --keystore x --timeout 1s", false, false, exitUsage},
		{"an unknown flag, interrupted", "status --frobnicate", false, true, exitInterrupted},
		{"an unknown command, interrupted", "frobnicate", false, true, exitInterrupted},
		{"a missing command of exec, at the limit", "exec https://127.0.0.1:1/mcp --timeout 1s -- nosuchcommand", false, false, exitUsage},
		{"a missing command of exec, interrupted", "exec https://127.0.0.1:1/mcp -- nosuchcommand", false, true, exitInterrupted},
		{"a JSON error, at the limit", "status nobody --json --timeout 1s", false, false, exitUsage},
		{"an error of the batch", "call nobody --batch -", false, true, exitInterrupted},
		{"help, interrupted", "call --help", true, true, exitInterrupted},
		{"the guide, interrupted", "", true, true, exitInterrupted},
		{"the version, interrupted", "--version", true, true, exitInterrupted},
		{"a script, at the limit", "completion bash --timeout 1s", true, false, exitNetwork},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			hang := &hangingWriter{began: make(chan struct{}), end: t.Context().Done()}
			stdout, stderr := io.Writer(io.Discard), io.Writer(hang)
			if tt.stdout {
				stdout, stderr = stderr, stdout
			}
			home := t.TempDir()
			env := func(name string) (string, bool) {
				value, ok := map[string]string{"HOME": home, "MCPAUTH_KEYSTORE": "file"}[name]
				return value, ok
			}
			code := make(chan int, 1)
			go func() {
				code <- run(ctx, slices.Clone(strings.Fields(tt.args)), env, strings.NewReader(""), stdout, stderr)
			}()
			select {
			case <-hang.began:
			case got := <-code:
				t.Fatalf("exit code %d before anything was written", got)
			}
			if tt.interrupt {
				interrupt()
			}
			select {
			case got := <-code:
				if got != tt.code {
					t.Errorf("exit code %d, want %d", got, tt.code)
				}
			case <-time.After(20 * time.Second):
				t.Error("still running after 20 seconds")
			}
		})
	}
}

// A list whose reading was interrupted is not printed as if it were complete.
func TestInterruptedLists(t *testing.T) {
	p, home := testProgram(), realPath(t.TempDir())
	p.lookupEnv = func(name string) (string, bool) {
		value, ok := map[string]string{"HOME": home, "LOCALAPPDATA": home, "USERPROFILE": home}[name]
		return value, ok
	}
	if _, err := p.replaceTrusted(t.Context(), filepath.Join(home, ".mcp.json"), trustedFile{Path: filepath.Join(home, ".mcp.json"), Sum: "x"}); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := p.listTrusted(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("trust --list: %v", err)
	}
	p.out.verbose, p.global.keystore = true, "file"
	if rows, err := p.withJournals(ctx, []flow.Status{{URL: "https://x/", State: flow.StateValid}}); !errors.Is(err, context.Canceled) {
		t.Errorf("status --json --verbose: %v, %v", rows, err)
	}
}

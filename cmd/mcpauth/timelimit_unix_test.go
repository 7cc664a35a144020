//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// No read from a pipe without a writer, and no write to a pipe without a reader, keeps a command for more than two seconds after its time
// limit or the first interrupt.
func TestHangingPipes(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string]string{
		"arguments from stdin":     "call SERVER echo --args -",
		"arguments from a file":    "call SERVER echo --args @FIFO",
		"an argument from a file":  "call SERVER echo text=@FIFO",
		"a value from a file":      "call SERVER echo text:=@FIFO",
		"a batch from a file":      "call SERVER --batch FIFO",
		"answers from a file":      "call SERVER echo text=x --elicit @FIFO",
		"a header from a file":     "tools SERVER --header X:@FIFO",
		"the header of a child":    "exec SERVER --header X:@FIFO -- true",
		"a secret from stdin":      "login SERVER --client-id x --client-secret-stdin",
		"a secret from a file":     "login SERVER --client-id x --client-secret-file FIFO",
		"the answer of a browser":  "login SERVER --callback-url -",
		"authorities from a file":  "status SERVER --cacert FIFO",
		"servers without a login":  "status --config FIFO",
		"the status of a server":   "status x --config FIFO",
		"the end of a login":       "logout x --config FIFO",
		"a key file of the store":  "login SERVER --name END KEYFILE",
		"output that nobody reads": "call SERVER big bytes:=3000000 STDOUT",
		"errors that nobody reads": "call SERVER big bytes:=300000 --verbose STDERR",
	} {
		for _, end := range []string{"limit", "interrupt"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				p := m.prepare(t)
				in, stdin, err := os.Pipe() // the pipe stays open during the test
				if err != nil {
					t.Fatal(err)
				}
				unread, full, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range []*os.File{in, stdin, unread, full} {
					defer f.Close()
				}
				want, args, limit := exitNetwork, []string{}, "1m"
				if end == "limit" {
					limit = "2s"
				}
				fill(t, full)
				p.Stdin = in
				for _, word := range strings.Fields(words) {
					switch word {
					case "STDOUT":
						p.Stdout = full
					case "STDERR":
						p.Stderr = full
					case "END":
						args = append(args, end)
					case "KEYFILE": // no pipe can be a key file, so this does not hang
						want = exitKeystore
						p.Env = append(slices.Clone(p.Env), "MCPAUTH_KEYSTORE_KEY_FILE="+fifo)
					case "--":
						args = append(args, "--timeout", limit, word)
						limit = ""
					default:
						args = append(args, strings.ReplaceAll(word, "FIFO", fifo))
					}
				}
				if limit != "" {
					args = append(args, "--timeout", limit)
				}
				p.Args = append(p.Args, m.words(args)...)
				if err := p.Start(); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				if end == "interrupt" && want == exitNetwork {
					time.Sleep(2 * time.Second) // until it hangs
					want = exitInterrupted
					if err := p.Process.Signal(syscall.SIGTERM); err != nil {
						t.Fatal(err)
					}
				}
				kill := time.AfterFunc(20*time.Second, func() { p.Process.Kill() })
				defer kill.Stop()
				if code := p.end(t); code != want {
					t.Errorf("exit code %d after %s, want %d\n%s", code, time.Since(begun), want, &p.stderr)
				}
			})
		}
	}
}

// exec ends its command at the time limit, even if the command ignored an interrupt before.
func TestLimitOfAChildAfterAnInterrupt(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	p := m.prepare(t, "exec", "SERVER", "--timeout", "5s", "--", "sh", "-c", `trap "" INT; echo begins; while :; do sleep 0.1; done`)
	p.Stdout = nil
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // the command has begun
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if code := p.end(t); code != exitInterrupted || time.Since(begun) > 15*time.Second {
		t.Errorf("exit code %d after %s\n%s", code, time.Since(begun), &p.stderr)
	}
}

// A reader of stdout that is slower than the default limit gets the whole result. --timeout and an interrupt end the command nevertheless.
func TestResultIsWrittenBeyondTheDefaultLimit(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	for _, tt := range []struct {
		name        string
		timeout     time.Duration
		interrupted bool
		want        error
	}{
		{"default limit", 0, false, nil},
		{"--timeout", limit, false, context.DeadlineExceeded},
		{"interrupt", 0, true, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := testProgram()
			r, w := io.Pipe()
			p.out.stdout, p.global.timeout, p.forcedExit = w, tt.timeout, make(chan int, 2)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.interrupted {
				time.AfterFunc(limit, cancel)
			}
			time.AfterFunc(limit+2*gracePeriod, func() { io.Copy(io.Discard, r) })
			if err := p.runPunctually(ctx, limit, func() error { return p.out.writeText("a result") }); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	if err := pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for _, err := pipe.Write(make([]byte, 1<<16)); err == nil; {
		_, err = pipe.Write(make([]byte, 1<<12))
	}
}

//go:build unix

package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// If a signal or the time limit comes during the redemption of a refresh token, the process first stores the result and then ends. The next
// refresh therefore works.
func TestProcessEndsAfterRedemption(t *testing.T) {
	t.Parallel()
	interrupt := func(sig os.Signal) func(*process) { return func(p *process) { p.Process.Signal(sig) } }
	for _, tt := range []struct {
		name string
		args []string
		end  func(*process)
		exit int
	}{
		{"SIGINT", []string{"refresh", "SERVER"}, interrupt(os.Interrupt), exitInterrupted},
		{"SIGTERM", []string{"token", "SERVER", "--min-ttl", "2h"}, interrupt(syscall.SIGTERM), exitInterrupted},
		{"SIGHUP", []string{"refresh", "SERVER"}, interrupt(syscall.SIGHUP), exitInterrupted},
		{"time limit", []string{"refresh", "SERVER", "--timeout", "3s"}, func(*process) {}, exitNetwork},
		{"SIGHUP of a call", []string{"call", "SERVER", "echo", "text=x"}, interrupt(syscall.SIGHUP), exitInterrupted},
		{"SIGTERM of a proxy", []string{"proxy", "SERVER"}, interrupt(syscall.SIGTERM), exitInterrupted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.does(t, exitDone, "login", "SERVER")
			if err := m.Set("expire"); err != nil {
				t.Fatal(err)
			}
			if err := m.Set("token:grant=refresh_token,late=5s,n=1"); err != nil {
				t.Fatal(err)
			}
			p := m.prepare(t, tt.args...)
			in, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			if tt.args[0] == "proxy" {
				io.WriteString(in, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`+"\n")
			}
			until(t, "the refresh token is spent", func() bool { return m.Count("refresh") == 1 })
			tt.end(p)
			if code := p.end(t); code != tt.exit {
				t.Errorf("exit code %d, want %d\n%s", code, tt.exit, &p.stderr)
			}
			if !strings.Contains(p.stderr.String(), "finishing a request that uses a one-time secret") {
				t.Errorf("stderr does not say what is waited for:\n%s", &p.stderr)
			}
			m.does(t, exitDone, "refresh", "SERVER")
		})
	}
}

// The second interrupt ends the process at once.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	if err := m.Set("token:grant=refresh_token,late=20s,n=1"); err != nil {
		t.Fatal(err)
	}
	said, err := os.Create(t.TempDir() + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	p := m.prepare(t, "refresh", "SERVER")
	p.Stderr = said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the refresh token is spent", func() bool { return m.Count("refresh") == 1 })
	begun := time.Now()
	p.Process.Signal(os.Interrupt)
	until(t, "the process says what it waits for", func() bool {
		text, err := os.ReadFile(said.Name())
		return err == nil && strings.Contains(string(text), "finishing")
	})
	ended := make(chan bool)
	go func() {
		p.end(t)
		close(ended)
	}()
	for over := false; !over; { // an interrupt right after the first one is ignored
		p.Process.Signal(os.Interrupt)
		select {
		case <-ended:
			over = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the process lived for %s after the first interrupt", took)
	}
}

// A command ends at its time limit even if an endpoint accepts a request and never answers.
func TestTimeLimitHoldsAtHungEndpoints(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault string
		args  []string
		exit  int
	}{
		{"discovery", "mcp:hang=before", []string{"login", "SERVER"}, exitNetwork},
		{"metadata", "metadata:hang=mid", []string{"login", "SERVER"}, exitNetwork},
		{"registration", "register:hang=before", []string{"login", "SERVER", "--new-client"}, exitNetwork},
		{"revocation of another client's grant", "revoke:hang=before", []string{"login", "SERVER", "--new-client"}, exitDone},
		{"deletion of a registration", "client:hang=before", []string{"login", "SERVER", "--new-client"}, exitDone},
		{"revocation at logout", "revoke:hang=before", []string{"logout", "SERVER"}, exitDone},
		{"deletion at logout", "client:hang=before", []string{"logout", "SERVER"}, exitDone},
		{"a call", "mcp:hang=before", []string{"call", "SERVER", "echo", "text=x"}, exitNetwork},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.does(t, exitDone, "login", "SERVER")
			if err := m.Set(tt.fault); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			p := m.start(t, append(tt.args, "--timeout", "4s")...)
			if code := p.end(t); code != tt.exit {
				t.Errorf("exit code %d, want %d\n%s", code, tt.exit, &p.stderr)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %s\n%s", took, &p.stderr)
			}
			m.Set("clear")
			if tt.args[0] == "logout" {
				if out := m.does(t, exitDone, "status", "--json").stdout.String(); strings.TrimSpace(out) != "[]" {
					t.Errorf("after logout: %s", out)
				}
			}
		})
	}
}

// If a stopped process has locked a login, other commands wait for the lock only until their time limit.
func TestStoppedProcessHoldsTheLock(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	if err := m.Set("token:grant=refresh_token,late=1m,n=1"); err != nil {
		t.Fatal(err)
	}
	holder := m.start(t, "refresh", "SERVER")
	until(t, "the refresh token is spent", func() bool { return m.Count("refresh") == 1 })
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		holder.Process.Kill()
		holder.end(t)
	}()
	var wg sync.WaitGroup
	begun := time.Now()
	for _, args := range [][]string{{"refresh", "SERVER"}, {"token", "SERVER", "--min-ttl", "2h"}, {"login", "SERVER"}, {"logout", "SERVER"}} {
		p := m.start(t, append(args, "--timeout", "10s")...)
		wg.Go(func() {
			want := exitKeystore
			if args[0] == "token" {
				want = exitDone // the stored token is still valid
			}
			if code := p.end(t); code != want {
				t.Errorf("%s: exit code %d, want %d\n%s", args[0], code, want, &p.stderr)
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("%s took %s", args[0], took)
			}
		})
	}
	wg.Wait()
}

// Commands for several servers work on them concurrently. A server that answers nothing for longer than the time limit does not delay the
// others, and each server has the whole time limit.
func TestServersSideBySide(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, name := range []string{"a", "b", "c"} {
		m.does(t, exitDone, "login", "SERVER", "--name", name)
	}
	if err := m.Set("token:grant=refresh_token,delay=6s,drop=before,n=1"); err != nil {
		t.Fatal(err)
	}
	p := m.start(t, "refresh", "--all", "--timeout", "3s", "--json")
	if code := p.end(t); code != exitNetwork {
		t.Errorf("exit code %d\n%s", code, &p.stderr)
	}
	if n := strings.Count(p.stdout.String(), `"url"`); n != 2 || m.Count("refresh") != 2 {
		t.Errorf("%d of the other two were renewed, %d printed\n%s", m.Count("refresh"), n, &p.stderr)
	}
}

// timeout(1) sends its signal twice, to the process and to its group. mcpauth treats that as one interrupt.
func TestDoubledInterruptIsOne(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	if err := m.Set("token:grant=refresh_token,late=2s,n=1"); err != nil {
		t.Fatal(err)
	}
	p := m.start(t, "refresh", "SERVER")
	until(t, "the refresh token is spent", func() bool { return m.Count("refresh") == 1 })
	for range 3 {
		p.Process.Signal(syscall.SIGTERM)
		time.Sleep(20 * time.Millisecond)
	}
	if code := p.end(t); code != exitInterrupted {
		t.Errorf("exit code %d\n%s", code, &p.stderr)
	}
	m.does(t, exitDone, "refresh", "SERVER")
}

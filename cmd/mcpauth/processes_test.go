package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// machine is a user's machine with the program as it is shipped: not the test binary, which takes five times as long to start when it
// looks for races. The server rotates refresh tokens and ends the family at reuse.
type machine struct {
	*demo.Server
	home string
	env  []string
}

// built is the program that MCPAUTH_BIN names, else made once, beside the links that testscript makes and clears away.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("MCPAUTH_BIN"); path != "" {
		return path, nil
	}
	link, err := exec.LookPath("mcpauth")
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(link), "plain-mcpauth")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	return newMachineFor(t, demo.Options{}, env...)
}

// newMachineFor is a machine whose user knows a server of this kind.
func newMachineFor(t *testing.T, o demo.Options, env ...string) *machine {
	t.Helper()
	if _, err := built(); err != nil {
		t.Fatal(err)
	}
	s, err := demo.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	home := t.TempDir()
	m := &machine{Server: s, home: home, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "USERPROFILE=" + home, "MCPAUTH_KEYSTORE=file",
		"BROWSER=browser", "NO_PROXY=127.0.0.1,localhost", "TMPDIR=" + os.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}}
	m.env = append(m.env, env...)
	return m
}

// process is one run of the program.
type process struct {
	*exec.Cmd
	args           []string
	stdout, stderr bytes.Buffer
}

// words puts the server's address for SERVER.
func (m *machine) words(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == "SERVER" {
			args[i] = m.URL()
		}
	}
	return args
}

// prepare makes a run of the program; SERVER among the arguments is the server's address.
func (m *machine) prepare(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{args: m.words(args)}
	p.Cmd = exec.Command(path, p.args...)
	p.Env, p.Dir, p.Stdout, p.Stderr = m.env, m.home, &p.stdout, &p.stderr
	return p
}

// start starts it.
func (m *machine) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := m.prepare(t, args...)
	if err := p.Start(); err != nil {
		t.Error(err)
	}
	return p
}

// end waits for a process and returns its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	switch err := p.Wait(); {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		t.Errorf("%q: %v", p.args, err)
		return -1
	}
}

// does runs the program to its end and wants that exit code.
func (m *machine) does(t *testing.T, exit int, args ...string) *process {
	t.Helper()
	p := m.start(t, args...)
	if code := p.end(t); code != exit {
		t.Fatalf("%q: exit %d, want %d\n%s%s", args, code, exit, &p.stdout, &p.stderr)
	}
	return p
}

// crowd starts all of these at once and wants each to succeed and to print what it must.
func (m *machine) crowd(t *testing.T, want map[string]string, commands [][]string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, args := range commands {
		wg.Go(func() {
			p := m.start(t, args...)
			code, out := p.end(t), p.stdout.String()
			if code != exitDone || !strings.Contains(out, want[args[0]]) {
				t.Errorf("%q: exit %d, %q\n%s", args, code, out, &p.stderr)
			}
		})
	}
	wg.Wait()
}

func (m *machine) set(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if err := m.Set(w); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *machine) counts(t *testing.T, want map[string]int) {
	t.Helper()
	for kind, n := range want {
		if got := m.Count(kind); got != n {
			t.Errorf("%s: %d times, want %d", kind, got, n)
		}
	}
}

// times repeats a command.
func times(n int, args ...string) [][]string {
	commands := make([][]string, n)
	for i := range commands {
		commands[i] = args
	}
	return commands
}

var echo = []string{"call", "SERVER", "echo", "text=hello"}

func TestHundredProcesses(t *testing.T) { hundredProcesses(t) }

func hundredProcesses(t *testing.T, env ...string) {
	// The clock says that the token has expired: whoever comes first renews it, all others use what that one stored.
	t.Run("expired", func(t *testing.T) {
		m := newMachine(t, env...)
		m.set(t, "token:set.expires_in=0.001,n=1")
		m.does(t, exitDone, "login", "SERVER")
		m.set(t, "expire")
		m.crowd(t, map[string]string{"call": "hello"}, times(100, echo...))
		m.counts(t, map[string]int{"token/refresh_token": 1, "refresh": 1, "reuse": 0, "login": 1})
		m.does(t, exitDone, "refresh", "SERVER")
		m.does(t, exitDone, "logout", "SERVER")
	})
	// Only the server knows: a hundred calls are answered 401, and one refresh helps them all.
	t.Run("refused", func(t *testing.T) {
		m := newMachine(t, env...)
		m.does(t, exitDone, "login", "SERVER")
		m.set(t, "expire")
		m.crowd(t, map[string]string{"call": "hello"}, times(100, echo...))
		m.counts(t, map[string]int{"token/refresh_token": 1, "refresh": 1, "reuse": 0, "login": 1})
		m.does(t, exitDone, "logout", "SERVER")
	})
	// Everything at once: each `refresh` may renew, and the login replaces the grant that the others use. Nobody notices.
	t.Run("mixed", func(t *testing.T) {
		m := newMachine(t, env...)
		m.set(t, "token:set.expires_in=0.001,n=1")
		m.does(t, exitDone, "login", "SERVER")
		m.set(t, "expire")
		var commands [][]string
		for i := range 20 {
			commands = append(commands, []string{"refresh", "SERVER"}, []string{"token", "SERVER"}, echo)
			if i%4 == 0 {
				commands = append(commands, []string{"status", "SERVER"})
			}
		}
		commands = append(commands, []string{"login", "SERVER"})
		m.crowd(t, map[string]string{"call": "hello", "token": "demo-at-"}, commands)
		m.counts(t, map[string]int{"reuse": 0, "login": 2})
		if n := m.Live(); n != 2 {
			t.Errorf("%d grants are alive, want the replaced one and that of the second login", n)
		}
		m.does(t, exitDone, "refresh", "SERVER")
		m.does(t, exitDone, echo...)
		m.counts(t, map[string]int{"reuse": 0, "login": 2})
		m.does(t, exitDone, "logout", "SERVER")
		if n := m.Live(); n != 0 {
			t.Errorf("%d grants are alive after the logout", n)
		}
	})
	// The server gives tokens that live for less than each process wants, and a refresh ends the token before it. All processes want one at
	// the same time: whoever waited for the refresh takes what it brought, and every token that is printed works.
	t.Run("short tokens", func(t *testing.T) {
		m := newMachine(t, env...)
		m.set(t, "ttl=60s,single", "token:grant=refresh_token,late=5s,n=1")
		m.does(t, exitDone, "login", "SERVER")
		var wg sync.WaitGroup
		printed := make([]string, 30)
		for i := range printed {
			wg.Go(func() {
				p := m.start(t, "token", "SERVER", "--min-ttl", "5m")
				if code := p.end(t); code != exitDone {
					t.Errorf("exit %d\n%s", code, &p.stderr)
				}
				printed[i] = strings.TrimSpace(p.stdout.String())
			})
		}
		wg.Wait()
		m.counts(t, map[string]int{"refresh": 1, "reuse": 0})
		if all := slices.Compact(slices.Sorted(slices.Values(printed))); len(all) != 1 {
			t.Fatalf("%d different tokens were printed, want one", len(all))
		}
		m.env = append(m.env, "MCPAUTH_ACCESS_TOKEN="+printed[0])
		m.does(t, exitDone, echo...)
	})
	// Nobody is logged in: one of them asks the user, and the others wait for it.
	t.Run("no credential", func(t *testing.T) {
		m := newMachine(t, env...)
		m.crowd(t, map[string]string{"call": "hello"}, times(100, echo...))
		m.counts(t, map[string]int{"login": 1, "registered": 1, "authorize": 1, "token": 1})
		m.does(t, exitDone, "logout", "SERVER")
	})
}

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for slept := 0; !holds(); slept++ { // counted in sleeps: a machine that stands still for a while fails no test
		if slept == 20_000 {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

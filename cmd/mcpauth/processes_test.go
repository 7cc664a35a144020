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

// machine is a user's machine with the released program. The released program is tested instead of the test binary, because the test binary
// takes five times as long to start with the race detector. The server rotates refresh tokens and revokes the grant if one is used twice.
type machine struct {
	*demo.Server
	home string
	env  []string
}

// built returns the path of the program that MCPAUTH_BIN names. If it is not set, built compiles the program once, in the folder of
// testscript, which testscript removes.
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

// newMachineFor returns a machine and a server with these options.
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

// process is a run of the program.
type process struct {
	*exec.Cmd
	args           []string
	stdout, stderr bytes.Buffer
}

// words replaces SERVER by the server's address.
func (m *machine) words(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == "SERVER" {
			args[i] = m.URL()
		}
	}
	return args
}

// prepare creates a process without starting it. SERVER in the arguments stands for the server's address.
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

// does runs the program and fails the test if the exit code differs.
func (m *machine) does(t *testing.T, exit int, args ...string) *process {
	t.Helper()
	p := m.start(t, args...)
	if code := p.end(t); code != exit {
		t.Fatalf("%q: exit %d, want %d\n%s%s", args, code, exit, &p.stdout, &p.stderr)
	}
	return p
}

// crowd starts all these processes at once. Each process must succeed and print the expected text.
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

// TestHundredProcesses is not parallel, because its processes keep all processors busy, and other tests have time limits.
func TestHundredProcesses(t *testing.T) { hundredProcesses(t) }

// crowdSize returns the number of processes that run at once: a hundred, or thirty with -short.
func crowdSize() int {
	if testing.Short() {
		return 30
	}
	return 100
}

func hundredProcesses(t *testing.T, env ...string) {
	// The access token has expired by the clock. One process renews it, and all others use the new token.
	t.Run("expired", func(t *testing.T) {
		m := newMachine(t, env...)
		m.set(t, "token:set.expires_in=0.001,n=1")
		m.does(t, exitDone, "login", "SERVER")
		m.set(t, "expire")
		m.crowd(t, map[string]string{"call": "hello"}, times(crowdSize(), echo...))
		m.counts(t, map[string]int{"token/refresh_token": 1, "refresh": 1, "reuse": 0, "login": 1})
		m.does(t, exitDone, "refresh", "SERVER")
		m.does(t, exitDone, "logout", "SERVER")
	})
	// The server revoked the access token, which has not expired by the clock. A hundred calls get 401, and one refresh is enough for all.
	t.Run("refused", func(t *testing.T) {
		m := newMachine(t, env...)
		m.does(t, exitDone, "login", "SERVER")
		m.set(t, "expire")
		m.crowd(t, map[string]string{"call": "hello"}, times(crowdSize(), echo...))
		m.counts(t, map[string]int{"token/refresh_token": 1, "refresh": 1, "reuse": 0, "login": 1})
		m.does(t, exitDone, "logout", "SERVER")
	})
	// Calls, refreshes and a login run at once. Each `refresh` may renew the token, and the login replaces the grant. Nevertheless every
	// process succeeds.
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
	// Without a login, one process opens the browser and the others wait for its result.
	t.Run("no credential", func(t *testing.T) {
		m := newMachine(t, env...)
		m.crowd(t, map[string]string{"call": "hello"}, times(crowdSize(), echo...))
		m.counts(t, map[string]int{"login": 1, "registered": 1, "authorize": 1, "token": 1})
		m.does(t, exitDone, "logout", "SERVER")
	})
}

// The lifetime of a token is shorter than the --min-ttl of each process, and each refresh revokes the previous token. If processes ask
// for a token at the same time, one process refreshes and the others use its new token. Every printed token therefore works.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	shortTokens(t)
}

func shortTokens(t *testing.T, env ...string) {
	m := newMachine(t, env...)
	m.set(t, "ttl=60s,single", "token:grant=refresh_token,late=10s,n=1")
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
}

// until waits until a condition is true.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for slept := 0; !holds(); slept++ { // counts sleeps, so that suspending the machine fails no test
		if slept == 20_000 {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

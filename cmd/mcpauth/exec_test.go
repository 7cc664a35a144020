//go:build unix

package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpauth/internal/attack"
)

// running is a process of exec or proxy --listen that has printed its address.
type running struct {
	*process
	out     *bufio.Reader
	address string
}

// runs starts a command and reads an address from its first line. The line is an address, or JSON with one string that begins with http.
func (m *machine) runs(t *testing.T, args ...string) *running {
	t.Helper()
	path, _ := built()
	r := &running{process: &process{args: args, Cmd: exec.Command(path, args...)}}
	r.Env, r.Dir, r.Stderr = m.env, m.home, &r.stderr
	stdout, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(stdout)
	line, err := r.out.ReadString('\n')
	_, address, ok := strings.Cut(line, "http://")
	if err != nil || !ok {
		t.Fatalf("%q, %v\n%s", line, err, &r.stderr)
	}
	r.address = "http://" + strings.Trim(address, "\"}\n")
	return r
}

// Requests of other users of the machine and of pages in a browser are refused. The requests are those of package attack, sent to a real
// process.
func TestListenerRefusesStrangers(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "demo")
	r := m.runs(t, "proxy", "demo", "--listen", "127.0.0.1:0")
	before := m.Count("mcp")
	for _, v := range attack.Intrusions(r.address) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.address, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		v.Change(req)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound || len(body) > 0 {
			t.Errorf("%s: %d %q", v.Name, res.StatusCode, body)
		}
	}
	if n := m.Count("mcp") - before; n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	_ = r.Process.Signal(syscall.SIGTERM)
	if code := r.end(t); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, err := http.Get(r.address); err == nil {
		t.Error("the listener is still there")
	}
}

// exec passes signals on to the command and exits with the command's code, also if a signal ended the command. The listener ends with the
// command.
func TestExecSignals(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "demo")
	for _, tt := range []struct {
		name, script string
		signals      []os.Signal
		code         int
	}{
		{"each is passed on", `trap 'echo INT' INT; trap 'echo HUP' HUP; trap 'echo USR1' USR1; trap 'echo TERM; exit 7' TERM; echo $MCPAUTH_URL; while :; do sleep 0.01; done`,
			[]os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM}, 7},
		{"the command dies of one", `echo $MCPAUTH_URL; exec sleep 100`, []os.Signal{syscall.SIGINT}, 128 + int(syscall.SIGINT)},
		{"or of another", `echo $MCPAUTH_URL; exec sleep 100`, []os.Signal{syscall.SIGTERM}, 128 + int(syscall.SIGTERM)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.runs(t, "exec", "demo", "--", "sh", "-c", tt.script)
			var heard, want []string
			for _, s := range tt.signals {
				if err := r.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				if len(tt.signals) > 1 {
					line, _ := r.out.ReadString('\n')
					heard = append(heard, strings.TrimSpace(line))
					want = append(want, strings.TrimPrefix(map[os.Signal]string{syscall.SIGINT: "INT", syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1", syscall.SIGTERM: "TERM"}[s], "SIG"))
				}
			}
			_, _ = io.Copy(io.Discard, r.out)
			if code := r.end(t); code != tt.code || r.stderr.String() != "" {
				t.Errorf("exit code %d, expected %d\n%s", code, tt.code, &r.stderr)
			}
			if !slices.Equal(heard, want) {
				t.Errorf("the command hears %q, expected %q", heard, want)
			}
			if _, err := http.Get(r.address); err == nil {
				t.Error("the listener is still there")
			}
		})
	}
}

// A second SIGTERM kills a command that ignores signals. A second SIGINT does not.
func TestExecOfADeafCommand(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "demo")
	r := m.runs(t, "exec", "demo", "--", "sh", "-c", `trap '' TERM HUP; trap 'echo INT' INT; echo $MCPAUTH_URL; while :; do sleep 0.01; done`)
	for range 3 {
		_ = r.Process.Signal(os.Interrupt)
		if line, err := r.out.ReadString('\n'); line != "INT\n" {
			t.Fatalf("the command hears %q, %v", line, err)
		}
	}
	ended := make(chan int)
	go func() { ended <- r.end(t) }()
	late := time.After(30 * time.Second)
	for {
		_ = r.Process.Signal(syscall.SIGTERM)
		select {
		case code := <-ended:
			if code != 128+int(syscall.SIGKILL) {
				t.Errorf("exit code %d\n%s", code, &r.stderr)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-late:
			r.Process.Kill()
			t.Fatal("the command outlives every SIGTERM")
		}
	}
}

// The command that exec runs does not get the variables from which mcpauth read secrets. It also does not get the variables with the
// addresses of an outer exec.
func TestChildEnvironment(t *testing.T) {
	p := testProgram()
	p.secrets = []string{"Bearer secret-of-a-header", "short"}
	variables := map[string]string{"FLAG": "true", "HALF": "half-of-it", "no_proxy": "a.example"}
	p.lookupEnv = func(name string) (string, bool) { return variables[name], true }
	p.hideVariables("FLAG", "HALF")
	got := p.childEnvironment([]string{"PATH=/bin", "MCPAUTH_ACCESS_TOKEN=t", "MCPAUTH_URL_OUTER=x", "A=secret-of-a-header", "B=Bearer secret-of-a-header", "C=short", "D=hort", "E=", "FLAG=true", "CI=true", "HALF=half-of-it", "COPY=half-of-it", "NAMED=HALF=half"},
		map[string]string{"MCPAUTH_URL": "http://127.0.0.1:1/x/mcp"})
	if want := []string{"PATH=/bin", "D=hort", "E=", "CI=true", "NAMED=HALF=half", "MCPAUTH_URL=http://127.0.0.1:1/x/mcp", "NO_PROXY=a.example,127.0.0.1", "no_proxy=a.example,127.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	store := []string{"MCPAUTH_KEYSTORE_URL=postgres://u@h/db", "PGPASSWORD=a", "PGSSLPASSWORD=b"}
	if got := p.childEnvironment(slices.Clone(store), nil); !slices.Equal(got, store[1:]) {
		t.Errorf("without a database, the command gets %q", got)
	}
	variables["MCPAUTH_KEYSTORE"] = "postgres" // the command may open no store, or another one
	if got := p.childEnvironment(store, nil); len(got) > 0 {
		t.Errorf("the command gets %q", got)
	}
}

// Messages mask a literal value of --header, and a child process does not get a variable with that value. A short value, such as 1, is
// ordinary text.
func TestLiteralHeadersAreHidden(t *testing.T) {
	p := testProgram()
	for _, header := range []string{"Authorization: Bearer canary-of-the-user", "Cookie: theme=dark; session=canary-of-the-session", "X-Api-Key: abc123def456", "X-Project: mcpauth-is-my-project", "X-Debug: 1"} {
		if err := p.global.headers.Set(header); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.mergeHeaders(nil); err != nil {
		t.Fatal(err)
	}
	if got := p.out.secrets.MaskValues("canary-of-the-user canary-of-the-session 1 dark"); got != "[redacted] [redacted] 1 dark" {
		t.Errorf("got %q", got)
	}
	got := p.childEnvironment([]string{"TOKEN=canary-of-the-user", "SESSION=canary-of-the-session", "KEY=abc123def456", "HEADER=Bearer canary-of-the-user", `JSON={"key":"abc123def456"}`,
		"PWD=/home/ann/mcpauth-is-my-project", "SHLVL=1"}, nil)
	if !slices.Equal(got, []string{"PWD=/home/ann/mcpauth-is-my-project", "SHLVL=1"}) {
		t.Errorf("the command gets %q", got)
	}
}

func TestAddressVariable(t *testing.T) {
	for word, want := range map[string]string{"linear": "MCPAUTH_URL_LINEAR", "my-server.2": "MCPAUTH_URL_MY_SERVER_2", "https://mcp.example.com:8443/mcp": "MCPAUTH_URL_MCP_EXAMPLE_COM", "süd": "MCPAUTH_URL_S_D"} {
		if got := addressVariable(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}

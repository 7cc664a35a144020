// Text of a server on a real terminal. The tests run on Linux only, because a test can create a terminal there without a library. The
// tested code is the same on all systems.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"mcpauth/internal/attack"
)

// terminalPair opens a pseudo-terminal and returns both ends.
func terminalPair(t *testing.T) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { outer.Close() })
	var unlock, number int32
	control := func(request uintptr, arg *int32) {
		conn, err := outer.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(conn.Control(func(fd uintptr) {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(arg))); errno != 0 {
				t.Error(errno)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	control(syscall.TIOCSPTLCK, &unlock)
	control(syscall.TIOCGPTN, &number)
	if inner, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return outer, inner
}

// onTerminal runs a program with a terminal as its output, and returns the output.
func onTerminal(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	outer, inner := terminalPair(t)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(cmd.Env, "TERM=xterm", "NO_COLOR=1"), inner, inner
	var seen bytes.Buffer
	read := make(chan struct{})
	go func() { io.Copy(&seen, outer); close(read) }()
	err := cmd.Run()
	inner.Close()
	<-read // the reader ends when every process has closed the terminal
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(seen.String(), "\r\n", "\n") // the terminal driver converts line ends
}

func TestTerminalIsNotCommanded(t *testing.T) {
	t.Parallel()
	for name, commands := range map[string][][]string{
		"terminal/tools":                        {{"tools", "SERVER"}, {"tools", "SERVER", "echo"}},
		"terminal/tool-name":                    {{"tools", "SERVER"}},
		"terminal/tool-default":                 {{"tools", "SERVER", "echo"}},
		"call/question-terminal":                {{"call", "SERVER", "echo", "text=x"}},
		"terminal/tool-result":                  {{"call", "SERVER", "echo", "text=x"}},
		"terminal/rpc-error":                    {{"call", "SERVER", "echo", "text=x"}, {"call", "SERVER", "echo", "text=x", "--json"}},
		"terminal/error-page":                   {{"call", "SERVER", "add", "a:=1", "b:=2"}},
		"terminal/scope":                        {{"login", "SERVER"}, {"status"}, {"status", "SERVER"}},
		"terminal/token-error":                  {{"login", "SERVER"}},
		"terminal/authorization-error":          {{"login", "SERVER"}, {"login", "SERVER", "--json"}},
		"address/issuer-escape":                 {{"login", "SERVER"}, {"login", "SERVER", "-v"}, {"discover", "SERVER"}},
		"terminal/scopes-supported":             {{"discover", "SERVER"}},
		"terminal/issuer":                       {{"discover", "SERVER"}},
		"terminal/resource":                     {{"discover", "SERVER"}},
		"answer/redirect-loop":                  {{"discover", "SERVER"}},
		"address/redirect-resource-to-stranger": {{"login", "SERVER", "-v"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := attack.Start(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			v := newVictim(t, w, "none")
			if !w.Begun() {
				if code := v.run("login", "SERVER"); code != exitDone {
					t.Fatalf("login: %d %s", code, v.stderr.String())
				}
				if err := w.Begin(); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range commands {
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "SERVER", w.URL())
				}
				cmd := exec.Command("mcpauth", append([]string{"--cacert", v.world.CAFile()}, args...)...)
				cmd.Env, cmd.Dir = v.env, v.home
				seen := onTerminal(t, cmd)
				if bad := control(strings.ReplaceAll(seen, "\r\x1b[K", "")); bad != "" { // mcpauth writes this sequence itself, to clear its progress bar
					t.Errorf("%q: the terminal got %q:\n%.1000q", args, bad, seen)
				}
				if seen == "" {
					t.Errorf("%q printed nothing", args)
				}
			}
		})
	}
}

// Data that is written to a pipe is not changed.
func TestDataStaysByteForByte(t *testing.T) {
	t.Parallel()
	w, err := attack.Start("terminal/tool-result")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	v := newVictim(t, w, "none")
	if code := v.run("login", "SERVER"); code != exitDone {
		t.Fatalf("login: %d %s", code, v.stderr.String())
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	if code := v.run("call", "SERVER", "echo", "text=x"); code != exitDone || v.stdout.String() != "x"+attack.Nasty+"\n" {
		t.Errorf("exit %d, stdout %q", code, v.stdout.String())
	}
}

// The progress of a call or a task appears as a bar on a terminal, and nowhere else. The bar is cleared at the end.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	for _, tt := range []struct {
		args, end string
		bars      []string
	}{
		{"call SERVER slow", "done after 5 steps\n", []string{"[####....................] step 1 of 5", "[########################] step 5 of 5"}},
		{"call SERVER report", "report: 3 pages\n", []string{"[###.....................] page 0 of 3", "[.###....................] page "}},
		{"call SERVER slow --quiet", "done after 5 steps\n", nil},
	} {
		args := strings.Fields(tt.args)
		seen := onTerminal(t, m.prepare(t, args...).Cmd)
		shown := strings.Split(seen, "\r\x1b[K")
		if shown[len(shown)-1] != tt.end || tt.bars == nil && len(shown) != 1 {
			t.Errorf("%s: in the end the terminal shows %q after %q", tt.args, shown[len(shown)-1], seen)
		}
		for _, bar := range tt.bars {
			if !strings.Contains(seen, bar) {
				t.Errorf("%s: no bar %q in %q", tt.args, bar, seen)
			}
		}
		if p := m.does(t, exitDone, args...); p.stderr.Len() != 0 || p.stdout.String() != tt.end {
			t.Errorf("%s, not on a terminal: %q %q", tt.args, &p.stdout, &p.stderr)
		}
	}
}

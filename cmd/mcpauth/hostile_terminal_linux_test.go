// These tests look at a real terminal: what a server may put into it, and what it may not. Elsewhere than on a terminal, data stays byte
// for byte. Linux makes terminals without help; what is tested does not differ between systems.

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

// terminalPair opens a new terminal: what is written to one end is read from the other.
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

// onTerminal runs the program with its output on a terminal, and returns what came there.
func (v *victim) onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	outer, inner := terminalPair(t)
	cmd := exec.Command("mcpauth", append([]string{"--cacert", v.world.CAFile()}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(v.env, "TERM=xterm", "NO_COLOR=1"), v.home, inner, inner
	var seen bytes.Buffer
	read := make(chan struct{})
	go func() { io.Copy(&seen, outer); close(read) }()
	err := cmd.Run()
	inner.Close()
	<-read // ends when nobody holds the inner end any more
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(seen.String(), "\r\n", "\n") // the terminal's own line ends
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
				seen := v.onTerminal(t, args...)
				if bad := control(strings.ReplaceAll(seen, "\r\x1b[K", "")); bad != "" { // that clears our own progress bar
					t.Errorf("%q: the terminal got %q:\n%.1000q", args, bad, seen)
				}
				if seen == "" {
					t.Errorf("%q printed nothing", args)
				}
			}
		})
	}
}

// Data that goes elsewhere than to a terminal stays as the server sent it.
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

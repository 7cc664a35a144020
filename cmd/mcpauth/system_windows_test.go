package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"mcpauth/internal/demo"
)

// Fifty processes renew one login.
func TestWindowsFiftyRefreshes(t *testing.T) {
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	m.set(t, "expire")
	m.crowd(t, map[string]string{"call": "hello"}, times(50, echo...))
	m.counts(t, map[string]int{"refresh": 1, "reuse": 0, "login": 1})
	m.does(t, exitDone, "logout", "SERVER")
}

// A home folder with blanks and umlauts, and longer than MAX_PATH.
func TestWindowsHomes(t *testing.T) {
	for _, name := range []string{"Zoë Müller", strings.Repeat("lang ", 30) + "ß"} {
		m := newMachine(t)
		home := filepath.Join(m.home, name, "AppData", "Local")
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		m.env = append(m.env, "LOCALAPPDATA="+home)
		m.does(t, exitDone, "login", "SERVER", "--name", "n")
		m.set(t, "expire")
		m.does(t, exitDone, "call", "n", "echo", "text=hello")
		if found, err := filepath.Glob(filepath.Join(home, "mcpauth", "*.credential")); err != nil || len(found) != 1 {
			t.Errorf("credentials: %q %v", found, err)
		}
		m.does(t, exitDone, "logout", "n")
	}
}

// The files that an earlier version stored below the home folder are moved once.
func TestWindowsFoldersAreMoved(t *testing.T) {
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "old") // without LOCALAPPDATA mcpauth uses the folders of earlier versions
	local := filepath.Join(m.home, "AppData", "Local")
	m.env = append(m.env, "LOCALAPPDATA="+local)
	m.crowd(t, map[string]string{"call": "hello"}, times(10, "call", "old", "echo", "text=hello"))
	m.does(t, exitDone, "refresh", "old")
	for _, old := range []string{".local/state/mcpauth", ".local/share/mcpauth"} {
		if _, err := os.Stat(filepath.Join(m.home, old)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", old, err)
		}
	}
	m.counts(t, map[string]int{"login": 1})
}

// If the access list of the credential folder allows everybody to read it, the folder is refused, and the command in the hint corrects
// that.
func TestWindowsOpenFolder(t *testing.T) {
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "n")
	folder := filepath.Join(m.home, ".local", "share", "mcpauth")
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;WD)")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := sd.DACL()
	if err != nil {
		t.Fatal(err)
	}
	if err := windows.SetNamedSecurityInfo(folder, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION, nil, nil, list, nil); err != nil {
		t.Fatal(err)
	}
	p := m.does(t, exitKeystore, "call", "n", "echo", "text=hello")
	if !strings.Contains(p.stderr.String(), "icacls") {
		t.Errorf("stderr: %s", &p.stderr)
	}
}

// Tokens of about the maximum size of an item in the Credential Manager (2560 bytes), and much larger ones. Logout leaves nothing.
func TestWindowsCredentialManager(t *testing.T) {
	before := items(t)
	for _, size := range []int{40, 1200, 2500, 2559, 2560, 2561, 20000} {
		m := newMachine(t, "MCPAUTH_KEYSTORE=keychain")
		m.set(t, fmt.Sprint("bytes=", size))
		m.does(t, exitDone, "login", "SERVER", "--name", "n")
		if p := m.does(t, exitDone, "status", "n", "--json"); !strings.Contains(p.stdout.String(), `"keystore": "keychain"`) {
			t.Errorf("status: %s", &p.stdout)
		}
		m.does(t, exitDone, "refresh", "n")
		m.does(t, exitDone, "call", "n", "echo", "text=hello")
		if items(t) == before {
			t.Error("nothing is in the Credential Manager")
		}
		m.does(t, exitDone, "logout", "n")
		if n := items(t); n != before {
			t.Errorf("%d bytes: %d items are left", size, n-before)
		}
	}
}

// items returns the number of items of mcpauth in the Credential Manager.
func items(t *testing.T) int {
	t.Helper()
	advapi := windows.NewLazySystemDLL("advapi32.dll")
	var count uint32
	var list uintptr
	r, _, err := advapi.NewProc("CredEnumerateW").Call(0, 0, uintptr(unsafe.Pointer(&count)), uintptr(unsafe.Pointer(&list)))
	switch {
	case r != 0:
		_, _, _ = advapi.NewProc("CredFree").Call(list)
	case err != windows.ERROR_NOT_FOUND:
		t.Fatal(err)
	}
	return int(count)
}

// Ctrl-C and Ctrl-Break end a call that waits for the server. The exit code is 130.
func TestWindowsInterrupts(t *testing.T) {
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "n")
	console, err := exec.LookPath("console")
	if err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string]int{"Ctrl-C": windows.CTRL_C_EVENT, "Ctrl-Break": windows.CTRL_BREAK_EVENT} {
		t.Run(name, func(t *testing.T) {
			p := m.prepare(t, "call", "n", "slow", "steps=1", "delay_ms=60000")
			p.Args = append([]string{console, fmt.Sprint(event), p.Path}, p.args...)
			p.Path = console
			p.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NO_WINDOW} // a separate console
			in, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			m.interrupted(t, p, in)
		})
	}
}

func (m *machine) interrupted(t *testing.T, p *process, in io.Closer) {
	t.Helper()
	before := m.Count("tool/slow")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the tool runs", func() bool { return m.Count("tool/slow") > before })
	in.Close()
	ended := make(chan int, 1)
	go func() { ended <- p.end(t) }()
	select {
	case code := <-ended:
		if code != exitInterrupted {
			t.Errorf("exit %d, want %d\n%s", code, exitInterrupted, &p.stderr)
		}
	case <-time.After(20 * time.Second):
		p.Process.Kill()
		t.Error("it goes on")
	}
}

func init() { programs["console"] = consoleMain }

// consoleMain runs a program and, at the end of its own input, presses a key: Ctrl-C or Ctrl-Break. Windows sends the key to every process
// on the console, so only consoleMain and its program may share the console.
func consoleMain() {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	event, _ := strconv.Atoi(os.Args[1])
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := windows.GenerateConsoleCtrlEvent(uint32(event), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = cmd.Wait()
	os.Exit(cmd.ProcessState.ExitCode())
}

// A program starts the proxy, exchanges messages with it and exits.
func TestWindowsProxyAsAChild(t *testing.T) {
	m := newMachineFor(t, demo.Options{})
	m.does(t, exitDone, "login", "SERVER", "--name", "n")
	p := m.prepare(t, "proxy", "n")
	p.Stdout = nil
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || !bytes.Contains(line, []byte(`"serverInfo"`)) {
		t.Errorf("%s %v", line, err)
	}
	in.Close()
	_, _ = io.Copy(io.Discard, out)
	if code := p.end(t); code != exitDone {
		t.Errorf("exit %d\n%s", code, &p.stderr)
	}
}

// The command of exec reaches the server, and exec exits with its code.
func TestWindowsExec(t *testing.T) {
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER", "--name", "n")
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := m.does(t, exitDone, "exec", "n", "--", "cmd", "/c", program, "call", "%MCPAUTH_URL%", "echo", "text=hello")
	if !strings.HasPrefix(p.stdout.String(), "hello") {
		t.Errorf("stdout: %s", &p.stdout)
	}
	m.does(t, 3, "exec", "n", "--", "cmd", "/c", "exit", "3")
}

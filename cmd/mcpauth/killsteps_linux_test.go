package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// A tracer process runs mcpauth with ptrace and kills it at the entry of the nth system call that changes a file or sends data, so the
// program needs no test hooks. ptrace lets only the thread that started the traced process continue that process. The tracer therefore runs
// in init, which locks its thread.
func init() {
	if os.Getenv(tracedStep) != "" {
		runtime.LockOSThread()
		os.Exit(runTraced(os.Args[1], os.Args[2:]...))
	}
}

const (
	tracedStep = "MCPAUTH_TEST_KILL_AT"
	listSteps  = -1  // a step number that means: print all steps and kill nothing
	wasKilled  = 137 // exit code of the tracer after it killed the program
	tracerDied = 138
)

// startTraced starts the program under a tracer, which kills it at a step.
func (m *machine) startTraced(t *testing.T, step int, args ...string) *process {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{args: m.words(args)}
	p.Cmd = exec.Command(self, append([]string{path}, p.args...)...)
	p.Env, p.Dir, p.Stdout, p.Stderr = append(m.env, tracedStep+"="+strconv.Itoa(step), "GORACE=atexit_sleep_ms=0"), m.home, &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// runTraced runs a program, kills it at a step, and prints the name of the step.
func runTraced(program string, args ...string) int {
	left, err := strconv.Atoi(os.Getenv(tracedStep))
	if err != nil {
		return complain(err)
	}
	os.Unsetenv(tracedStep)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdout, os.Stderr, &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return complain(err)
	}
	main := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(main, &status, 0, nil); err != nil {
		return complain(err)
	}
	const exitKill = 0x100000 // PTRACE_O_EXITKILL: if the tracer ends, the program is killed
	if err := syscall.PtraceSetOptions(main, syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|exitKill); err != nil {
		return complain(err)
	}
	killed := ""
	for thread, signal := main, 0; ; {
		if killed == "" {
			_ = syscall.PtraceSyscall(thread, signal) // fails if the thread has ended, which is fine
		}
		signal = 0
		if thread, err = syscall.Wait4(-1, &status, syscall.WALL, nil); err != nil {
			return complain(err)
		}
		switch {
		case (status.Exited() || status.Signaled()) && thread == main && killed != "":
			fmt.Fprintf(os.Stderr, "killed before %s\n", killed)
			return wasKilled
		case (status.Exited() || status.Signaled()) && thread == main:
			return status.ExitStatus()
		case killed != "" || !status.Stopped():
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			name := stepOf(main, thread)
			if name == "" {
				continue
			}
			if left == listSteps {
				fmt.Fprintln(os.Stderr, "step:", name)
			} else if left--; left == 0 {
				killed = name
				_ = syscall.Kill(main, syscall.SIGKILL)
			}
		case status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			signal = int(status.StopSignal())
		}
	}
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "tracing:", err)
	return tracerDied
}

// kernelCall is the kernel's struct ptrace_syscall_info at the entry of a system call.
type kernelCall struct {
	op      uint8
	_       [23]byte
	number  uint64
	args    [6]uint64
	padding [16]byte
}

// stepOf returns a name for the system call that a thread is about to make, or "" if it is not a step.
func stepOf(process, thread int) string {
	const getSyscallInfo, entry = 0x420e, 1
	var c kernelCall
	if _, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), unsafe.Sizeof(c), uintptr(unsafe.Pointer(&c)), 0, 0); errno != 0 || c.op != entry {
		return ""
	}
	switch c.number {
	case syscall.SYS_OPENAT:
		if c.args[2]&syscall.O_CREAT != 0 {
			return "creating " + textAt(process, c.args[1])
		}
	case syscall.SYS_MKDIRAT:
		return "making " + textAt(process, c.args[1])
	case syscall.SYS_UNLINKAT:
		return "deleting " + textAt(process, c.args[1])
	case syscall.SYS_RENAMEAT:
		return "renaming to " + textAt(process, c.args[3])
	case syscall.SYS_FSYNC:
		return "syncing " + fileOf(process, c.args[0])
	case syscall.SYS_CONNECT:
		return "connecting"
	case syscall.SYS_WRITE:
		if file := fileOf(process, c.args[0]); strings.HasPrefix(file, "/") && !strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "socket:") {
			return "writing to " + file
		}
	}
	return ""
}

// fileOf returns the path of a file descriptor of the program.
func fileOf(process int, fd uint64) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", process, fd))
	return name
}

// textAt reads a path from the program's memory.
func textAt(process int, address uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", process))
	if err != nil {
		return "?"
	}
	defer memory.Close()
	path := make([]byte, 4096)
	n, _ := memory.ReadAt(path, int64(address))
	path, _, _ = bytes.Cut(path[:n], []byte{0})
	return string(path)
}

// The test kills each command that changes state at one of its steps, and checks the remaining state with survives. refresh is killed at
// every step. The other commands write files with the same code, so they are killed at every fourth step only. If MCPAUTH_TEST_KILLS is
// set, they are killed at every step too.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		every int
		first []string
		args  []string
	}{
		{"refresh", 1, nil, []string{"refresh", "SERVER"}},
		{"another login", 4, nil, []string{"login", "SERVER"}},
		{"logout", 4, []string{"login", "SERVER", "--if-needed"}, []string{"logout", "SERVER"}},
		{"first login", 4, []string{"logout", "SERVER"}, []string{"login", "SERVER"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.does(t, exitDone, "login", "SERVER")
			if os.Getenv("MCPAUTH_TEST_KILLS") != "" {
				tt.every = 1
			}
			for step := tt.every; m.killedAt(t, step, tt.first, tt.args); step += tt.every {
				if t.Failed() {
					return
				}
			}
		})
	}
}

// killedAt prepares the machine for a command and kills the command at a step. killedAt returns false if the command has fewer steps than
// step.
func (m *machine) killedAt(t *testing.T, step int, first, args []string) bool {
	t.Helper()
	if first != nil {
		m.does(t, exitDone, first...)
	}
	before := m.Counts()
	p := m.startTraced(t, step, args...)
	switch code := p.end(t); {
	case code == wasKilled:
		m.survives(t, before, p, first == nil || first[0] != "logout")
		return true
	case code != exitDone:
		t.Errorf("step %d: exit %d\n%s", step, code, &p.stderr)
	case step < 10:
		t.Errorf("only %d steps", step)
	}
	t.Logf("fewer than %d steps", step+1)
	return false
}

// Killing processes does not show what a power failure would lose, so this test checks the order of system calls. Before the refresh token
// is sent, the file for the new record exists and the intent is synced. The new tokens are synced before they replace the old ones. mcpauth
// syncs the folder after it has replaced the old tokens, and before it deletes the intent.
func TestSyncedBeforeItCounts(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	p := m.startTraced(t, listSteps, "refresh", "SERVER")
	if code := p.end(t); code != exitDone {
		t.Fatalf("exit %d\n%s", code, &p.stderr)
	}
	steps := regexp.MustCompile(`(?m)^step: (.*)$`).FindAllString(p.stderr.String(), -1)
	for _, want := range []string{`creating .*\.credential\.[a-z0-9]*\.tmp`, `writing to .*\.credential\.[a-z0-9]*\.tmp`, `creating .*\.intent\..*\.tmp`, `writing to .*\.intent\..*\.tmp`, `syncing .*\.intent\..*\.tmp`, `renaming to .*\.intent`, `syncing .*/notes`,
		`connecting`, `writing to socket:.*`,
		`writing to .*\.credential\.[a-z0-9]*\.tmp`, `syncing .*\.credential\.[a-z0-9]*\.tmp`, `renaming to .*\.credential`,
		`syncing .*/share/mcpauth`, `deleting .*\.intent`} {
		i := slices.IndexFunc(steps, func(step string) bool { return regexp.MustCompile("^step: " + want + "$").MatchString(step) })
		if i < 0 {
			t.Fatalf("no %q, or not in its turn; the steps:\n%s", want, &p.stderr)
		}
		steps = steps[i+1:]
	}
}

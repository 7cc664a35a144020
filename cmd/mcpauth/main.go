// Command mcpauth logs in to OAuth-protected MCP servers from scripts, stores the credentials, and calls tools with them.
//
// CONTRIBUTING.md describes the files in the order in which a login and a call use them.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// run runs the program and returns the exit code. After the first interrupt, the process still waits for requests that must finish, such as
// a refresh. A second interrupt ends the process at once.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, interruptSignals()...)
	defer stop()
	context.AfterFunc(ctx, func() {
		time.Sleep(signalPause)
		stop()
	})
	// Without a handler of SIGPIPE, a write to a closed stderr kills the process, even in the middle of a refresh.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	log.SetOutput(io.Discard) // net/http can log bytes from servers and, with GODEBUG=http2debug=1, the Authorization header
	p := &program{lookupEnv: env, stdin: stdin, out: newOutput(stdout, stderr, env), version: moduleVersion(), forcedExit: make(chan int, 2)}
	done := make(chan int, 1)
	go func() { done <- p.run(ctx, args) }()
	var code int
	select {
	case code = <-done:
	case code = <-p.forcedExit:
	}
	p.waitForRequests()
	return code
}

// signalPause is the time after the first interrupt during which further interrupts are ignored, because programs such as timeout(1) send
// each signal twice: to the process and to its process group.
const signalPause = 500 * time.Millisecond

// interruptSignals returns the signals that end the program. A signal that the process ignores from its start is omitted. For example,
// nohup starts a process that ignores SIGHUP.
func interruptSignals() []os.Signal {
	return slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
}

// moduleVersion returns the version in the build information.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

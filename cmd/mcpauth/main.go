// Command mcpauth logs in to OAuth-protected MCP servers from scripts, stores the credentials, and calls tools with them.
//
// The files: main.go (the process), app.go (global flags and commands), argv.go (flags anywhere), target.go (which server SERVER means),
// one file per command, args.go (tool arguments), output.go (what goes to stdout and stderr), exit.go (errors, exit codes, hints), help.go
// (the texts of --help).
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

// run runs the program and returns the exit code. The first interrupt cancels the work, but the process waits for requests that must not be
// cut short. A second interrupt exits at once.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, interrupts()...)
	defer stop()
	context.AfterFunc(ctx, func() {
		time.Sleep(doubled)
		stop()
	})
	// Without this handler of SIGPIPE, a write to a closed stderr would kill the process while it finishes its work.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	log.SetOutput(io.Discard) // net/http logs bytes of servers and, with GODEBUG=http2debug=1, the Authorization header
	p := &program{lookup: env, stdin: stdin, out: newOutput(stdout, stderr, env), version: version(), stuck: make(chan int, 1)}
	done := make(chan int, 1)
	go func() { done <- p.run(ctx, args) }()
	select {
	case code := <-done:
		p.wait()
		return code
	case code := <-p.stuck:
		return code
	}
}

// doubled is the time after the first interrupt in which a second one is ignored. timeout(1) and other wrappers send their signal twice: to
// the process and to its process group.
const doubled = 500 * time.Millisecond

// interrupts returns the signals that end the program. It omits signals that the process was started to ignore, as under nohup.
func interrupts() []os.Signal {
	return slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
}

// version returns the module's version from the build information. Without a tag, the go command derives it from the commit.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

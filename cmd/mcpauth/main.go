// Command mcpauth logs in to OAuth-protected MCP servers from scripts, keeps the credentials, and calls tools with them.
//
// The files: main.go (the process), app.go (global flags and commands), argv.go (flags anywhere), target.go (which server is meant),
// one file per command, args.go (tool arguments), output.go (what goes to stdout and stderr), exit.go (errors, exit codes, hints),
// help.go (the texts of --help).
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit code. An interrupt cancels the work; a second one ends the process at once.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	p := &program{lookup: env, stdin: stdin, out: newOutput(stdout, stderr, env), version: version()}
	return p.run(ctx, args)
}

// version is what the build recorded: the module's version, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

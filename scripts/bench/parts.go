// This file is what is measured, one function a table.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// contestant is one way to call the tool echo.
type contestant struct {
	name    string
	before  func() error // before each run, outside the measurement
	command func() *exec.Cmd
	others  bool // somebody else's program, which may not speak every revision
}

// contestants for one era, curl first: it is the measure.
func (b *bench) contestants(era string) []contestant {
	s, token := b.servers[era], b.tokens[era]
	all := []contestant{{name: "curl, the one POST", command: func() *exec.Cmd { return b.curl(era) }},
		{name: "bare SDK program", command: func() *exec.Cmd { return b.bare(era, 1, 1) }},
		{name: "mcpauth, warm", command: func() *exec.Cmd { return b.command("call", era, "echo", "text=hello") }},
		{name: "mcpauth, cold", before: b.forget, command: func() *exec.Cmd { return b.command("call", era, "echo", "text=hello") }}}
	if b.o.npm == "" {
		return all
	}
	config := filepath.Join(b.dir, "mcporter-"+era+".json")
	write := func() error {
		return os.WriteFile(config, fmt.Appendf(nil, `{"mcpServers":{"demo":{"baseUrl":%q,"headers":{"Authorization":"Bearer %s"}}}}`, s.URL(), token), 0o600)
	}
	return append(all,
		contestant{name: "mcporter", others: true, before: write, command: func() *exec.Cmd {
			return b.other(b.bin("mcporter"), "--config", config, "call", "demo.echo", "text=hello")
		}},
		contestant{name: "Inspector CLI", others: true, command: func() *exec.Cmd {
			return b.other(b.bin("mcp-inspector"), "--cli", s.URL(), "--transport", "http", "--method", "tools/call", "--tool-name", "echo",
				"--tool-arg", "text=hello", "--header", "Authorization: Bearer "+token)
		}})
}

// bin is an installed npm program.
func (b *bench) bin(name string) string {
	path, err := filepath.Abs(filepath.Join(b.o.npm, "node_modules/.bin", name))
	if err != nil {
		return name
	}
	return path
}

// forget deletes what mcpauth remembers of servers; the login stays.
func (b *bench) forget() error {
	return os.RemoveAll(filepath.Join(b.dir, "home/.local/state/mcpauth/cache"))
}

// curl posts the same call. A legacy server gets it in a session that was opened before: less than any client can do.
func (b *bench) curl(era string) *exec.Cmd {
	s := b.servers[era]
	args := []string{"-sS", "--fail", "-X", "POST", s.URL(), "-H", "Authorization: Bearer " + b.tokens[era], "-H", "Content-Type: application/json",
		"-H", "Accept: application/json, text/event-stream", "-H", "Mcp-Protocol-Version: " + era}
	meta := ""
	if era == modern {
		args = append(args, "-H", "Mcp-Method: tools/call", "-H", "Mcp-Name: echo")
		meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modern + `","io.modelcontextprotocol/clientInfo":{"name":"curl","version":"1"},` +
			`"io.modelcontextprotocol/clientCapabilities":{}},`
	} else {
		args = append(args, "-H", "Mcp-Session-Id: "+b.session(era))
	}
	return b.other("curl", append(args, "-d", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+meta+`"name":"echo","arguments":{"text":"hello"}}}`)...)
}

func (b *bench) bare(era string, n, parallel int) *exec.Cmd {
	version := ""
	if era != modern {
		version = era
	}
	c := b.other(filepath.Join(b.dir, "bare"), b.servers[era].URL(), version, fmt.Sprint(n), fmt.Sprint(parallel))
	c.Env = append(c.Env, "TOKEN="+b.tokens[era])
	return c
}

// single prints the table of single calls.
func (b *bench) single() error {
	for _, era := range []string{modern, legacy} {
		fmt.Printf("\n### One call, server of %s\n\n| | requests | %s | peak memory |\n|---|---|%s---|\n", era, b.delayHeads(), strings.Repeat("---|", len(b.o.delays)))
		for _, c := range b.contestants(era) {
			err := b.row(era, c)
			if err != nil && c.others && b.ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				fmt.Printf("| %s | – | fails |%s\n", c.name, strings.Repeat(" |", len(b.o.delays)))
				err = b.delay(era, 0)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) delayHeads() string {
	var heads []string
	for _, d := range b.o.delays {
		heads = append(heads, fmt.Sprintf("ms at %s", d))
	}
	return strings.Join(heads, " | ")
}

// row measures a contestant at every delay.
func (b *bench) row(era string, c contestant) error {
	s := b.servers[era]
	var cells []string
	requests := 0
	for _, d := range b.o.delays {
		if err := b.delay(era, d); err != nil {
			return err
		}
		if _, err := b.repeat(1, c.before, c.command); err != nil { // fills caches
			return err
		}
		got, err := b.repeat(b.o.n, c.before, c.command)
		if err != nil {
			return err
		}
		if c.before != nil {
			if err := c.before(); err != nil {
				return err
			}
		}
		command := c.command()
		count := s.Count("requests")
		if _, err := b.measure(command); err != nil {
			return err
		}
		requests = s.Count("requests") - count
		cells = append(cells, ms(got))
	}
	err := b.delay(era, 0)
	fmt.Printf("| %s | %d | %s | %s |\n", c.name, requests, strings.Join(cells, " | "), b.memory(c.command()))
	return err
}

// delay makes every request of a server's clients wait.
func (b *bench) delay(era string, d time.Duration) error {
	s := b.servers[era]
	if err := s.Set("clear"); err != nil || d == 0 {
		return err
	}
	return s.Set("*:delay=" + d.String())
}

// crowd starts fifty processes at once.
func (b *bench) crowd() error {
	const many = 50
	fmt.Printf("\n### %d processes at once, each one call, server of %s\n\n| | ms for all |\n|---|---|\n", many, modern)
	for _, c := range b.contestants(modern)[:3] {
		begin := time.Now()
		var wait sync.WaitGroup
		failed := make(chan error, many)
		for range many {
			wait.Go(func() {
				if _, err := b.measure(c.command()); err != nil {
					failed <- err
				}
			})
		}
		wait.Wait()
		took := time.Since(begin)
		close(failed)
		if err := <-failed; err != nil {
			return err
		}
		fmt.Printf("| %s | %s |\n", c.name, ms(took))
	}
	return nil
}

// batch makes a thousand calls over one warm process.
func (b *bench) batch() error {
	const calls, parallel = 1000, 4
	var lines bytes.Buffer
	for i := range calls {
		fmt.Fprintf(&lines, `{"id":%d,"tool":"echo","arguments":{"text":"hello"}}`+"\n", i)
	}
	fmt.Printf("\n### %d calls, %d at a time\n\n| | server of %s | server of %s |\n|---|---|---|\n", calls, parallel, modern, legacy)
	for _, c := range []struct {
		name    string
		command func(era string) *exec.Cmd
	}{
		{"bare SDK program", func(era string) *exec.Cmd { return b.bare(era, calls, parallel) }},
		{"mcpauth call --batch", func(era string) *exec.Cmd {
			c := b.command("call", era, "--batch", "-", "--parallel", fmt.Sprint(parallel))
			c.Stdin = bytes.NewReader(lines.Bytes())
			return c
		}},
	} {
		var cells []string
		for _, era := range []string{modern, legacy} {
			got, err := b.repeat(min(5, b.o.n), nil, func() *exec.Cmd { return c.command(era) })
			if err != nil {
				return err
			}
			cells = append(cells, ms(got)+" ms")
		}
		fmt.Printf("| %s | %s |\n", c.name, strings.Join(cells, " | "))
	}
	return nil
}

// program is what the binary costs before it does anything.
func (b *bench) program() error {
	start, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("--version") })
	if err != nil {
		return err
	}
	status, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("status") })
	if err != nil {
		return err
	}
	info, err := os.Stat(b.o.mcpauth)
	if err != nil {
		return err
	}
	fmt.Printf("\n### The program\n\n| | |\n|---|---|\n| `mcpauth --version` | %s ms |\n| `mcpauth status` | %s ms |\n| binary | %.1f MB |\n",
		ms(start), ms(status), float64(info.Size())/1e6)
	return nil
}

// stores compares the credential stores by a command that reads one, and one that writes.
func (b *bench) stores() error {
	kinds := []string{"file"}
	if b.o.keychain {
		kinds = append(kinds, "keychain")
	}
	fmt.Printf("\n### The store\n\n| | `token` (reads) | `refresh` (locks, proves, reads, writes, reads back) |\n|---|---|---|\n")
	for _, kind := range kinds {
		name := "store-" + kind
		if _, err := b.measure(b.command("--keystore", kind, "login", b.servers[modern].URL(), "--name", name)); err != nil {
			return err
		}
		read, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("--keystore", kind, "token", name) })
		if err != nil {
			return err
		}
		renew, err := b.repeat(b.o.n, nil, func() *exec.Cmd { return b.command("--keystore", kind, "refresh", name) })
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s ms | %s ms |\n", kind, ms(read), ms(renew))
		if _, err := b.measure(b.command("--keystore", kind, "logout", name)); err != nil {
			return err
		}
	}
	return nil
}

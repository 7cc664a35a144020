package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// contestant is a program that calls the tool echo.
type contestant struct {
	name    string
	before  func() error // runs before each measurement
	command func() *exec.Cmd
	others  bool // a third-party program, which may not support every protocol revision
}

// contestants returns the contestants for one server, curl first.
func (b *bench) contestants(s *site) []contestant {
	all := []contestant{{name: "curl, the one POST", command: func() *exec.Cmd { return b.curl(s) }},
		{name: "bare SDK program", command: func() *exec.Cmd { return b.bare(s, 1, 1) }},
		{name: "**mcpauth, warm**", command: func() *exec.Cmd { return b.call(s) }},
		{name: "mcpauth, cold", before: b.forget, command: func() *exec.Cmd { return b.call(s) }}}
	if b.o.npm == "" {
		return all
	}
	config := filepath.Join(b.dir, "mcporter-"+s.name()+".json")
	write := func() error {
		return os.WriteFile(config, fmt.Appendf(nil, `{"mcpServers":{"demo":{"baseUrl":%q,"headers":{"Authorization":"Bearer %s"}}}}`, s.URL(), s.token), 0o600)
	}
	return append(all,
		contestant{name: "mcporter", others: true, before: write, command: func() *exec.Cmd {
			return b.other(b.bin("mcporter"), "--config", config, "call", "demo.echo", "text=hello")
		}},
		contestant{name: "Inspector CLI", others: true, command: func() *exec.Cmd {
			return b.other(b.bin("mcp-inspector"), "--cli", s.URL(), "--transport", "http", "--method", "tools/call", "--tool-name", "echo",
				"--tool-arg", "text=hello", "--header", "Authorization: Bearer "+s.token)
		}})
}

// bin returns the path of an installed npm program.
func (b *bench) bin(name string) string {
	path, err := filepath.Abs(filepath.Join(b.o.npm, "node_modules/.bin", name))
	if err != nil {
		return name
	}
	return path
}

// forget deletes mcpauth's cached data about servers, but not the login.
func (b *bench) forget() error {
	return os.RemoveAll(filepath.Join(b.dir, "home/.local/state/mcpauth/cache"))
}

// curl sends the same call. For a legacy server, curl uses a session that was opened before the measurement, so curl sends fewer requests
// than any MCP client.
func (b *bench) curl(s *site) *exec.Cmd {
	args := []string{"-sS", "--fail", "-X", "POST", s.URL(), "-H", "Authorization: Bearer " + s.token, "-H", "Content-Type: application/json",
		"-H", "Accept: application/json, text/event-stream", "-H", "Mcp-Protocol-Version: " + s.era}
	meta := ""
	if s.era == modern {
		args = append(args, "-H", "Mcp-Method: tools/call", "-H", "Mcp-Name: echo")
		meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modern + `","io.modelcontextprotocol/clientInfo":{"name":"curl","version":"1"},` +
			`"io.modelcontextprotocol/clientCapabilities":{}},`
	} else {
		args = append(args, "-H", "Mcp-Session-Id: "+b.session(s))
	}
	return b.other("curl", append(args, "-d", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+meta+`"name":"echo","arguments":{"text":"hello"}}}`)...)
}

func (b *bench) bare(s *site, n, parallel int) *exec.Cmd {
	version := ""
	if s.era != modern {
		version = s.era
	}
	c := b.other(filepath.Join(b.dir, "bare"), s.URL(), version, fmt.Sprint(n), fmt.Sprint(parallel))
	c.Env = append(c.Env, "TOKEN="+s.token)
	return c
}

// single prints the table of single calls.
func (b *bench) single() error {
	fmt.Printf("%s\n\n### One call\n\n| server | | requests |", machine())
	for _, d := range b.o.wires {
		fmt.Printf(" ms at %s |", d)
	}
	fmt.Printf(" processor ms | M instructions | MB |\n|---|---|%s\n", strings.Repeat("---|", len(b.o.wires)+4))
	for _, s := range b.sites {
		for _, c := range b.contestants(s) {
			row, err := b.row(s, c)
			if err != nil && c.others && b.ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				row, err = "– | fails |"+strings.Repeat(" |", len(b.o.wires)+2), nil
			}
			s.far(0)
			if err != nil {
				return err
			}
			fmt.Printf("| %s | %s | %s\n", s, c.name, row)
		}
	}
	return nil
}

// row measures a contestant once for each round-trip time, and returns the row of the table.
func (b *bench) row(s *site, c contestant) (string, error) {
	var cells []string
	requests := 0
	var near cost
	for i, d := range b.o.wires {
		s.far(d)
		if _, err := b.repeat(1, c.before, c.command); err != nil { // fills caches
			return "", err
		}
		got, err := b.repeat(b.o.n, c.before, c.command)
		if err != nil {
			return "", err
		}
		if i == 0 {
			near = got
		}
		cells = append(cells, ms(got.wall))
		if requests, err = b.requests(s, c); err != nil {
			return "", err
		}
	}
	s.far(0)
	instructions := "–"
	if !c.others {
		count, err := b.instructions(3, c.before, c.command)
		if err != nil {
			return "", err
		}
		instructions = fmt.Sprintf("%.1f", float64(count)/1e6)
	}
	memory, err := b.memory(c.command())
	return fmt.Sprintf("%d | %s | %s | %s | %s |", requests, strings.Join(cells, " | "), ms(near.processor), instructions, memory), err
}

// requests returns the number of requests of one run.
func (b *bench) requests(s *site, c contestant) (int, error) {
	if c.before != nil {
		if err := c.before(); err != nil {
			return 0, err
		}
	}
	command := c.command()
	before := s.Count("requests")
	_, err := b.measure(command)
	return s.Count("requests") - before, err
}

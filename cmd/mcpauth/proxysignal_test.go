//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"mcpauth/internal/demo"
)

// If the proxy gets a signal during a call, it answers the call, ends the session at the server, and prints only complete messages.
func TestProxySignals(t *testing.T) {
	t.Parallel()
	const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}` + "\n"
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow","arguments":{"steps":1,"delay_ms":20000}}}` + "\n"
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			s, err := demo.Start(demo.Options{Era: "2025-11-25"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			m.Server = s
			m.does(t, exitDone, "login", "SERVER")
			path, _ := built()
			p := &process{args: []string{"proxy"}, Cmd: exec.Command(path, "proxy", m.URL())}
			p.Env, p.Dir, p.Stderr = m.env, m.home, &p.stderr
			in, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := p.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			io.WriteString(in, initialize)
			out := bufio.NewReader(stdout)
			if line, err := out.ReadString('\n'); err != nil || !strings.Contains(line, `"id":0`) {
				t.Fatalf("%q, %v\n%s", line, err, &p.stderr)
			}
			io.WriteString(in, call)
			until(t, "the tool runs", func() bool { return m.Count("tool/slow") == 1 })
			if err := p.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil || string(rest) != `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"mcpauth ended before the server answered"}}`+"\n" {
				t.Errorf("%q, %v", rest, err)
			}
			if code := p.end(t); code != exitInterrupted || p.stderr.String() != "mcpauth: interrupted\n" {
				t.Errorf("exit code %d, %s", code, &p.stderr)
			}
			if n := m.Count("mcp/notifications/cancelled"); n != 1 {
				t.Errorf("%d calls were cancelled", n)
			}
			ended := (&proxied{Server: m.Server}).sessionsEnded()
			if ended != 1 {
				t.Errorf("%d sessions were ended", ended)
			}
		})
	}
}

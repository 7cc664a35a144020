package main

import (
	"context"
	"io"
	"net"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpproxy"
)

func proxyCommand(p *program) *cli.Command {
	var listen string
	return &cli.Command{
		Name: "proxy", ArgsUsage: "SERVER",
		Usage: "run as a local MCP server that forwards to SERVER",
		UsageText: "mcpauth proxy example\n" +
			"claude mcp add example -- mcpauth proxy example\n" +
			"mcpauth proxy example --listen 127.0.0.1:0",
		Description: "The proxy speaks MCP over standard input and output, one JSON-RPC message per\n" +
			"line. The proxy forwards each message to the server over Streamable HTTP, or\n" +
			"over HTTP+SSE if the server has no Streamable HTTP. Every request gets a\n" +
			"response. The proxy runs until its input ends. There is no default time limit.\n" +
			"\n" +
			"With --listen, the proxy serves Streamable HTTP on this machine. The proxy\n" +
			"prints {\"url\":\"http://127.0.0.1:PORT/SECRET/mcp\"} and runs until it is\n" +
			"interrupted. Anyone who knows the URL can use your login: keep it secret.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` serve HTTP at 127.0.0.1:PORT instead of using standard input and output; port 0 chooses a free port", Destination: &listen},
		},
		Action: func(cx *cli.Context) error {
			return oneServer(func(ctx context.Context, word string) error {
				if cx.IsSet("listen") {
					return runListen(ctx, p, word, listen)
				}
				return runProxy(ctx, p, word)
			})(cx)
		},
	}
}

func runProxy(ctx context.Context, p *program, word string) error {
	if p.out.json {
		return usage("proxy prints MCP messages, not one JSON document: omit --json")
	}
	m, err := p.newProxy(ctx, word)
	if err != nil {
		return err
	}
	return m.Stdio(ctx, p.stdin, proxyWriter{p.out.stdout})
}

// proxyWriter writes the proxy's messages to stdout. A write error becomes an *outputError.
type proxyWriter struct{ stdout io.Writer }

func (m proxyWriter) Write(line []byte) (int, error) {
	n, err := m.stdout.Write(line)
	return n, stdoutError(err)
}

func runListen(ctx context.Context, p *program, word, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host != "127.0.0.1" {
		return &usageError{message: "--listen is 127.0.0.1:PORT; not " + quote(address), hint: "a free port: --listen 127.0.0.1:0"}
	}
	m, err := p.newProxy(ctx, word)
	if err != nil {
		return err
	}
	l, err := m.Listen(address)
	if err != nil {
		return &configError{message: "--listen: " + err.Error()}
	}
	defer l.Close()
	if err := p.out.writeUnmasked(map[string]string{"url": l.URL}, ""); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// newProxy returns a proxy for one server. The proxy uses the token in MCPAUTH_ACCESS_TOKEN, or else the stored login.
func (p *program) newProxy(ctx context.Context, word string) (*mcpproxy.Proxy, error) {
	_, m, err := p.clientFor(ctx, word, flow.HandlerOptions{})
	if err != nil {
		return nil, err
	}
	p.out.lasting.Store(true)
	return &mcpproxy.Proxy{URL: m.URL, Header: m.Header, Auth: m.Auth, HTTP: m.HTTP, Secrets: m.Secrets,
		Log: func(text string) { p.out.printNotification("%s", text) }, Warn: func(text string) { p.out.printWarning("%s", text) }}, nil
}

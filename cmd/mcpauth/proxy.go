// This file is the command proxy.

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

func proxyCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "proxy", ArgsUsage: "SERVER",
		Usage: "lend the login to a client that only starts local programs",
		UsageText: "mcpauth proxy example\n" +
			"mcpauth proxy https://mcp.example.com/mcp --quiet\n" +
			"claude mcp add example -- mcpauth proxy example",
		Description: "Speaks MCP over standard input and output, a JSON-RPC message a line, and\n" +
			"forwards it over Streamable HTTP, or HTTP+SSE where a server has only that. It\n" +
			"runs until its input ends, without a limit of time unless --timeout sets one.",
		Action: func(cx *cli.Context) error {
			word, err := oneServer(cx)
			if err != nil {
				return err
			}
			return runProxy(cx.Context, p, word)
		},
	}
}

func runProxy(ctx context.Context, p *program, word string) error {
	if p.out.json {
		return usage("proxy prints messages of MCP, not a JSON document: leave out --json")
	}
	p.word = word
	m, err := p.reach(ctx, word, flow.HandlerOptions{})
	if err != nil {
		return err
	}
	return m.Relay(ctx, p.stdin, p.out.stdout)
}

package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

func toolsCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "tools", ArgsUsage: "SERVER [TOOL]",
		Usage: "list the tools of a server, or the arguments of one tool",
		UsageText: "mcpauth tools example\n" +
			"mcpauth tools example search\n" +
			"mcpauth tools example --json | jq -r '.tools[].name'",
		Action: func(cx *cli.Context) error {
			word, name, err := serverAndName(cx)
			if err != nil {
				return err
			}
			return runTools(cx.Context, p, word, name)
		},
	}
}

func runTools(ctx context.Context, p *program, word, tool string) error {
	return p.atServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, s server) error {
		list, err := m.Tools(ctx)
		if err != nil {
			return err
		}
		return p.printTool(list, tool, s)
	})
}

// printTool prints one tool, or all tools if the name is empty.
func (p *program) printTool(list mcpclient.ToolList, tool string, s server) error {
	if tool == "" {
		return p.printTools(list)
	}
	i := slices.IndexFunc(list.Tools, func(t mcpclient.Tool) bool { return t.Name == tool })
	switch {
	case i < 0:
		return noSuchTool(tool, list.Tools)
	case p.out.json:
		return p.out.raw(list.Tools[i].Raw)
	}
	return p.out.text(toolText(list.Tools[i], s.quoted()))
}

func noSuchTool(tool string, tools []mcpclient.Tool) error {
	e := &mcpclient.ArgumentError{Tool: tool, Reason: "the server has no such tool"}
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = t.Name
	}
	if near := toolargs.Nearest(tool, names); len(near) > 0 {
		e.Nearest = near[0]
	}
	return e
}

func (p *program) printTools(list mcpclient.ToolList) error {
	if p.out.json {
		return p.out.raw(list.Raw)
	}
	if len(list.Tools) == 0 {
		p.out.note("the server offers no tools")
		return nil
	}
	var rows [][]string
	for _, t := range list.Tools {
		rows = append(rows, []string{httpx.Text(t.Name, 200), headline(t.Description, t.Title)})
	}
	return p.out.table([]string{"NAME", "DESCRIPTION"}, rows, boldFirst)
}

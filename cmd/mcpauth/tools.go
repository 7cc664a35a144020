package main

import (
	"context"
	"slices"
	"strings"

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
			words := cx.Args().Slice()
			switch len(words) {
			case 0:
				return usage("a SERVER is missing: a URL or a name")
			case 1:
				return runTools(cx.Context, p, words[0], "")
			case 2:
				return runTools(cx.Context, p, words[0], words[1])
			}
			return usage(quote(words[2]) + " is one argument too many")
		},
	}
}

func runTools(ctx context.Context, p *program, server, tool string) error {
	m, err := p.reach(ctx, server, flow.HandlerOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	list, err := m.Tools(ctx)
	if err != nil {
		return err
	}
	if err := p.printTool(list, tool); err != nil {
		return err
	}
	return p.out.finish() // before the session is ended
}

// printTool prints one tool, or all where none is named.
func (p *program) printTool(list mcpclient.ToolList, tool string) error {
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
	return p.out.text(toolText(list.Tools[i], p.hintWord()))
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
		rows = append(rows, []string{httpx.Text(t.Name, 200), summary(t)})
	}
	return p.out.table([]string{"NAME", "DESCRIPTION"}, rows, func(column int, cell string) string {
		if column == 0 {
			return paint(true, bold, cell)
		}
		return cell
	})
}

// summary is the first line of a tool's description, else its title.
func summary(t mcpclient.Tool) string {
	text := strings.TrimSpace(t.Description)
	if text == "" {
		text = t.Title
	}
	line, _, _ := strings.Cut(text, "\n")
	return httpx.Text(line, 300)
}

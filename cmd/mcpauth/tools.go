package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

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
		Action: serverAndName(func(ctx context.Context, word, tool string) error {
			return p.withServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, s server) error {
				list, err := m.Tools(ctx, tool)
				if err != nil {
					return err
				}
				return p.printTool(m, list, tool, s)
			})
		}),
	}
}

// printTool prints the tool with this name. If tool is empty, printTool prints all tools.
func (p *program) printTool(m *mcpclient.Client, list mcpclient.ToolList, tool string, s server) error {
	if tool == "" {
		return p.printTools(list)
	}
	i := slices.IndexFunc(list.Tools, func(t mcpclient.Tool) bool { return t.Name == tool })
	switch {
	case i < 0:
		names := convert(list.Tools, func(t mcpclient.Tool) string { return t.Name })
		return &mcpclient.ArgumentError{Tool: tool, Reason: "the server has no such tool", Nearest: m.Clean(toolargs.NearestOne(tool, names))}
	case p.out.json:
		return p.out.writeRaw(list.Tools[i].Raw)
	}
	return p.out.writeText(toolText(list.Tools[i], s.shellArgument()+p.hintAbout("").globalFlags()))
}

func (p *program) printTools(list mcpclient.ToolList) error {
	rows := convert(list.Tools, func(t mcpclient.Tool) []string {
		return []string{t.Name, firstLine(t.Description, t.Title)}
	})
	return p.out.writeList(list.Raw, "tools", []string{"NAME", "DESCRIPTION"}, rows)
}

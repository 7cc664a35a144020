package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

func resourcesCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "resources", ArgsUsage: "SERVER",
		Usage: "list the resources and resource templates of a server",
		UsageText: "mcpauth resources example\n" +
			"mcpauth resources example --json | jq -r '.resources[].uri'\n" +
			"mcpauth read example -- \"$(mcpauth resources example --json | jq -r '.resources[0].uri')\"",
		Action: oneServer(func(ctx context.Context, word string) error { return runResources(ctx, p, word) }),
	}
}

func runResources(ctx context.Context, p *program, word string) error {
	return p.withServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, _ server) error {
		list, err := m.Resources(ctx)
		if err != nil {
			return err
		}
		rows := convert(list.Resources, func(r mcpclient.Resource) []string {
			return []string{r.URI, nameOrNone(r.MIMEType, 60), firstLine(r.Description, r.Title, nameOrNone(r.Name, 300))}
		})
		return p.out.writeList(list.Raw, "resources", []string{"URI", "TYPE", "DESCRIPTION"}, rows)
	})
}

func readCommand(p *program) *cli.Command {
	var o resultFlags
	return &cli.Command{
		Name: "read", ArgsUsage: "SERVER URI",
		Usage: "print a resource",
		UsageText: "mcpauth read example notes://today\n" +
			"mcpauth read example pictures://1 --output raw >picture.png\n" +
			"mcpauth read example pictures://1 --save-dir pictures",
		Flags: o.flags(),
		Action: func(cx *cli.Context) error {
			words := cx.Args().Slice()
			if len(words) != 2 {
				return usage("read takes a SERVER and the URI of a resource")
			}
			return runRead(cx.Context, p, words[0], words[1], o)
		},
	}
}

func runRead(ctx context.Context, p *program, word, uri string, o resultFlags) error {
	results, err := p.newPrinter(ctx, o)
	if err != nil {
		return err
	}
	defer results.Close()
	return p.withServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, _ server) error {
		results.clean = m.Clean
		r, err := m.Read(ctx, uri)
		if err != nil {
			return err
		}
		return results.printResult(r, "resource")
	})
}

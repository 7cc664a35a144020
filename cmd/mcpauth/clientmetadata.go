package main

import (
	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

func clientMetadataCommand(p *program) *cli.Command {
	var port int
	var name string
	return &cli.Command{
		Name: "client-metadata", ArgsUsage: "URL",
		Usage: "print a client ID metadata document to host at URL",
		UsageText: "mcpauth client-metadata https://example.com/mcpauth.json >mcpauth.json\n" +
			"mcpauth client-metadata https://example.com/mcpauth.json --callback-port 8765\n" +
			"mcpauth client-metadata https://example.com/ci.json --client-name 'Example CI'",
		Description: "Host the document at exactly URL, with the media type application/json. To use\n" +
			"URL as the client ID, run mcpauth login SERVER --client-metadata-url URL.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "callback-port", Usage: "`PORT` put this port into the redirect URIs, for servers that compare ports; default: no port", Destination: &port},
			&cli.StringFlag{Name: "client-name", Usage: "`NAME` client name on the server's consent page; default: mcpauth", Destination: &name},
		},
		Action: func(cx *cli.Context) error {
			if cx.Args().Len() != 1 {
				return usage("give the one URL where the document will be hosted")
			}
			if err := portInRange(port); err != nil {
				return err
			}
			document, err := flow.ClientDocument(cx.Args().First(), port, name)
			if err != nil {
				return usage(err.Error()) // the URL on the command line is invalid
			}
			return p.out.writeText(string(document))
		},
	}
}

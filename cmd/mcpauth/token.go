package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"
)

type tokenOptions struct {
	minTTL time.Duration
	header bool   // same as --format header
	format string // token, header or json; empty means token
}

func tokenCommand(p *program) *cli.Command {
	var o tokenOptions
	return &cli.Command{
		Name: "token", ArgsUsage: "SERVER",
		Usage: "print an access token, renewing it first if needed",
		UsageText: "mcpauth token example\n" +
			"mcpauth token example --header | curl -H @- https://mcp.example.com/mcp\n" +
			"mcpauth token example --format json",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "min-ttl", Usage: "`DURATION` renew a token that expires within this time; default: 60s or a tenth of the lifetime, whichever is less", Destination: &o.minTTL},
			&cli.StringFlag{Name: "format", Usage: "`FORM` token (default), header (Authorization: Bearer TOKEN) or json (the header as a JSON object)",
				Destination: &o.format},
			&cli.BoolFlag{Name: "header", Usage: "same as --format header", Destination: &o.header},
		},
		Action: oneServer(func(ctx context.Context, word string) error { return runToken(ctx, p, word, o) }),
	}
}

func runToken(ctx context.Context, p *program, server string, o tokenOptions) error {
	switch {
	case o.minTTL < 0:
		return usage("--min-ttl must not be negative")
	case o.header && o.format != "" && o.format != "header":
		return usage("--header and --format " + o.format + " contradict each other")
	case (o.header || o.format != "") && p.out.json:
		return usage("--json prints its own document and cannot be combined with --format or --header")
	}
	if err := oneOf("--format", o.format, "token", "header", "json"); err != nil {
		return err
	}
	s, err := p.resolveServer(ctx, server, needStored)
	if err != nil {
		return err
	}
	c, err := p.loginClient()
	if err != nil {
		return err
	}
	tok, err := c.Token(ctx, s.target, o.minTTL)
	if err != nil {
		return err
	}
	access := string(tok.AccessToken)
	switch {
	case o.header || o.format == "header":
		return p.out.write([]byte("Authorization: Bearer " + access + "\n"))
	case o.format == "json":
		return p.out.writeUnmasked(struct{ Authorization string }{"Bearer " + access}, "  ")
	case !p.out.json:
		return p.out.write([]byte(access + "\n"))
	}
	return p.out.writeUnmasked(struct {
		AccessToken string     `json:"access_token"`
		TokenType   string     `json:"token_type"`
		ExpiresAt   *time.Time `json:"expires_at"`
	}{access, "Bearer", knownTime(tok.Expiry)}, "  ")
}

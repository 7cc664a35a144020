// This file is the command token, the only one that prints a secret.

package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"
)

type tokenOptions struct {
	minTTL time.Duration
	header bool
}

func tokenCommand(p *program) *cli.Command {
	var o tokenOptions
	return &cli.Command{
		Name: "token", ArgsUsage: "SERVER",
		Usage: "print a usable access token, renewed if need be",
		UsageText: "mcpauth token example\n" +
			"mcpauth token example --header | curl -H @- https://mcp.example.com/mcp\n" +
			"mcpauth token example --min-ttl 10m --json",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "min-ttl", Usage: "`DURATION` renew when less is left; default 60s", Value: time.Minute, Destination: &o.minTTL},
			&cli.BoolFlag{Name: "header", Usage: "as a whole Authorization header", Destination: &o.header},
		},
		Action: func(cx *cli.Context) error {
			server, err := oneServer(cx)
			if err != nil {
				return err
			}
			return runToken(cx.Context, p, server, o)
		},
	}
}

func runToken(ctx context.Context, p *program, server string, o tokenOptions) error {
	switch {
	case o.minTTL < 0:
		return usage("--min-ttl must not be negative")
	case o.header && p.out.json:
		return usage("--header and --json contradict each other")
	}
	t, err := p.target(ctx, server, needStored)
	if err != nil {
		return err
	}
	c, err := p.flow()
	if err != nil {
		return err
	}
	tok, err := c.Token(ctx, t, o.minTTL)
	switch {
	case err != nil:
		return err
	case o.header:
		return p.out.write([]byte("Authorization: Bearer " + tok.AccessToken + "\n"))
	case !p.out.json:
		return p.out.write([]byte(tok.AccessToken + "\n"))
	}
	var expires *time.Time
	if !tok.Expiry.IsZero() {
		at := tok.Expiry.UTC().Truncate(time.Second)
		expires = &at
	}
	return p.out.document(struct {
		AccessToken string     `json:"access_token"`
		TokenType   string     `json:"token_type"`
		ExpiresAt   *time.Time `json:"expires_at"`
	}{tok.AccessToken, "Bearer", expires})
}

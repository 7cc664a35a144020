package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

func refreshCommand(p *program) *cli.Command {
	var all bool
	var minTTL time.Duration
	return &cli.Command{
		Name: "refresh", ArgsUsage: "SERVER... | --all",
		Usage: "renew stored tokens without a browser",
		UsageText: "mcpauth refresh example\n" +
			"mcpauth refresh example --min-ttl 15m && ./nightly-job\n" +
			"mcpauth refresh --all --json",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "renew every stored login", Destination: &all},
			&cli.DurationFlag{Name: "min-ttl", Usage: "`DURATION` renew only tokens that expire within this time", Destination: &minTTL},
		},
		Action: func(cx *cli.Context) error {
			words, err := serverArguments(cx, all)
			if err != nil {
				return err
			}
			return runRefresh(cx.Context, p, words, all, minTTL)
		},
	}
}

func runRefresh(ctx context.Context, p *program, words []string, all bool, minTTL time.Duration) error {
	if minTTL < 0 {
		return usage("--min-ttl must not be negative")
	}
	targets, err := p.resolveTargets(ctx, words, all, needStored)
	return forEachTarget(ctx, p, targets, err, func(c *flow.Client, t flow.Target) (flow.Status, error) {
		return c.Refresh(ctx, t, minTTL)
	}, func(_ string, s flow.Status) error {
		if p.out.json {
			return nil
		}
		return p.out.writeText(foreignName(nameOrURL(s)) + ": " + describeLifetime(s))
	})
}

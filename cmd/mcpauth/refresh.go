package main

import (
	"context"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

type refreshOptions struct {
	all    bool
	minTTL time.Duration
}

func refreshCommand(p *program) *cli.Command {
	var o refreshOptions
	return &cli.Command{
		Name: "refresh", ArgsUsage: "SERVER... | --all",
		Usage: "renew stored tokens without a browser",
		UsageText: "mcpauth refresh example\n" +
			"mcpauth refresh example --min-ttl 15m && ./nightly-job\n" +
			"mcpauth refresh --all --json",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "renew every stored login", Destination: &o.all},
			&cli.DurationFlag{Name: "min-ttl", Usage: "`DURATION` renew only tokens with less than this time left", Destination: &o.minTTL},
		},
		Action: func(cx *cli.Context) error {
			words, err := servers(cx, o.all)
			if err != nil {
				return err
			}
			return runRefresh(cx.Context, p, words, o)
		},
	}
}

func runRefresh(ctx context.Context, p *program, words []string, o refreshOptions) error {
	if o.minTTL < 0 {
		return usage("--min-ttl must not be negative")
	}
	targets, err := p.targets(ctx, words, o.all, noToken)
	states := make([]flow.Status, len(targets))
	done := []flow.Status{}
	err = p.eachTarget(ctx, targets, err, func(c *flow.Client, i int) (err error) {
		states[i], err = c.Refresh(ctx, targets[i].target, o.minTTL)
		return err
	}, func(i int) error {
		done = append(done, states[i])
		if p.out.json {
			return nil
		}
		return p.out.text(oneLine(stored(states[i])) + ": " + lifetime(states[i]))
	})
	if p.out.json && (len(done) > 0 || err == nil) {
		if writeErr := p.out.document(done); writeErr != nil {
			return writeErr
		}
	}
	return err
}

// targets resolves all words before the command acts on any of them. If all is set, it returns every stored login except those to skip.
func (p *program) targets(ctx context.Context, words []string, all bool, skip func(flow.Status) bool) ([]server, error) {
	if all {
		list, err := p.all(ctx)
		return convert(slices.DeleteFunc(list, skip), func(s flow.Status) server { return server{word: stored(s), target: target(s)} }), err
	}
	var out []server
	for _, word := range words {
		s, err := p.resolve(ctx, word, needStored)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// target returns the login of a status.
func target(s flow.Status) flow.Target {
	t := flow.Target{URL: s.URL}
	if s.Name != nil {
		t.Profile = *s.Name
	}
	return t
}

// eachTarget calls each for targets. failed is the error of p.targets, or nil.
func (p *program) eachTarget(ctx context.Context, targets []server, failed error, do func(*flow.Client, int) error, done func(i int) error) error {
	if len(targets) == 0 && failed != nil {
		return failed
	}
	c, err := p.flow()
	if err != nil {
		return err
	}
	words := convert(targets, func(s server) string { return s.word })
	return p.each(ctx, words, failed, func(i int) error { return do(c, i) }, done)
}

package main

import (
	"context"
	"slices"
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

// resolveTargets finds the login that each word names or, with --all, all stored logins. For logout, the result contains unfinished logins too.
func (p *program) resolveTargets(ctx context.Context, words []string, all bool, n need) ([]server, error) {
	if all {
		list, err := p.allLogins(ctx)
		list = slices.DeleteFunc(list, func(s flow.Status) bool { return !n.logout && noToken(s) })
		return convert(list, func(s flow.Status) server { return server{word: nameOrURL(s), target: targetOf(s)} }), err
	}
	var out []server
	for _, word := range words {
		if n.logout {
			unfinished, only := p.unfinishedLogins(ctx, word)
			if out = append(out, unfinished...); only {
				continue
			}
		}
		s, err := p.resolveServer(ctx, word, n)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// unfinishedLogins returns the unfinished logins that have this name or URL. only reports whether there is no other login.
func (p *program) unfinishedLogins(ctx context.Context, word string) (list []server, only bool) {
	if t, err := serverURL(word); err == nil {
		word = t.URL
	}
	logins, unfinished, _ := p.findLogins(ctx, word) // resolveServer returns the error
	return convert(unfinished, func(t flow.Target) server { return server{word: word, target: t} }), len(logins) == 0 && len(unfinished) > 0
}

// targetOf returns the target that selects a stored login.
func targetOf(s flow.Status) flow.Target {
	t := flow.Target{URL: s.URL}
	if s.Name != nil {
		t.Profile = *s.Name
	}
	return t
}

// forEachTarget calls work concurrently for all targets, and then calls finish for each result, in the order of targets. With --json,
// forEachTarget prints the results as one document. failed is the error of p.resolveTargets, or nil.
func forEachTarget[T any](ctx context.Context, p *program, targets []server, failed error, work func(*flow.Client, flow.Target) (T, error), finish func(word string, result T) error) error {
	if len(targets) == 0 && failed != nil {
		return failed
	}
	c, err := p.loginClient()
	if err != nil {
		return err
	}
	results, printed := make([]T, len(targets)), []T{}
	words := convert(targets, func(s server) string { return s.word })
	err = p.forEachServer(ctx, words, failed, func(i int) (err error) {
		results[i], err = work(c, targets[i].target)
		return err
	}, func(i int) error {
		printed = append(printed, results[i])
		return finish(words[i], results[i])
	})
	if p.out.json && (len(printed) > 0 || err == nil) {
		if writeErr := p.out.writeDocument(printed); writeErr != nil {
			return writeErr
		}
	}
	return err
}

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

type logoutOptions struct {
	all  bool
	flow flow.LogoutOptions
}

func logoutCommand(p *program) *cli.Command {
	var o logoutOptions
	return &cli.Command{
		Name: "logout", ArgsUsage: "SERVER... | --all",
		Usage: "revoke the tokens and delete the stored credential",
		UsageText: "mcpauth logout example\n" +
			"mcpauth logout https://mcp.example.com/mcp --keep-client\n" +
			"mcpauth logout --all",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "log out of every stored login", Destination: &o.all},
			&cli.BoolFlag{Name: "keep-client", Usage: "keep the dynamic client registration for the next login", Destination: &o.flow.KeepClient},
		},
		Action: func(cx *cli.Context) error {
			words, err := servers(cx, o.all)
			if err != nil {
				return err
			}
			return runLogout(cx.Context, p, words, o)
		},
	}
}

func runLogout(ctx context.Context, p *program, words []string, o logoutOptions) error {
	targets, err := p.targets(ctx, words, o.all, func(flow.Status) bool { return false })
	done := make([]flow.LogoutReport, len(targets))
	reports := []flow.LogoutReport{}
	err = p.eachTarget(ctx, targets, err, func(c *flow.Client, i int) (err error) {
		t := targets[i].target
		if m, err := p.mcp(ctx, t, c.Handler(t, flow.HandlerOptions{Reauth: flow.ReauthNever})); err == nil {
			m.Forget() // before the token is revoked
		}
		done[i], err = c.Logout(ctx, t, o.flow)
		return err
	}, func(i int) error {
		reports = append(reports, done[i])
		for _, w := range done[i].Warnings {
			p.out.warn("%s: %s", targets[i].word, w)
		}
		p.out.note("%s: %s", targets[i].word, outcome(done[i]))
		return nil
	})
	if p.out.json && (len(reports) > 0 || err == nil) {
		if writeErr := p.out.document(reports); writeErr != nil {
			return writeErr
		}
	}
	return err
}

// outcome describes the result of a logout.
func outcome(r flow.LogoutReport) string {
	switch {
	case !r.LoggedIn:
		return "was not logged in"
	case r.Revoked && r.ClientDeleted:
		return "logged out, tokens revoked, client registration deleted"
	case r.Revoked:
		return "logged out, tokens revoked"
	}
	return "logged out here"
}

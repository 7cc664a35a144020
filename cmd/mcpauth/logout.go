package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

func logoutCommand(p *program) *cli.Command {
	var all bool
	var o flow.LogoutOptions
	return &cli.Command{
		Name: "logout", ArgsUsage: "SERVER... | --all",
		Usage: "revoke the tokens and delete the stored credential",
		UsageText: "mcpauth logout example\n" +
			"mcpauth logout https://mcp.example.com/mcp --keep-client\n" +
			"mcpauth logout --all",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "log out of every stored login", Destination: &all},
			&cli.BoolFlag{Name: "keep-client", Usage: "keep the dynamic client registration for the next login", Destination: &o.KeepClient},
		},
		Action: func(cx *cli.Context) error {
			words, err := serverArguments(cx, all)
			if err != nil {
				return err
			}
			return runLogout(cx.Context, p, words, all, o)
		},
	}
}

func runLogout(ctx context.Context, p *program, words []string, all bool, o flow.LogoutOptions) error {
	if all {
		defer p.forgetSessions()
	}
	targets, err := p.resolveTargets(ctx, words, all, needLogout)
	return forEachTarget(ctx, p, targets, err, func(c *flow.Client, t flow.Target) (flow.LogoutReport, error) {
		h := c.Handler(t, flow.HandlerOptions{Reauth: flow.ReauthNever})
		if m, err := p.mcpClient(ctx, t, h); err == nil {
			m.Forget() // the stored session must end before Logout revokes its token
		} else { // for example, the client certificate is missing
			m = &mcpclient.Client{URL: t.URL, CacheKey: t.Profile}
			m.CacheDir, m.TaskDir, _ = p.cacheDirs()
			m.ForgetHere()
		}
		return c.Logout(ctx, t, o)
	}, func(word string, r flow.LogoutReport) error {
		for _, w := range r.Warnings {
			p.out.printWarning("%s: %s", foreignName(word), w)
		}
		p.out.printNote("%s: %s", foreignName(word), describeLogout(r))
		if r.LoggedIn && !r.Revoked && errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return nil
	})
}

// forgetSessions deletes the sessions that no login opened, such as those of a token in MCPAUTH_ACCESS_TOKEN.
func (p *program) forgetSessions() {
	if cache, _, err := p.cacheDirs(); err == nil {
		names, _ := fs.Glob(os.DirFS(cache), "*.session")
		for _, name := range names {
			_ = os.Remove(filepath.Join(cache, name))
		}
	}
}

func describeLogout(r flow.LogoutReport) string {
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

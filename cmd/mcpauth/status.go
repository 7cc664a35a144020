package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/config"
	"mcpauth/pkg/flow"
)

func statusCommand(p *program) *cli.Command {
	var check bool
	return &cli.Command{
		Name: "status", ArgsUsage: "[SERVER...]",
		Usage: "show the stored logins without using network or keychain",
		UsageText: "mcpauth status\n" +
			"mcpauth status example --json\n" +
			"mcpauth status example || mcpauth login example",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "also ask each server whether it accepts the token", Destination: &check},
		},
		Action: func(cx *cli.Context) error { return runStatus(cx.Context, p, cx.Args().Slice(), check) },
	}
}

// runStatus prints the whole table first, and then the errors.
func runStatus(ctx context.Context, p *program, words []string, check bool) error {
	list, failed := p.loginStatuses(ctx, words)
	logins := len(list)
	if len(words) == 0 {
		others, err := p.serversWithoutLogin(ctx, list)
		if err != nil {
			return err
		}
		list = append(list, others...)
	}
	if failed != nil && len(list) == 0 {
		return failed
	}
	var err error
	switch {
	case p.out.json:
		var rows []statusWithJournal
		if rows, err = p.withJournals(ctx, list); err == nil {
			err = p.out.writeDocument(rows)
		}
	case len(list) > 0:
		err = p.out.statusTable(list)
	default:
		p.out.printNote("no logins are stored; log in with mcpauth login SERVER")
	}
	if err != nil {
		return err
	}
	if len(words) == 0 && check {
		words = convert(list[:logins], nameOrURL)
	}
	checks := make([]func() error, len(words))
	for i, word := range words {
		switch {
		case !list[i].Usable():
			checks[i] = func() error { return notUsable(list[i]) }
		case check && list[i].State != flow.StateExpired:
			checks[i] = p.tokenCheck(ctx, word)
		default:
			checks[i] = func() error { return nil }
		}
	}
	return p.forEachServer(ctx, words, failed, func(i int) error { return checks[i]() }, func(int) error { return nil })
}

// serversWithoutLogin returns the servers of the configuration files that have no stored login. An error in a file is only a warning, because
// status shows the logins without the files too. The returned error is that of ctx.
func (p *program) serversWithoutLogin(ctx context.Context, logins []flow.Status) ([]flow.Status, error) {
	file, err := p.loadConfig(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		p.out.printWarning("%v", err)
		file = &config.File{}
	}
	p.warnOfMistakes(file)
	var list []flow.Status
	for _, name := range file.Names() {
		url := file.Servers[name].URL
		if !slices.ContainsFunc(logins, func(s flow.Status) bool { return s.Name != nil && *s.Name == name || s.URL == url }) {
			list = append(list, flow.Status{Name: &name, URL: url, State: flow.StateNone, Scopes: []string{}, Deviations: []string{}})
		}
	}
	return list, nil
}

// loginStatuses returns the status of each named server. If words is empty, loginStatuses returns all stored logins that can be read.
func (p *program) loginStatuses(ctx context.Context, words []string) ([]flow.Status, error) {
	if len(words) == 0 {
		list, err := p.allLogins(ctx)
		return slices.DeleteFunc(list, flow.Status.IsUnfinished), err
	}
	var list []flow.Status
	for _, word := range words {
		s, err := p.resolveServer(ctx, word, needStored)
		if err != nil {
			return nil, err
		}
		c, err := p.loginClient()
		if err != nil {
			return nil, errorAt(s, err)
		}
		status, err := c.Status(ctx, s.target)
		if err != nil {
			return nil, errorAt(s, err)
		}
		list = append(list, status)
	}
	return list, nil
}

// statusWithJournal is the status of a login, with the list of its renewals.
type statusWithJournal struct {
	flow.Status
	Journal []flow.Rotation `json:"journal,omitempty"`
}

// withJournals adds the journals if --verbose is set. A journal lists the process, the time and the error of each renewal.
// A journal that cannot be read is only a warning. The returned error is that of ctx.
func (p *program) withJournals(ctx context.Context, list []flow.Status) ([]statusWithJournal, error) {
	rows := make([]statusWithJournal, len(list))
	for i, s := range list {
		rows[i].Status = s
		c, err := p.loginClient()
		if !p.out.verbose || s.State == flow.StateNone || err != nil {
			continue
		}
		if rows[i].Journal, err = c.Journal(ctx, targetOf(s)); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			p.out.printWarning("%s: journal: %v", foreignName(nameOrURL(s)), err)
		}
	}
	return rows, nil
}

// tokenCheck returns a function that asks the server whether it still accepts the stored token. The function does not renew the token.
func (p *program) tokenCheck(ctx context.Context, word string) func() error {
	_, m, err := p.clientForLogin(ctx, word, flow.HandlerOptions{Reauth: flow.ReauthNever})
	if err != nil {
		return func() error { return err }
	}
	m.NoCache = true
	return func() error {
		defer m.Close()
		_, err := m.Tools(ctx)
		return err
	}
}

func noToken(s flow.Status) bool { return s.State == flow.StateNone }

func notUsable(s flow.Status) error {
	if s.State == flow.StateNone {
		return fmt.Errorf("%s: %w", s.URL, flow.ErrLoginRequired)
	}
	return fmt.Errorf("%s: the token has expired, and %w", s.URL, flow.ErrNoRefreshToken)
}

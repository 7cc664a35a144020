package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

type callOptions struct {
	resultFlags
	elicitFlags
	args, reauth, batch                     string
	scopes                                  cli.StringSlice
	noCache, idempotent, noValidate, detach bool
	parallel                                int
}

func callCommand(p *program) *cli.Command {
	var o callOptions
	return &cli.Command{
		Name: "call", ArgsUsage: "SERVER TOOL [ARGUMENT...]",
		Usage: "call a tool and print its result",
		UsageText: "mcpauth call example search query='flaky tests' limit:=5\n" +
			"mcpauth call example create_issue --args @issue.json title='Override the title' --json\n" +
			"mcpauth call example screenshot --save-dir shots",
		Description: "An ARGUMENT is name=value, name:=JSON, name=@FILE (text) or name:=@FILE (JSON).\n" +
			"If the tool's schema requires a number or a boolean, value is converted. The\n" +
			"name a.b means the member b of the object a.",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "args", Usage: "`JSON` all arguments as one object; @FILE reads the object from a file, - from standard input; each ARGUMENT replaces one member", Destination: &o.args},
			&cli.BoolFlag{Name: "no-validate", Usage: "do not check the arguments against the tool's schema", Destination: &o.noValidate},
			&cli.StringFlag{Name: "reauth", Usage: "`HOW` how to obtain authorization: browser (default) renews the token or logs in, refresh never opens the browser, never does neither", Destination: &o.reauth},
			&cli.StringSliceFlag{Name: "scope", Usage: "`SCOPE` request this scope as well if a login is needed; repeatable or space separated", Destination: &o.scopes, Action: checkScopeFlag},
			&cli.BoolFlag{Name: "idempotent", Usage: "allow the call to be sent again if the connection is lost", Destination: &o.idempotent},
			&cli.BoolFlag{Name: "detach", Usage: "if the server answers with a task, print the task ID and do not wait for the task", Destination: &o.detach},
			&cli.StringFlag{Name: "batch", Usage: "`FILE` make one call for each line {\"tool\",\"arguments\",\"id\"} of this file; - reads standard input; print a line {\"id\",\"result\"} or {\"id\",\"error\"} when a call ends", Destination: &o.batch},
			&cli.IntFlag{Name: "parallel", Value: 4, Usage: "`N` number of concurrent calls of a batch, 1 to 64; default 4", Destination: &o.parallel},
			&cli.BoolFlag{Name: "no-cache", Usage: "fetch the server's data again instead of using the cache", Destination: &o.noCache},
		}, o.resultFlags.flags(), o.elicitFlags.flags()),
		Action: func(cx *cli.Context) error {
			words := cx.Args().Slice()
			switch {
			case cx.IsSet("batch"):
				return runBatch(cx.Context, p, words, o)
			case cx.IsSet("parallel"):
				return usage("--parallel needs --batch")
			}
			switch len(words) {
			case 0:
				return usage("SERVER and TOOL are missing")
			case 1:
				return &usageError{message: "a TOOL is missing", hint: p.hintAbout(server{word: words[0]}.shellArgument()).command("tools") + " lists them"}
			}
			return runCall(cx.Context, p, words[0], words[1], words[2:], o)
		},
	}
}

func runCall(ctx context.Context, p *program, word, tool string, words []string, o callOptions) error {
	args, err := p.toolArguments(words, o.args)
	if err != nil {
		return err
	}
	return p.withPrinter(ctx, word, o.resultFlags, o.elicitFlags, o.handlerOptions(), func(m *mcpclient.Client, results *printer, s server) error {
		o.applyTo(m)
		m.Detach = o.detach
		result, err := m.Call(ctx, tool, args)
		switch {
		case err != nil:
			return err
		case result.Task != nil:
			return results.printStarted(*result.Task, s)
		}
		return results.printAndForget(m, result, tool)
	})
}

// handlerOptions returns the values of --reauth and --scope as flow.HandlerOptions.
func (o *callOptions) handlerOptions() flow.HandlerOptions {
	return flow.HandlerOptions{Reauth: flow.Reauth(o.reauth), Scopes: scopesOf(&o.scopes)}
}

// applyTo copies the values of the flags to m.
func (o *callOptions) applyTo(m *mcpclient.Client) {
	m.NoCache, m.Idempotent, m.NoValidate = o.noCache, o.idempotent, o.noValidate
	m.Listen = o.elicit != "" || o.elicitURLs
}

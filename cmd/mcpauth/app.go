package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/config"
	"mcpauth/pkg/flow"
)

// A program is one run of mcpauth: its environment, its streams and its global flags. The global flags do not change after they are parsed.
type program struct {
	lookupEnv func(string) (string, bool)
	stdin     io.Reader
	out       *output
	version   string
	global    globalOptions
	userLine  commandLine // the command and its flags, which hints repeat

	// These fields are set on first use; see client.go and entry.go.
	flowClient atomic.Pointer[flow.Client]
	sharedHTTP *http.Client
	file       *config.File

	secrets       []string    // secrets from variables and headers; exec removes a variable that contains one of these secrets
	secretEntries []string    // NAME=VALUE of other variables that exec removes
	requestSent   atomic.Bool // whether an HTTP request was sent
	limitEnd      time.Time   // end of the time limit; zero: the command has no limit
	forcedExit    chan int    // receives the exit code if the last output takes too long; see timelimit.go
}

// globalOptions contains the global flags.
type globalOptions struct {
	config, keystore, caFile string
	certFile, certKeyFile    string
	headers                  cli.StringSlice
	timeout                  time.Duration
	json, quiet, verbose     bool
}

func (p *program) globalFlags() []cli.Flag {
	g := &p.global
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "`FILE` read only this configuration file; default: the nearest .mcp.json and ~/.config/mcpauth/config.json", Destination: &g.config},
		&cli.StringFlag{Name: "keystore", Usage: "`KIND` where to store credentials: auto, keychain, file or postgres", Destination: &g.keystore},
		&cli.BoolFlag{Name: "json", Usage: "print one JSON document on stdout, and an error as one JSON line on stderr", Destination: &g.json},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only errors on stderr", Destination: &g.quiet},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print every HTTP exchange on stderr, with secrets redacted", Destination: &g.verbose},
		&cli.DurationFlag{Name: "timeout", Usage: "`DURATION` time limit of the command; default 60s, or 5m for login", Destination: &g.timeout},
		&cli.StringFlag{Name: "cacert", Usage: "`FILE` certificate authorities (PEM) to trust in addition to the system's", Destination: &g.caFile},
		&cli.StringFlag{Name: "cert", Usage: "`FILE` present this TLS client certificate (PEM) to the MCP server and its authorization server", Destination: &g.certFile},
		&cli.StringFlag{Name: "key", Usage: "`FILE` private key of --cert (PEM); default: the file of --cert", Destination: &g.certKeyFile},
		&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "`'NAME: VALUE'` send this header only to the MCP server; VALUE can be @FILE or $VAR; repeatable", Destination: &g.headers},
	}
}

// allCommands returns the commands in the order of the help.
func (p *program) allCommands() []*cli.Command {
	return []*cli.Command{loginCommand(p), statusCommand(p), toolsCommand(p), callCommand(p), taskCommand(p), resourcesCommand(p),
		readCommand(p), promptsCommand(p), promptCommand(p), refreshCommand(p), tokenCommand(p), logoutCommand(p),
		discoverCommand(p), proxyCommand(p), execCommand(p), trustCommand(p), clientMetadataCommand(p), completionCommand(p)}
}

// newApp returns the command tree. The help and usage messages of urfave/cli are turned off, and each command gets a time limit.
func (p *program) newApp() *cli.App {
	a := &cli.App{Name: "mcpauth", HideHelp: true, HideVersion: true, DisableSliceFlagSeparator: true, Writer: io.Discard, ErrWriter: io.Discard,
		Flags: p.globalFlags(), Commands: p.allCommands(), Before: p.applyGlobalFlags, OnUsageError: flagError, ExitErrHandler: func(*cli.Context, error) {},
		Action: func(cx *cli.Context) error { return p.writeHelp(cx.Context, guideText) }}
	for _, c := range a.Commands {
		c.HideHelp, c.OnUsageError = true, flagError
		act := c.Action
		c.Action = func(cx *cli.Context) error { return p.runWithLimit(cx, act) }
	}
	return a
}

// run executes a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	p.setLimit(defaultTimeout) // for an error in the command line
	err := p.execute(ctx, args)
	defer p.limitLastWrite(ctx, err)()
	return p.printError(ctx, err)
}

// execute executes a command line.
func (p *program) execute(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && args[0] == hiddenComplete:
		return runWithin(completionLimit, func() error { return p.printCandidates(ctx, args[1:]) })
	case len(args) == 3 && args[0] == hiddenCompleteBash:
		return runWithin(completionLimit, func() error { return p.printBashCandidates(ctx, args[1], args[2]) })
	case len(args) > 0 && args[0] == hiddenMan:
		return p.writeMan(args[1:])
	}
	before, _ := cutAt(args, "--")
	for _, word := range before { // with --json, an error in the command line is printed as JSON too
		p.out.json = p.out.json || word == "--json" || word == "--json=true"
	}
	app := p.newApp()
	a, err := orderArgs(args, app.Flags, app.Commands)
	switch {
	case err != nil:
		return err
	case a.help:
		return p.writeHelp(ctx, helpText(app, a.command))
	case a.version:
		return p.writeHelp(ctx, "mcpauth "+p.version+"\n")
	}
	// urfave/cli runs regular expressions for each declared flag. To save time, the program declares only the flags that the user gave.
	app.Commands = slices.DeleteFunc(app.Commands, func(c *cli.Command) bool { return c.Name != a.command })
	app.Flags = usedFlags(app.Flags, a.words)
	for _, c := range app.Commands {
		c.Flags = usedFlags(c.Flags, a.words)
	}
	return app.RunContext(ctx, append([]string{app.Name}, a.words...))
}

// writeHelp writes a text of mcpauth itself to stdout. It has no time limit, because a pager may read stdout.
func (p *program) writeHelp(ctx context.Context, text string) error {
	return p.runPunctually(ctx, 0, func() error { return p.out.write([]byte(text)) })
}

// usedFlags returns the flags that occur in words, and all integer flags, because these may have a default other than zero.
func usedFlags(flags []cli.Flag, words []string) []cli.Flag {
	words, _ = cutAt(words, "--")
	return slices.DeleteFunc(flags, func(f cli.Flag) bool {
		var name string // f.Names() would run regular expressions
		switch f := f.(type) {
		case *cli.BoolFlag:
			name = withDashes(f.Name)
		case *cli.StringFlag:
			name = withDashes(f.Name)
		case *cli.StringSliceFlag:
			name = withDashes(f.Name)
		case *cli.DurationFlag:
			name = withDashes(f.Name)
		default:
			return false
		}
		return !slices.ContainsFunc(words, func(w string) bool { return w == name || strings.HasPrefix(w, name+"=") })
	})
}

// applyGlobalFlags checks and applies the global flags before a command runs.
func (p *program) applyGlobalFlags(*cli.Context) error {
	g := p.global
	p.out.json, p.out.quiet, p.out.verbose = g.json, g.quiet, g.verbose
	if g.timeout < 0 {
		return usage("--timeout must not be negative")
	}
	if g.timeout > 0 {
		p.setLimit(g.timeout)
	}
	if g.certKeyFile != "" && g.certFile == "" {
		return usage("--key needs --cert, the certificate that it belongs to")
	}
	return oneOf("--keystore", g.keystore, keystoreKinds()...)
}

func (p *program) runWithLimit(cx *cli.Context, act cli.ActionFunc) error {
	limit := p.timeLimit(cx.Command.Name)
	p.userLine = newCommandLine(cx, cx.App.Flags, limit)
	p.out.secrets.AddShown(p.userLine.words...)
	p.setLimit(limit)
	if err := noEmptyValues(cx); err != nil {
		return err
	}
	if err := p.checkSeveral(cx); err != nil {
		return err
	}
	run := func() error {
		defer p.out.printLeftOut()
		return errorAt(server{word: cx.Args().First()}, act(cx))
	}
	interrupted, late := cx.Context, time.Duration(0)
	if p.global.timeout > 0 || !hasNoLimit(cx) {
		late = limit
		ctx, cancel := context.WithDeadline(cx.Context, p.limitEnd)
		defer cancel()
		cx.Context = ctx
	} else {
		p.limitEnd = time.Time{}
	}
	if cx.Command.Name == "exec" { // the child process decides how to handle an interrupt
		return run()
	}
	return errorAt(server{word: cx.Args().First()}, p.runPunctually(interrupted, late, run))
}

// noEmptyValues returns an error if the value of a flag is empty. In a script, an empty value usually comes from a variable that is not
// set. Without the error, a flag such as --issuer or --expect-account would be ignored.
func noEmptyValues(cx *cli.Context) error {
	for _, f := range slices.Concat(cx.Command.Flags, cx.App.Flags) {
		if _, ok := f.(*cli.BoolFlag); !ok && slices.Contains(flagValues(cx, f), "") {
			return usage(withDashes(f.Names()[0]) + " has an empty value")
		}
	}
	return nil
}

// flagError returns a usage error for a flag value that urfave/cli rejects.
func flagError(_ *cli.Context, err error, _ bool) error {
	return usage(strings.Replace(err.Error(), "for flag -", "for --", 1))
}

// serverArguments returns the SERVER arguments of a command. With --all, a SERVER is an error. Without --all, a missing SERVER is an error.
func serverArguments(cx *cli.Context, all bool) ([]string, error) {
	switch names := cx.Args().Slice(); {
	case all && len(names) > 0:
		return nil, usage("--all takes no SERVER")
	case !all && len(names) == 0:
		return nil, usage("a SERVER is missing: a URL or a name")
	default:
		return names, nil
	}
}

// oneServer returns the action of a command that takes one SERVER.
func oneServer(run func(ctx context.Context, word string) error) cli.ActionFunc {
	return func(cx *cli.Context) error {
		if cx.Args().Len() > 1 {
			return usage("give only one SERVER; " + quote(cx.Args().Get(1)) + " is an extra argument")
		}
		names, err := serverArguments(cx, false)
		if err != nil {
			return err
		}
		return run(cx.Context, names[0])
	}
}

// serverAndName returns the action of a command that takes a SERVER and an optional name, such as the name of a tool.
func serverAndName(run func(ctx context.Context, word, name string) error) cli.ActionFunc {
	return func(cx *cli.Context) error {
		switch words := cx.Args().Slice(); len(words) {
		case 0:
			return usage("a SERVER is missing: a URL or a name")
		case 1, 2:
			return run(cx.Context, words[0], cx.Args().Get(1))
		default:
			return usage(quote(words[2]) + " is an extra argument")
		}
	}
}

// oneOf returns an error if the value of a flag is neither empty nor one of the allowed values.
func oneOf[S ~string](flag string, value S, allowed ...S) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return usage(flag + " is " + strings.Join(toStrings(allowed), ", ") + "; not " + quote(string(value)))
}

func toStrings[S ~string](words []S) []string {
	return convert(words, func(w S) string { return string(w) })
}

// convert applies a function to every element of a list.
func convert[T, U any](list []T, to func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = to(v)
	}
	return out
}

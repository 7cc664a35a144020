package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

// checkSeveral returns an error if a command concerns several servers, and the user gave --header, --cert or a token in
// MCPAUTH_ACCESS_TOKEN. Each of them belongs to one server. Without this check, mcpauth would send it also to the server of an old login, or
// of an entry in the .mcp.json of a repository that was only cloned. login --all sends --header to the servers of the user's own
// configuration; see checkProjectEntry.
func (p *program) checkSeveral(cx *cli.Context) error {
	command, words := cx.Command.Name, cx.Args().Slice()
	if !concernsSeveral(command, words, cx.Bool("all"), cx.Bool("check")) {
		return nil
	}
	what, instead := "", ""
	switch {
	case len(p.global.headers.Value()) > 0 && command != "login":
		what = "--header"
	case p.global.certFile != "":
		what = "--cert"
	case p.getenv(accessTokenVariable) != "" && command == "exec":
		what, instead = "the token in "+accessTokenVariable, "; or unset "+accessTokenVariable
	default:
		return nil
	}
	return &usageError{message: what + " would be sent to every server of this command, but it belongs to one server",
		hint: "give one SERVER: " + p.commandForOne(command, cx.Args().First(), cx.Bool("check")) + instead}
}

// concernsSeveral reports whether a command sends requests to several servers.
func concernsSeveral(command string, words []string, all, check bool) bool {
	switch command {
	case "exec":
		words, _ = cutAt(words, "--")
	case "refresh", "logout":
	case "status": // sends requests only with --check
		return check && len(words) != 1
	default: // the second argument is not a server
		return all
	}
	return all || len(words) > 1
}

// commandForOne returns the command for one server, with the global flags that the user typed.
func (p *program) commandForOne(command, word string, check bool) string {
	line := []string{"mcpauth", command, server{word: word}.shellArgument()}
	if check {
		line = append(line, "--check")
	}
	for _, f := range p.userLine.flags {
		if f.name != "--all" {
			line = append(line, f.text)
		}
	}
	if command == "exec" {
		line = append(line, "-- COMMAND")
	}
	return strings.Join(line, " ")
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

// forEachServer calls work(i) concurrently for each server i, so that each server has the whole time limit. Then forEachServer calls
// finish(i) in the order of words for each server whose work succeeded. forEachServer prints all errors and returns the first one. If the
// parameter failed is not nil, forEachServer prints failed first.
func (p *program) forEachServer(ctx context.Context, words []string, failed error, work, finish func(i int) error) error {
	results := make([]chan error, len(words))
	for i := range words {
		results[i] = make(chan error, 1)
		go func() { results[i] <- work(i) }()
	}
	var first error
	report := func(err error) {
		printed := &printedError{code: p.printError(ctx, err), err: err}
		if first == nil {
			first = printed
		}
	}
	if failed != nil {
		report(failed)
	}
	for i, word := range words {
		err := <-results[i]
		if err == nil {
			err = finish(i)
		}
		err = errorAt(server{word: word}, err)
		switch {
		case err == nil:
		case first == nil && len(words) == 1:
			return err
		default:
			report(err)
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			break
		}
	}
	return first
}

package main

import (
	"strings"

	"github.com/urfave/cli/v2"
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
	headers := 0
	for _, f := range p.userLine.flags {
		if f.name != "--all" {
			line = append(line, f.text)
		}
		if f.name == "--header" {
			headers++
		}
	}
	if headers < len(p.global.headers.Value()) { // a literal value can be a secret
		line = append(line, "--header 'NAME: VALUE'")
	}
	if command == "exec" {
		line = append(line, "-- COMMAND")
	}
	return strings.Join(line, " ")
}

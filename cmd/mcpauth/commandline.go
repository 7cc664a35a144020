package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// commandLine contains the command and the flags that the user typed. The hint for an error can repeat them.
type commandLine struct {
	command string
	words   []string // the arguments
	flags   []typedFlag
	limit   time.Duration

	idempotent bool // call --idempotent
}

// typedFlag is a flag that the user gave.
type typedFlag struct {
	name string // with its dashes
	text string // name and value, quoted for a shell
}

// newCommandLine returns the command and the flags for hints. Flags that only control the output are omitted.
func newCommandLine(cx *cli.Context, globals []cli.Flag, limit time.Duration) commandLine {
	t := commandLine{command: cx.Command.Name, words: cx.Args().Slice(), limit: limit, idempotent: cx.Bool("idempotent")}
	given := cx.FlagNames() // one call of cx.FlagNames is faster than a call of cx.IsSet for each flag
	for i, f := range slices.Concat(cx.Command.Flags, globals) {
		name := f.Names()[0]
		global := i >= len(cx.Command.Flags)
		if !slices.Contains(given, name) || slices.Contains([]string{"json", "quiet", "verbose"}, name) {
			continue
		}
		if !global && t.command != "login" && t.command != "discover" || global && name == "timeout" && t.command != "login" {
			continue // the flag is not meant for mcpauth login, the command that hints suggest
		}
		for _, value := range flagValues(cx, f) {
			if name == "header" {
				value = withoutLiteral(value)
			}
			text := withDashes(name)
			if value != "" {
				text += " " + shellWord(value)
			}
			t.flags = append(t.flags, typedFlag{withDashes(name), text})
		}
	}
	return t
}

// withoutLiteral returns a --header whose literal value is replaced by VALUE, because hints must not show secrets.
func withoutLiteral(header string) string {
	name, value, ok := strings.Cut(header, ":")
	value = strings.TrimSpace(value)
	switch {
	case !ok: // the text may be a secret
		return "NAME: VALUE"
	case strings.HasPrefix(value, "@") || strings.HasPrefix(value, "$"):
		return header
	}
	return name + ": " + placeholderValue
}

// placeholderValue stands for the value of a header in hints.
const placeholderValue = "VALUE"

// flagValues returns the values of a flag as the user typed them. If a boolean flag is set, its value is "".
func flagValues(cx *cli.Context, f cli.Flag) []string {
	name := f.Names()[0]
	switch f.(type) {
	case *cli.BoolFlag:
		if !cx.Bool(name) {
			return nil
		}
		return []string{""}
	case *cli.StringSliceFlag:
		return cx.StringSlice(name)
	}
	return []string{fmt.Sprint(cx.Value(name))}
}

// secretFlags returns the flags that select a secret or a header to send.
func secretFlags() []string {
	return []string{"--header", "--client-secret-env", "--client-secret-file", "--client-secret-stdin", "--client-key", "--cert", "--key",
		"--assertion", "--assertion-file", "--idp-client-secret-env", "--idp-id-token-file"}
}

// namesSecret reports whether the command line selects a secret to send. With --idp-issuer, a login gets a secret from the identity provider.
func (p *program) namesSecret() bool {
	return slices.ContainsFunc(p.userLine.flags, func(f typedFlag) bool {
		return f.name == "--idp-issuer" || slices.Contains(secretFlags(), f.name)
	})
}

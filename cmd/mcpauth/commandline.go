package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// commandLine holds the parts of the command line that hints repeat.
type commandLine struct {
	command string
	flags   []typedFlag
	limit   time.Duration
}

// typedFlag is a flag that the user gave.
type typedFlag struct {
	name string // with its dashes
	text string // name and value, quoted for a shell
}

// remember records the flags of a command line. remember omits flags that only control the output. remember also omits headers whose value
// the user typed, because such a value may be a secret and a hint must not show secrets.
func remember(cx *cli.Context, globals []cli.Flag, limit time.Duration) commandLine {
	t := commandLine{command: cx.Command.Name, limit: limit}
	given := cx.FlagNames() // cx.FlagNames is called once, because calling cx.IsSet for every flag would take a million instructions
	for i, f := range slices.Concat(cx.Command.Flags, globals) {
		name := f.Names()[0]
		global := i >= len(cx.Command.Flags)
		if !slices.Contains(given, name) || slices.Contains([]string{"json", "quiet", "verbose"}, name) {
			continue
		}
		if !global && t.command != "login" && t.command != "discover" || global && name == "timeout" && t.command != "login" {
			continue // hints suggest mcpauth login, and login does not have this flag
		}
		for _, value := range flagValues(cx, f) {
			_, header, _ := strings.Cut(value, ":")
			if name == "header" && !strings.HasPrefix(strings.TrimSpace(header), "@") && !strings.HasPrefix(strings.TrimSpace(header), "$") {
				continue
			}
			text := dashed(name)
			if value != "" {
				text += " " + shellWord(harmless(value))
			}
			t.flags = append(t.flags, typedFlag{dashed(name), text})
		}
	}
	return t
}

// flagValues returns the values of a flag as typed. A boolean flag that is set has the value "".
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

// urfave/cli treats every word after the first argument as an argument, and accepts global flags only before the command. orderArgs
// reorders the words of the command line, so that users can put flags anywhere.

package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/toolargs"
)

// orderedArgs is a command line whose words are in the order that urfave/cli requires.
type orderedArgs struct {
	words   []string // in this order: the global flags, the command, the command's flags, "--", the command's arguments
	command string   // "" if none was given
	help    bool     // --help was given; everything else is ignored
	version bool     // --version was given

	args        []string // the command's arguments
	flagsEnded  bool     // "--" was given, so no flags follow
	pendingFlag cli.Flag // the flag at the end of the line whose value is missing, or nil
}

// orderArgs reorders the words of a command line and expands short flag names. No word after "--" is a flag. The error is a *usageError.
func orderArgs(args []string, globals []cli.Flag, commands []*cli.Command) (orderedArgs, error) {
	a, err := splitArgs(args, globals, commands)
	if flagsPart, _ := cutAt(args, "--"); slices.Contains(flagsPart, "--help") || slices.Contains(flagsPart, "-h") {
		return orderedArgs{command: a.command, help: true}, nil
	}
	return a, err
}

// splitArgs is like orderArgs, but parses --help only where a flag may be. If a word is wrong, the result describes the words before it.
func splitArgs(args []string, globals []cli.Flag, commands []*cli.Command) (orderedArgs, error) {
	var a orderedArgs
	var front, flags []string
	var own []cli.Flag
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case !a.flagsEnded && word == "--":
			if a.flagsEnded = true; a.command == "exec" && len(a.args) > 0 {
				a.args = append(a.args, word) // this "--" separates the SERVER arguments of exec from the command
			}
		case !a.flagsEnded && isFlag(word):
			if word == "--help" || word == "-h" || a.command == "" && word == "--version" {
				a.help, a.version = a.help || word != "--version", a.version || word == "--version"
				continue
			}
			f, isGlobal, err := findFlag(word, a.command, globals, own)
			if err != nil {
				return a, err
			}
			words, err := takeFlag(f, args[i:])
			if err != nil {
				if i == len(args)-1 {
					a.pendingFlag = f
				}
				return a, err
			}
			i += len(words) - 1
			if isGlobal {
				front = append(front, words...)
			} else {
				flags = append(flags, words...)
			}
		case a.command == "" && word == "help" && !a.flagsEnded:
			a.help = true
		case a.command == "":
			c := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
			if c < 0 {
				return a, unknownCommand(word, commands)
			}
			a.command, own = commands[c].Name, commands[c].Flags
		default:
			a.args = append(a.args, word)
		}
	}
	if a.help {
		return a, nil
	}
	a.words = front
	if a.command != "" {
		a.words = append(append(a.words, a.command), flags...)
	}
	if len(a.args) > 0 {
		a.words = append(append(a.words, "--"), a.args...)
	}
	return a, nil
}

// isFlag reports whether a word is a flag. The word "-" is not a flag; it means standard input.
func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// findFlag returns the flag that a word names: "--name", "--name=value" or "-n".
func findFlag(word, command string, globals, own []cli.Flag) (f cli.Flag, isGlobal bool, err error) {
	name, _, _ := strings.Cut(word, "=")
	match := func(f cli.Flag) bool {
		return slices.ContainsFunc(f.Names(), func(n string) bool { return withDashes(n) == name })
	}
	if i := slices.IndexFunc(own, match); i >= 0 { // a command's flag has precedence over a global flag, because token has a flag --header too
		return own[i], false, nil
	}
	if i := slices.IndexFunc(globals, match); i >= 0 {
		return globals[i], true, nil
	}
	return nil, false, unknownFlag(name, command, slices.Concat(own, globals))
}

// takeFlag returns the long name of the flag that words[0] names. If the flag takes a value, takeFlag also returns the value.
func takeFlag(f cli.Flag, words []string) ([]string, error) {
	name := withDashes(f.Names()[0])
	if _, value, ok := strings.Cut(words[0], "="); ok {
		return []string{name + "=" + value}, nil
	}
	if d, ok := f.(cli.DocGenerationFlag); ok && !d.TakesValue() {
		return []string{name}, nil
	}
	if len(words) < 2 || strings.HasPrefix(words[1], "--") {
		return nil, &usageError{message: name + " needs a value", hint: "write " + name + "=VALUE where the value begins with --"}
	}
	return []string{name, words[1]}, nil
}

func withDashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func unknownCommand(word string, commands []*cli.Command) error {
	names := convert(commands, func(c *cli.Command) string { return c.Name })
	e := &usageError{message: "unknown command " + quote(word), hint: "mcpauth --help lists the commands"}
	if near := toolargs.NearestOne(word, names); near != "" {
		e.hint = "did you mean mcpauth " + near + "?"
	}
	return e
}

func unknownFlag(name, command string, flags []cli.Flag) error {
	// The user may have written -H'Name: value', as for curl. The message must not show the value.
	shown := strings.FieldsFunc(name, func(r rune) bool { return r == ':' || r == ' ' })[0]
	e := &usageError{message: "unknown flag " + quote(shown), hint: strings.TrimSpace("mcpauth "+command) + " --help lists the flags"}
	if command == "" {
		e.message += " before a command"
		e.hint += "; a command's own flags come after its name"
	}
	names := convert(flags, func(f cli.Flag) string { return f.Names()[0] })
	if near := toolargs.NearestOne(strings.TrimLeft(name, "-"), names); near != "" { // the dashes would make all flags similar
		e.hint = "did you mean " + withDashes(near) + "?"
	}
	return e
}

// cutAt returns the words before and after the first separator.
func cutAt(words []string, separator string) (before, after []string) {
	if i := slices.Index(words, separator); i >= 0 {
		return words[:i], words[i+1:]
	}
	return words, nil
}

// help.go generates the texts of --help from the table of commands.

package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// guideText is printed if no command is given.
const guideText = `mcpauth logs in to MCP servers, stores the credentials, and calls tools.

  1. log in     mcpauth login https://mcp.example.com/mcp --name example
  2. check      mcpauth status
  3. call       mcpauth tools example
                mcpauth call example search query='flaky tests'
  4. renew      mcpauth refresh example --min-ttl 15m
  5. log out    mcpauth logout example

mcpauth --help lists all commands; mcpauth COMMAND --help explains one.
`
const exitCodes = `Exit codes:
  0  done                              4  authorization needed, not obtained
  1  unexpected failure (a bug)        5  network or server failure
  2  usage or configuration error      6  credential store failed
  3  the tool reported an error        7  refused for security
                                     130  interrupted
`

// helpText returns the help of a command. If command is empty, helpText returns the help of the program.
func helpText(app *cli.App, command string) string {
	var b strings.Builder
	if command == "" {
		b.WriteString(guideText[:strings.Index(guideText, "\n\nmcpauth --help")+1])
		b.WriteString("\nUsage: mcpauth [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n\nCommands:\n")
		for _, c := range app.Commands {
			fmt.Fprintf(&b, "  %-15s %s\n", c.Name, c.Usage)
		}
		b.WriteString("\nA SERVER is a URL (https://...), a name given by login --name, or a name in a\nconfiguration file.\n\n")
		b.WriteString(flagsText("Global flags, before or after the command", app.Flags))
		writeEntry(&b, "--version", "print the version")
		b.WriteString("\n" + exitCodes)
		return b.String()
	}
	c := app.Command(command)
	fmt.Fprintf(&b, "mcpauth %s: %s\n\nUsage: mcpauth %s%s %s\n", c.Name, c.Usage, c.Name, flagsWord(c), c.ArgsUsage)
	if c.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", c.Description)
	}
	fmt.Fprintf(&b, "\nExamples:\n  %s\n\n", strings.ReplaceAll(c.UsageText, "\n", "\n  "))
	for _, g := range groupFlags(c.Flags) {
		b.WriteString(flagsText(g.title, g.flags) + "\n")
	}
	b.WriteString(globalLine(app.Flags) + "\n" + exitCodes)
	return b.String()
}

func flagsWord(c *cli.Command) string {
	if len(c.Flags) == 0 {
		return ""
	}
	return " [FLAGS]"
}

// flagsText returns a list of flags with a title.
func flagsText(title string, flags []cli.Flag) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", title)
	for _, f := range flags {
		head, text := describeFlag(f)
		writeEntry(&b, head, text)
	}
	return b.String()
}

// writeEntry writes a flag and its description in two columns.
func writeEntry(b *strings.Builder, head, text string) {
	const column = 29
	fits := len(head) <= column-3
	head = fmt.Sprintf("  %-*s", column-2, head)
	if !fits {
		head += "\n" + strings.Repeat(" ", column)
	}
	b.WriteString(head + wrapWords(strings.Fields(text), column) + "\n")
}

// wrapWords joins words into lines of at most 78 columns and indents all lines but the first.
func wrapWords(words []string, indent int) string {
	const width = 78
	var b strings.Builder
	used := indent
	for i, word := range words {
		switch {
		case i > 0 && used+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		case i > 0:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

// describeFlag returns the names of a flag and its description. If a flag has a value, its usage text begins with the name of the value in
// back quotes.
func describeFlag(f cli.Flag) (head, text string) {
	head = strings.Join(convert(f.Names(), withDashes), ", ")
	if d, ok := f.(cli.DocGenerationFlag); ok {
		text = d.GetUsage()
	}
	if value, ok := strings.CutPrefix(text, "`"); ok {
		value, text, _ = strings.Cut(value, "`")
		head += " " + value
	}
	return head, strings.TrimSpace(text)
}

// globalLine lists the global flags without their descriptions.
func globalLine(flags []cli.Flag) string {
	var words []string
	for _, f := range flags {
		head, _ := describeFlag(f)
		words = append(words, strings.ReplaceAll(head, ", -", "|-")+",")
	}
	return "Global flags (mcpauth --help explains them):\n  " + strings.TrimSuffix(wrapWords(words, 2), ",") + "\n"
}

// flagGroup contains the flags of one category.
type flagGroup struct {
	title string
	flags []cli.Flag
}

// groupFlags groups flags by category. The flags of a category must be adjacent.
func groupFlags(flags []cli.Flag) []flagGroup {
	var all []flagGroup
	for _, f := range flags {
		title := "Flags"
		if c, ok := f.(cli.CategorizableFlag); ok {
			title = cmp.Or(c.GetCategory(), title)
		}
		if len(all) == 0 || all[len(all)-1].title != title {
			all = append(all, flagGroup{title: title})
		}
		last := &all[len(all)-1]
		last.flags = append(last.flags, f)
	}
	return all
}

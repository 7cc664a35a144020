// man.go generates the man pages from the table of commands. mcpauth __man FOLDER writes mcpauth.1 and one page per command. The pages are
// part of each release, but not of the repository.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// hiddenMan is the command that writes the man pages of a release.
const hiddenMan = "__man"

// writeMan writes all man pages into the folder args[0].
func (p *program) writeMan(args []string) error {
	if len(args) != 1 {
		return usage(hiddenMan + " takes one folder")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	app := p.newApp()
	pages := map[string]string{"mcpauth.1": p.mainPage(app)}
	for _, c := range app.Commands {
		pages["mcpauth-"+c.Name+".1"] = p.commandPage(app, c)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manPage builds a man page in the format of man(7).
type manPage struct{ strings.Builder }

// writeSection writes a heading and lines of text.
func (g *manPage) writeSection(title string, lines ...string) {
	fmt.Fprintf(g, ".SH %s\n", strings.ToUpper(title))
	for _, line := range lines {
		g.WriteString(escapeRoff(line) + "\n")
	}
}

// writeItem writes a term and its description.
func (g *manPage) writeItem(term, text string) {
	fmt.Fprintf(g, ".TP\n\\fB%s\\fR\n%s\n", escapeRoff(term), escapeRoff(text))
}

// writeLines writes a section whose text keeps its line breaks.
func (g *manPage) writeLines(title, s string) {
	g.writeSection(title)
	fmt.Fprintf(g, ".nf\n%s\n.fi\n", escapeRoff(s))
}

func (g *manPage) writeFlags(title string, flags []cli.Flag) {
	g.writeSection(title)
	for _, f := range flags {
		g.writeItem(describeFlag(f))
	}
}

// escapeRoff escapes a text. A line that begins with a dot or a single quote is escaped, because roff would execute it as a command.
func escapeRoff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func (p *program) newPage(name, usage, synopsis string) *manPage {
	g := &manPage{}
	fmt.Fprintf(g, ".TH %s 1 \"\" \"mcpauth %s\" \"mcpauth manual\"\n.nh\n.ad l\n", strings.ToUpper(escapeRoff(name)), escapeRoff(p.version))
	g.writeSection("Name", name+" - "+usage)
	g.writeSection("Synopsis", synopsis)
	return g
}

func (p *program) mainPage(app *cli.App) string {
	g := p.newPage("mcpauth", "log in to MCP servers from scripts, store the credentials, and call tools", "mcpauth [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]")
	intro, _, _ := strings.Cut(guideText, "\n\nmcpauth --help")
	g.writeLines("Description", intro)
	g.writeSection("Commands")
	for _, c := range app.Commands {
		g.writeItem("mcpauth "+c.Name, c.Usage+"; see mcpauth-"+c.Name+"(1)")
	}
	g.writeFlags("Global flags", app.Flags)
	g.writeItem("--version", "print the version")
	g.writeSection("Environment")
	for _, v := range envVariables() {
		g.writeItem(v.name, v.meaning)
	}
	return g.close(app, "")
}

func (p *program) commandPage(app *cli.App, c *cli.Command) string {
	g := p.newPage("mcpauth-"+c.Name, c.Usage, "mcpauth "+c.Name+flagsWord(c)+" "+c.ArgsUsage)
	if c.Description != "" {
		g.writeLines("Description", c.Description)
	}
	for _, group := range groupFlags(c.Flags) {
		g.writeFlags(group.title, group.flags)
	}
	g.writeFlags("Global flags", app.Flags)
	g.writeLines("Examples", c.UsageText)
	return g.close(app, c.Name)
}

// close writes the exit codes and a list of the other pages, and returns the page.
func (g *manPage) close(app *cli.App, command string) string {
	_, table, _ := strings.Cut(exitCodes, "\n")
	g.writeLines("Exit codes", strings.TrimRight(table, "\n"))
	var pages []string
	if command != "" {
		pages = append(pages, "mcpauth(1)")
	}
	for _, c := range app.Commands {
		if c.Name != command {
			pages = append(pages, "mcpauth-"+c.Name+"(1)")
		}
	}
	g.writeSection("See also", strings.Join(pages, ", "))
	return g.String()
}

type envVariable struct{ name, meaning string }

// envVariables returns all environment variables that the program reads.
func envVariables() []envVariable {
	return []envVariable{
		{"MCPAUTH_CONFIG", "the only configuration file to read; default: the nearest .mcp.json and ~/.config/mcpauth/config.json"},
		{"MCPAUTH_STATE_DIR", "folder for the index, locks, caches and session IDs; contains no credentials; default ~/.local/state/mcpauth"},
		{"MCPAUTH_KEYSTORE", "where to store credentials: auto (default), keychain, file or postgres"},
		{"MCPAUTH_KEYSTORE_DIR", "folder of the file store; default ~/.local/share/mcpauth"},
		{"MCPAUTH_KEYSTORE_KEY_FILE", "an age identity file, with which mcpauth encrypts the file and postgres stores"},
		{"MCPAUTH_KEYSTORE_URL", "connection string of the postgres store; the PG... variables of libpq work as well"},
		{"MCPAUTH_REAUTH", "browser, refresh or never: the same as call --reauth"},
		{"MCPAUTH_ACCESS_TOKEN", "a bearer token for call, tools, proxy and exec to use instead of a stored login; SERVER must then be a URL"},
		{"BROWSER", "program that opens a URL, which is its last argument; programs in a colon-separated list are tried in order; none: open no browser"},
		{"CI", "if set and not false, no browser opens unless --browser or BROWSER is given"},
		{"TRACEPARENT, TRACESTATE, BAGGAGE", "W3C trace context, sent in _meta of every MCP request of call and tools"},
		{"HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR, NO_COLOR", "the same meaning as in other programs"},
	}
}

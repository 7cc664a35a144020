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

// writeMan writes all pages into a folder.
func (p *program) writeMan(args []string) error {
	if len(args) != 1 {
		return usage(hiddenMan + " takes one folder")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	app := p.app()
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

// page builds a man page (man(7)).
type page struct{ strings.Builder }

func (g *page) section(title string) { fmt.Fprintf(g, ".SH %s\n", strings.ToUpper(title)) }

func (g *page) text(s string) { g.WriteString(roff(s) + "\n") }

// item writes a term and its description.
func (g *page) item(term, text string) {
	fmt.Fprintf(g, ".TP\n\\fB%s\\fR\n%s\n", roff(term), roff(text))
}

// lines writes a text and keeps its line breaks.
func (g *page) lines(s string) { fmt.Fprintf(g, ".nf\n%s\n.fi\n", roff(s)) }

func (g *page) flags(flags []cli.Flag) {
	for _, f := range flags {
		head, text := describeFlag(f)
		g.item(head, text)
	}
}

// roff escapes a text. A dot or a quote at the beginning of a line must be escaped, because such a line would be a roff request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func (p *program) newPage(name, usage string) *page {
	g := &page{}
	fmt.Fprintf(g, ".TH %s 1 \"\" \"mcpauth %s\" \"mcpauth manual\"\n.nh\n.ad l\n", strings.ToUpper(roff(name)), roff(p.version))
	g.section("Name")
	g.text(name + " - " + usage)
	g.section("Synopsis")
	return g
}

func (p *program) mainPage(app *cli.App) string {
	g := p.newPage("mcpauth", "log in to MCP servers from scripts, store the credentials, and call tools")
	g.text("mcpauth [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]")
	g.section("Description")
	intro, _, _ := strings.Cut(guide, "\n\nmcpauth --help")
	g.lines(intro)
	g.section("Commands")
	for _, c := range app.Commands {
		g.item("mcpauth "+c.Name, c.Usage+"; see mcpauth-"+c.Name+"(1)")
	}
	g.section("Global flags")
	g.flags(app.Flags)
	g.item("--version", "print the version")
	g.section("Environment")
	for _, v := range variables() {
		g.item(v.name, v.meaning)
	}
	g.closing(app, "")
	return g.String()
}

func (p *program) commandPage(app *cli.App, c *cli.Command) string {
	g := p.newPage("mcpauth-"+c.Name, c.Usage)
	g.text("mcpauth " + c.Name + flagsWord(c) + " " + c.ArgsUsage)
	if c.Description != "" {
		g.section("Description")
		g.lines(c.Description)
	}
	for _, group := range groups(c.Flags) {
		g.section(group.title)
		g.flags(group.flags)
	}
	g.section("Global flags")
	g.flags(app.Flags)
	g.section("Examples")
	g.lines(c.UsageText)
	g.closing(app, c.Name)
	return g.String()
}

// closing writes the end of a page: the exit codes and the other pages.
func (g *page) closing(app *cli.App, command string) {
	g.section("Exit codes")
	_, table, _ := strings.Cut(exitCodes, "\n")
	g.lines(strings.TrimRight(table, "\n"))
	g.section("See also")
	var pages []string
	if command != "" {
		pages = append(pages, "mcpauth(1)")
	}
	for _, c := range app.Commands {
		if c.Name != command {
			pages = append(pages, "mcpauth-"+c.Name+"(1)")
		}
	}
	g.text(strings.Join(pages, ", "))
}

// variable is an environment variable.
type variable struct{ name, meaning string }

// variables returns all environment variables that the program reads.
func variables() []variable {
	return []variable{
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

// Command docs draws the images of the documentation as SVG, from text:
//
//	docs terminal TITLE <output      draws the output of a terminal, with colours
//	docs sequence TITLE <lines       draws a sequence diagram, see sequence.go
//	docs house TITLE <lines          draws a diagram of imports, see house.go
//
// scripts/pictures runs this command.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: docs terminal|sequence|house TITLE")
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var picture string
	switch args[0] {
	case "terminal":
		picture = terminal(args[1], string(data))
	case "sequence":
		picture, err = sequence(args[1], string(data))
	case "house":
		picture, err = house(args[1], string(data))
	default:
		err = fmt.Errorf("unknown picture %q", args[0])
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, picture)
	return err
}

func lines(text string) []string {
	var all []string
	s := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(text, "\r", "")))
	for s.Scan() {
		all = append(all, s.Text())
	}
	return all
}

// diagram adds the SVG header and the background to the parts of a diagram. The colours follow the viewer's light or dark mode.
func diagram(title string, w, h int, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="13" fill="#24292f" role="img" aria-label="%s">`+"\n", w, h, html.EscapeString(title))
	b.WriteString(`<style>text{font:13px system-ui,sans-serif;fill:#24292f}.name{font-weight:600;font-size:14px}.note{font-size:11px}.stage{font-weight:600;fill:#57606a}` +
		`line{stroke:#57606a;stroke-width:1.3}.lane{stroke:#d0d7de}rect.paper{fill:#fff}rect.room{fill:#f6f8fa;stroke:#afb8c1}` +
		`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.stage{fill:#8b949e}line{stroke:#8b949e}.lane{stroke:#30363d}rect.paper{fill:#0d1117}` +
		`rect.room{fill:#161b22;stroke:#30363d}#tip path{fill:#8b949e}}</style>` + "\n")
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect class="paper" fill="#fff" width="%d" height="%d" rx="8"/>`+"\n", w, h)
	b.WriteString(body + "</svg>\n")
	return b.String()
}

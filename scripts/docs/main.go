// Command docs draws the pictures of the documentation as SVG, from text:
//
//	docs terminal TITLE <output      what a terminal shows, colours included
//	docs sequence TITLE <arrows      who says what to whom: lines "a -> b: words", "a --> b: words" for answers, "# words" for a stage
//
// scripts/pictures runs it.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"slices"
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
		return fmt.Errorf("usage: docs terminal|sequence TITLE")
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	draw := map[string]func(string, string) string{"terminal": terminal, "sequence": sequence}[args[0]]
	if draw == nil {
		return fmt.Errorf("unknown picture %q", args[0])
	}
	_, err = io.WriteString(out, draw(args[1], string(data)))
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

const mono = `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14"`

var sgr = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// terminal draws text as a terminal does: one row a line, colours by their SGR codes.
func terminal(title, text string) string {
	rows := lines(strings.TrimRight(text, "\n"))
	width := 60
	for _, r := range rows {
		width = max(width, len([]rune(sgr.ReplaceAllString(r, ""))))
	}
	const cell, height = 8.43, 20
	w, h := float64(width)*cell+40, len(rows)*height+64
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" role="img" aria-label="%s">`+"\n", w, h, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%d" rx="10" fill="#161b22"/><g fill="#484f58"><circle cx="22" cy="20" r="6"/><circle cx="42" cy="20" r="6"/><circle cx="62" cy="20" r="6"/></g>`+"\n", w, h)
	fmt.Fprintf(&b, `<g %s fill="#e6edf3">`+"\n", mono)
	for i, r := range rows {
		fmt.Fprintf(&b, `<text x="20" y="%d">%s</text>`+"\n", 56+i*height, coloured(r))
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// coloured turns the colours of a row into spans.
func coloured(row string) string {
	colours := map[string]string{"31": "#ff7b72", "32": "#3fb950", "33": "#d29922", "34": "#79c0ff", "2": "#8b949e", "90": "#8b949e"}
	var b strings.Builder
	open := false
	rest := row
	for {
		at := sgr.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		b.WriteString(blanks(rest[:at[0]]))
		if open {
			b.WriteString("</tspan>")
		}
		colour, ok := colours[rest[at[2]:at[3]]]
		if open = ok; ok {
			fmt.Fprintf(&b, `<tspan fill="%s">`, colour)
		}
		rest = rest[at[1]:]
	}
	b.WriteString(blanks(rest))
	if open {
		b.WriteString("</tspan>")
	}
	return b.String()
}

var arrow = regexp.MustCompile(`^(.+?) (-->|->) (.+?): (.*)$`)

// sequence draws who says what to whom, from top to bottom.
func sequence(title, text string) string {
	var names []string
	for _, l := range lines(text) {
		if m := arrow.FindStringSubmatch(l); m != nil {
			for _, n := range []string{m[1], m[3]} {
				if !slices.Contains(names, n) {
					names = append(names, n)
				}
			}
		}
	}
	const lane, step = 300, 40
	x := func(name string) int { return 110 + slices.Index(names, name)*lane }
	var body strings.Builder
	y := 70
	for _, l := range lines(text) {
		if stage, ok := strings.CutPrefix(l, "# "); ok {
			fmt.Fprintf(&body, `<text x="14" y="%d" class="stage">%s</text>`+"\n", y+8, html.EscapeString(stage))
			y += step
			continue
		}
		m := arrow.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		from, to, dash := x(m[1]), x(m[3]), ""
		if m[2] == "-->" {
			dash = ` stroke-dasharray="5 4"`
		}
		if from == to {
			fmt.Fprintf(&body, `<text x="%d" y="%d">%s</text>`+"\n", from+10, y, html.EscapeString(m[4]))
		} else {
			fmt.Fprintf(&body, `<line x1="%d" y1="%d" x2="%d" y2="%d"%s marker-end="url(#tip)"/><text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
				from, y, to, y, dash, (from+to)/2, y-7, html.EscapeString(m[4]))
		}
		y += step
	}
	w, h := 220+(len(names)-1)*lane, y+10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", w, h, html.EscapeString(title))
	b.WriteString(`<style>text{font:13px system-ui,sans-serif;fill:#24292f}.name{font-weight:600;font-size:14px}.stage{font-weight:600;fill:#57606a}` +
		`line{stroke:#57606a;stroke-width:1.3}.lane{stroke:#d0d7de}rect.paper{fill:#fff}` +
		`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.stage{fill:#8b949e}line{stroke:#8b949e}.lane{stroke:#30363d}rect.paper{fill:#0d1117}#tip path{fill:#8b949e}}</style>` + "\n")
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect class="paper" width="%d" height="%d" rx="8"/>`+"\n", w, h)
	for _, n := range names {
		fmt.Fprintf(&b, `<line class="lane" x1="%d" y1="42" x2="%d" y2="%d"/><text class="name" x="%d" y="30" text-anchor="middle">%s</text>`+"\n", x(n), x(n), h-10, x(n), html.EscapeString(n))
	}
	b.WriteString(body.String() + "</svg>\n")
	return b.String()
}

// blanks keeps every blank: viewers of SVG do not agree on how to be asked.
func blanks(s string) string { return strings.ReplaceAll(html.EscapeString(s), " ", "\u00a0") }

package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
)

const mono = `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14"`

var sgr = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// terminal draws text as a terminal shows the text, with the colours of SGR escape sequences.
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
		text := strings.TrimLeft(r, " ") // some viewers drop leading spaces, even non-breaking ones
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", 20+cell*float64(len(r)-len(text)), 56+i*height, coloured(text))
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// coloured converts the SGR escape sequences in a row to tspan elements.
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

// blanks replaces spaces with non-breaking spaces, because SVG viewers differ in how they preserve spaces.
func blanks(s string) string { return strings.ReplaceAll(html.EscapeString(s), " ", "\u00a0") }

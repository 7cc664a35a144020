// The diagram of a sequence of messages, from top to bottom. The input consists of these lines:
//
//	lanes: a | b | c       the participants, from left to right; this is the first line
//	# words                the heading of a stage
//	a -> b: words          a request; a --> b: a response

package main

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

var arrow = regexp.MustCompile(`^(.+?) (-->|->) (.+?): (.*)$`)

const (
	lane = 250 // distance between two lanes
	step = 40  // distance between two lines
)

func sequence(title, text string) (string, error) {
	all := lines(text)
	head, ok := "", false
	if len(all) > 0 {
		head, ok = strings.CutPrefix(all[0], "lanes: ")
	}
	if !ok {
		return "", fmt.Errorf("the first line names no lanes")
	}
	names := strings.Split(head, " | ")
	x := func(name string) int { return 110 + slices.Index(names, name)*lane }
	var body strings.Builder
	y := 70
	for i, l := range all[1:] {
		m := arrow.FindStringSubmatch(l)
		stage, isStage := strings.CutPrefix(l, "# ")
		switch {
		case isStage:
			fmt.Fprintf(&body, `<text x="14" y="%d" class="stage" font-weight="600">%s</text>`+"\n", y+8, html.EscapeString(stage))
		case m == nil || m[1] == m[3] || !slices.Contains(names, m[1]) || !slices.Contains(names, m[3]):
			return "", fmt.Errorf("line %d: neither a stage nor from lane to lane: %q", i+2, l)
		default:
			body.WriteString(message(x(m[1]), x(m[3]), y, m[2] == "-->", m[4]))
		}
		y += step
	}
	w, h := 220+(len(names)-1)*lane, y+10
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, `<line class="lane" stroke="#d0d7de" x1="%d" y1="42" x2="%d" y2="%d"/><text class="name" font-weight="600" x="%d" y="30" text-anchor="middle">%s</text>`+"\n", x(n), x(n), h-10, x(n), html.EscapeString(n))
	}
	return diagram(title, w, h, b.String()+body.String()), nil
}

// message is an arrow with a text above its start.
func message(from, to, y int, answer bool, words string) string {
	dash := ""
	if answer {
		dash = ` stroke-dasharray="5 4"`
	}
	at, anchor := from+8, "start"
	if to < from {
		at, anchor = from-8, "end"
	}
	return fmt.Sprintf(`<line stroke="#57606a" x1="%d" y1="%d" x2="%d" y2="%d"%s marker-end="url(#tip)"/><text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n",
		from, y, to, y, dash, at, y-7, anchor, html.EscapeString(words))
}

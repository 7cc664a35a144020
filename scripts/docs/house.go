// The diagram of the packages. Each package is a box in a grid, with arrows to the packages that it imports. The input consists of these
// lines:
//
//	name @ row first-last: words     a package, its row, its first and last column, and its description
//	name -> name name                a package, and the packages that it imports

package main

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
)

// room is a box of the diagram.
type room struct {
	name, words      string
	row, first, last int
}

// use is an arrow.
type use struct{ from, to string }

var (
	roomLine = regexp.MustCompile(`^(\S+) @ (\d+) (\d+)-(\d+): (.*)$`)
	useLine  = regexp.MustCompile(`^(\S+) -> (.+)$`)
)

// plan parses the input.
func plan(text string) (rooms []room, uses []use, err error) {
	known := map[string]bool{}
	for i, l := range lines(text) {
		if m := roomLine.FindStringSubmatch(l); m != nil {
			r := room{name: m[1], words: m[5]}
			for at, n := range []*int{&r.row, &r.first, &r.last} {
				if *n, err = strconv.Atoi(m[2+at]); err != nil {
					return nil, nil, fmt.Errorf("line %d: %w", i+1, err)
				}
			}
			rooms, known[r.name] = append(rooms, r), true
			continue
		}
		m := useLine.FindStringSubmatch(l)
		if m == nil {
			return nil, nil, fmt.Errorf("line %d: neither a room nor an arrow: %q", i+1, l)
		}
		for _, to := range strings.Fields(m[2]) {
			if !known[m[1]] || !known[to] {
				return nil, nil, fmt.Errorf("line %d: %s -> %s: there is no such room", i+1, m[1], to)
			}
			uses = append(uses, use{m[1], to})
		}
	}
	return rooms, uses, nil
}

func house(title, text string) (string, error) {
	const width, height, gap, rise = 140, 52, 12, 46
	rooms, uses, err := plan(text)
	if err != nil {
		return "", err
	}
	left := func(column int) int { return 20 + (column-1)*(width+gap) }
	top := func(row int) int { return 20 + (row-1)*(height+rise) }
	byName := map[string]room{}
	var boxes, arrows strings.Builder
	w, h := 0, 0
	for _, r := range rooms {
		byName[r.name] = r
		x, y, wide := left(r.first), top(r.row), left(r.last)+width-left(r.first)
		fmt.Fprintf(&boxes, `<rect class="room" fill="#f6f8fa" stroke="#afb8c1" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x, y, wide, height)
		fmt.Fprintf(&boxes, `<text class="name" font-weight="600" x="%d" y="%d" text-anchor="middle">%s</text>`, x+wide/2, y+22, html.EscapeString(r.name))
		fmt.Fprintf(&boxes, `<text class="note" font-size="11" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", x+wide/2, y+40, html.EscapeString(r.words))
		w, h = max(w, x+wide+20), max(h, y+height+20)
	}
	for _, u := range uses { // the arrow points straight down, in the middle of the columns that both boxes cover
		from, to := byName[u.from], byName[u.to]
		first, last := max(from.first, to.first), min(from.last, to.last)
		if first > last || from.row >= to.row {
			return "", fmt.Errorf("%s is not above %s", u.from, u.to)
		}
		x, dash := (left(first)+left(last)+width)/2, ""
		if skipped := to.row - from.row - 1; skipped > 0 { // a box between the two boxes may hide part of the arrow
			x, dash = x+12*skipped+6*(from.row-2), ` stroke-dasharray="5 4"`
		}
		fmt.Fprintf(&arrows, `<line stroke="#57606a"%s x1="%d" y1="%d" x2="%d" y2="%d" marker-end="url(#tip)"/>`+"\n", dash, x, top(from.row)+height, x, top(to.row))
	}
	return diagram(title, w, h, arrows.String()+boxes.String()), nil
}

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// draw returns an image and checks that it is well-formed XML.
func draw(t *testing.T, kind, text string) string {
	t.Helper()
	var out strings.Builder
	if err := run([]string{kind, `a "title" & more`}, strings.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return out.String()
		} else if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
}

func TestTerminal(t *testing.T) {
	got := draw(t, "terminal", "$ a <b>\r\n  \x1b[32mvalid\x1b[0m  x\n")
	for _, want := range []string{"$\u00a0a\u00a0&lt;b&gt;", `x="36.9"`, "<tspan fill=\"#3fb950\">valid</tspan>\u00a0\u00a0x"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestSequence(t *testing.T) {
	got := draw(t, "sequence", "lanes: a | b\n# first\na -> b: x < y\nb --> a: z\n")
	if strings.Count(got, "marker-end") != 2 || strings.Count(got, "stroke-dasharray") != 1 || !strings.Contains(got, "x &lt; y") {
		t.Error(got)
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct{ kind, text string }{
		{"sequence", ""}, {"sequence", "a -> b: x"}, {"sequence", "lanes: a | b\na -> c: x"}, {"sequence", "lanes: a | b\nnothing"},
		{"house", "a -> b"}, {"house", "a @ 1 1-2: x\nb @ 2 3-4: y\na -> b"}, {"house", "a @ 1 1-2: x\na rests on b"}, {"castle", ""},
	} {
		if err := run([]string{test.kind, "title"}, strings.NewReader(test.text), io.Discard); err == nil {
			t.Errorf("%s draws %q", test.kind, test.text)
		}
	}
}

// The diagram shows every package of the program and every import between these packages. Imports by cmd/mcpauth may be missing, because
// cmd/mcpauth imports many packages only for their errors.
func TestHouse(t *testing.T) {
	text, err := os.ReadFile("house.txt")
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "house", string(text))
	rooms, uses, err := plan(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var real []use
	var names []string
	cmd := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./cmd/mcpauth")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name, ours := strings.CutPrefix(words[0], "mcpauth/")
		if !ours {
			continue
		}
		names = append(names, name)
		for _, w := range words[1:] {
			if to, ours := strings.CutPrefix(w, "mcpauth/"); ours {
				real = append(real, use{name, to})
			}
		}
	}
	for _, u := range uses {
		if !slices.Contains(real, u) {
			t.Errorf("%s -> %s is drawn; there is no such import", u.from, u.to)
		}
	}
	for _, u := range real {
		if !slices.Contains(uses, u) && u.from != "cmd/mcpauth" {
			t.Errorf("%s -> %s is not drawn", u.from, u.to)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rooms, func(r room) bool { return r.name == name }) {
			t.Errorf("%s is not drawn", name)
		}
	}
}

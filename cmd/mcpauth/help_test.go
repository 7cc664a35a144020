package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Each command has a usage line that begins with a verb, three examples, and a description of every flag.
func TestHelp(t *testing.T) {
	app := testProgram().newApp()
	verbs := []string{"allow", "run", "log", "show", "list", "call", "renew", "print", "revoke", "wait"}
	for _, c := range app.Commands {
		first, _, _ := strings.Cut(c.Usage, " ")
		if !slices.Contains(verbs, first) || strings.HasSuffix(c.Usage, ".") || len(c.Usage) > 70 {
			t.Errorf("%s: usage %q", c.Name, c.Usage)
		}
		examples := strings.Split(c.UsageText, "\n")
		if len(examples) != 3 {
			t.Errorf("%s: %d examples", c.Name, len(examples))
		}
		for _, e := range examples {
			if !strings.Contains(e, "mcpauth "+c.Name) {
				t.Errorf("%s: example %q", c.Name, e)
			}
		}
		text := helpText(app, c.Name)
		for _, want := range []string{"Usage: mcpauth " + c.Name, "Examples:\n", "Exit codes:\n", "Global flags"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: help lacks %q", c.Name, want)
			}
		}
	}
	for _, f := range allFlags(app) {
		head, text := describeFlag(f)
		if text == "" || strings.HasSuffix(text, ".") {
			t.Errorf("%s: text %q", head, text)
		}
		if d := f.(cli.DocGenerationFlag); d.TakesValue() != strings.Contains(head, " ") && f.Names()[0] == head {
			t.Errorf("%s: the name of its value is missing", head)
		}
	}
}

// Every command and every flag is used in a story.
func TestFlagsHaveStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var stories strings.Builder
	for _, f := range files {
		if filepath.Base(f) == "help.txtar" {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "#") {
				stories.WriteString(line)
			}
		}
	}
	app := testProgram().newApp()
	for _, f := range allFlags(app) {
		if name := withDashes(f.Names()[0]); !strings.Contains(stories.String(), name+" ") && !strings.Contains(stories.String(), name+"\n") && !strings.Contains(stories.String(), name+"=") {
			t.Errorf("%s is in no story", name)
		}
	}
	for _, c := range app.Commands {
		if !strings.Contains(stories.String(), "mcpauth "+c.Name) {
			t.Errorf("%s is in no story", c.Name)
		}
	}
}

func allFlags(app *cli.App) []cli.Flag {
	flags := slices.Clone(app.Flags)
	for _, c := range app.Commands {
		flags = append(flags, c.Flags...)
	}
	return flags
}

// The lines of the help, except examples, fit a terminal of 80 columns.
func TestHelpWidth(t *testing.T) {
	app := testProgram().newApp()
	names := []string{""}
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	for _, name := range names {
		for line := range strings.Lines(helpText(app, name)) {
			if len([]rune(line)) > 81 && !strings.HasPrefix(line, "  mcpauth ") {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

// docs/reference.md lists exactly the commands, flags, exit codes, environment variables and JSON fields of the program.
func TestReference(t *testing.T) {
	page := reference(t)
	app := testProgram().newApp()
	var commands []string
	for _, c := range app.Commands {
		commands = append(commands, c.Name)
	}
	same(t, "commands", matches(section(page, "## Commands"), `(?m)^### (\S+)$`), commands)
	globals := flagNames(app.Flags)
	same(t, "global flags", matches(section(page, "## Global flags"), "`(--[a-z0-9-]+)"), globals)
	for _, c := range app.Commands {
		own := flagNames(c.Flags)
		documented := slices.DeleteFunc(matches(section(page, "### "+c.Name), "`(--[a-z0-9-]+)"), func(f string) bool {
			return slices.Contains(globals, f) && !slices.Contains(own, f)
		})
		same(t, c.Name, documented, own)
	}
	var read []string
	for _, v := range envVariables() {
		read = append(read, strings.Split(v.name, ", ")...)
	}
	same(t, "variables", matches(strings.Join(matches(section(page, "## Environment"), `(?m)^\| (.*?) \|`), " "), "`([A-Z_]+)`"), read)
	_, fields, _ := strings.Cut(section(page, "### status"), "an array of objects with")
	fields, _, _ = strings.Cut(fields, "the renewals")
	same(t, "fields of a status", matches(fields, "`([a-z_]+)`"), append(jsonNames(reflect.TypeFor[flow.Status]()), "journal"))
}

func TestReferenceExitCodes(t *testing.T) {
	documented := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| .* \| (.*) \|$`).FindAllStringSubmatch(section(reference(t), "## Exit codes"), -1) {
		exit, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range matches(row[2], "`([a-z_]+)`") {
			documented[code] = exit
		}
	}
	inTable := map[string]int{"internal": exitInternal, "interrupted": exitInterrupted}
	for _, r := range errorTable() {
		inTable[r.code] = r.exit
	}
	if !reflect.DeepEqual(documented, inTable) {
		t.Errorf("the page: %v\nexit.go: %v", documented, inTable)
	}
}

// TestContract checks that every command and flag in the original contract of the program exists. The contract is not part of the
// repository. If it is missing, the test of docs/reference.md is sufficient, because that page lists the same and more.
func TestContract(t *testing.T) {
	data, err := os.ReadFile("../../../shared/CLI.md")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	page, app, own := string(data), testProgram().newApp(), map[string][]string{}
	for _, c := range app.Commands {
		own[c.Name] = slices.Concat(flagNames(c.Flags), flagNames(app.Flags))
	}
	sections := strings.Split(section(page, "## Commands"), "\n### ")[1:]
	flags := 0
	for _, s := range sections {
		head, text, _ := strings.Cut(s, "\n")
		commands := matches(head, "`([a-z-]+)")
		promised(t, "commands", commands, slices.Collect(maps.Keys(own)))
		var real []string // the flags of all commands that the section describes; each flag in the text must be one of them
		for _, name := range commands {
			real = append(real, own[name]...)
		}
		names := matches(text, "[` |](--[a-z0-9-]+)")
		promised(t, commands[0], names, real)
		flags += len(names)
	}
	if len(sections) < 10 || flags < 50 {
		t.Errorf("only %d sections and %d flags were read", len(sections), flags)
	}
	promised(t, "global flags", matches(section(page, "## Global flags"), "[`/](--[a-z0-9-]+)"), flagNames(app.Flags))
	var read []string
	for _, v := range envVariables() {
		read = append(read, strings.Split(v.name, ", ")...)
	}
	promised(t, "variables", matches(strings.Join(matches(section(page, "## Environment"), `(?m)^\| (.*?) \|`), " "), "`([A-Z_]+)`"), read)
	var codes []string
	for _, r := range errorTable() {
		codes = append(codes, fmt.Sprintf("%d %s", r.exit, r.code))
	}
	codes = append(codes, fmt.Sprintf("%d internal", exitInternal), fmt.Sprintf("%d interrupted", exitInterrupted))
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| .* \| (`+"`"+`.*) \|$`).FindAllStringSubmatch(section(page, "## Exit codes"), -1) {
		for _, code := range matches(row[2], "`([a-z_]+)`") {
			promised(t, "exit codes", []string{row[1] + " " + code}, codes)
		}
	}
	fields := regexp.MustCompile("`{(.*)}`").FindStringSubmatch(section(page, "### `status"))
	promised(t, "fields of a status", matches(fields[1], `"([a-z_]+)"`), jsonNames(reflect.TypeFor[flow.Status]()))
}

// promised fails the test if a name of a contract does not exist.
func promised(t *testing.T, what string, names, real []string) {
	t.Helper()
	for _, name := range names {
		if !slices.Contains(real, name) {
			t.Errorf("%s: %s is promised, and does not exist", what, name)
		}
	}
}

// README.md and docs/reference.md have the same exit codes.
func TestReadmeExitCodes(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const row = `(?m)^\| (\d+) \|`
	same(t, "exit codes in the README", matches(section(string(data), "exit code"), row), matches(section(reference(t), "## Exit codes"), row))
}

func reference(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section returns the text of a page from heading to the next heading of the same level or level 2. If heading does not begin with #,
// section returns the rest of the page.
func section(page, heading string) string {
	_, after, _ := strings.Cut(page, heading)
	if rank, _, ok := strings.Cut(heading, " "); ok && strings.HasPrefix(rank, "#") {
		for _, end := range []string{"\n## ", "\n" + rank + " "} {
			after, _, _ = strings.Cut(after, end)
		}
	}
	return after
}

func matches(text, pattern string) []string {
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func flagNames(flags []cli.Flag) []string {
	var out []string
	for _, f := range flags {
		out = append(out, withDashes(f.Names()[0]))
	}
	return out
}

func jsonNames(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}

// same compares two sets of names.
func same(t *testing.T, what string, documented, real []string) {
	t.Helper()
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s: %s is documented, and does not exist", what, name)
		}
	}
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: %s is not documented", what, name)
		}
	}
}

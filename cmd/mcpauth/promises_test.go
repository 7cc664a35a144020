// These tests compare documents with tests. docs/attacks.md must list the attacks of TestHostileWorld. The tests that SECURITY.md and
// docs/durability.md name must exist.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcpauth/internal/attack"
)

const attacksPage = "../../docs/attacks.md"

// TestAttacksPage compares the page with the attacks. With UPDATE=1 it rewrites the page.
func TestAttacksPage(t *testing.T) {
	data, err := os.ReadFile(attacksPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), "<!-- table -->\n")
	_, after, end := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !end {
		t.Fatal("the page has no marks for its table")
	}
	want := before + "<!-- table -->\n" + attackTable() + "<!-- end -->\n" + after
	if want == strings.ReplaceAll(string(data), "\r\n", "\n") {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatal("the table is not that of the tests: UPDATE=1 go test ./cmd/mcpauth -run TestAttacksPage")
	}
	if err := os.WriteFile(attacksPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// attackTable returns the attacks and their results as Markdown.
func attackTable() string {
	var b strings.Builder
	b.WriteString("| attack | what the attacker does | exit | result |\n|---|---|---|---|\n")
	all := fates()
	for _, a := range attack.All() {
		f := all[a.Name]
		end := fmt.Sprintf("refused; stderr matches `%s`", strings.ReplaceAll(f.says, "|", "\\|"))
		switch {
		case f.exit == exitDone && strings.HasPrefix(a.Name, "callback/"):
			end = "ignored; mcpauth accepts the genuine response afterwards"
		case f.exit == exitDone:
			end = "no effect: the command succeeds"
		}
		if f.good && f.exit != exitDone {
			end += "; the earlier login is kept"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s |\n", a.Name, strings.ReplaceAll(a.What, "|", "\\|"), f.exit, end)
	}
	return b.String()
}

// Every promise names at least one test, and the tests exist.
func TestPromisesAreHeld(t *testing.T) {
	for page, atLeast := range map[string]int{"../../SECURITY.md": 40, "../../docs/durability.md": 30} {
		t.Run(filepath.Base(page), func(t *testing.T) { promisesAreHeld(t, page, atLeast) })
	}
}

// matrixPlace matches the table that TestLifeOfAProcess writes.
var matrixPlace = regexp.MustCompile(`(?s)(<!-- matrix -->\n)(.*)(<!-- end of matrix -->)`)

func promisesAreHeld(t *testing.T, path string, atLeast int) {
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inPackage := regexp.MustCompile("`((?:pkg|internal|cmd)/[a-z]+)`((?:,? (?:Test|Fuzz)[A-Za-z0-9_]+)+)")
	name := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9_]*`)
	held := 0
	page = matrixPlace.ReplaceAll(page, nil) // one test covers all rows of this table
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| promise") || strings.HasPrefix(line, "| what happens") {
			continue
		}
		_, by, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		groups := inPackage.FindAllStringSubmatch(by, -1)
		if len(groups) == 0 {
			t.Errorf("no test holds this: %s", line)
		}
		found := 0
		for _, g := range groups {
			for _, test := range name.FindAllString(g[2], -1) {
				found++
				if !hasTest(t, g[1], test) {
					t.Errorf("%s has no %s", g[1], test)
				}
			}
		}
		if all := len(name.FindAllString(by, -1)); all != found {
			t.Errorf("%d of %d tests stand behind their package: %s", found, all, line)
		}
		held += found
	}
	if held < atLeast {
		t.Errorf("only %d tests are named", held)
	}
}

func hasTest(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

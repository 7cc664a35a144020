package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command has a man page, and every flag, exit code and environment variable is in a page.
func TestManPages(t *testing.T) {
	dir, p := t.TempDir(), testProgram()
	if err := p.writeMan([]string{dir}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	app := p.newApp()
	top := read("mcpauth.1")
	for _, v := range envVariables() {
		if !strings.Contains(top, escapeRoff(v.name)) {
			t.Errorf("%s is missing", v.name)
		}
	}
	for _, c := range app.Commands {
		text := read("mcpauth-" + c.Name + ".1")
		for _, f := range append(c.Flags, app.Flags...) {
			if head, _ := describeFlag(f); !strings.Contains(text, `\fB`+escapeRoff(head)+`\fR`) {
				t.Errorf("%s: %s is missing", c.Name, head)
			}
		}
		for _, want := range []string{".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES", ".SH EXIT CODES", "130  interrupted", ".SH SEE ALSO\nmcpauth(1), ", escapeRoff(c.Usage)} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", c.Name, want)
			}
		}
		if strings.Contains(text, escapeRoff("mcpauth-"+c.Name)+"(1)") {
			t.Errorf("%s: the page names itself as another", c.Name)
		}
		if !strings.Contains(top, escapeRoff("mcpauth "+c.Name)) {
			t.Errorf("mcpauth.1 does not name %s", c.Name)
		}
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"--name":      `\-\-name`,
		".SH fake":    `\&.SH fake`,
		"a\n'quoted'": "a\n\\&'quoted'",
		`C:\x`:        `C:\ex`,
	} {
		if got := escapeRoff(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

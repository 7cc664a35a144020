package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/flow"
)

func testOutput(width int) (*output, *strings.Builder) {
	var out strings.Builder
	o := newOutput(&out, &strings.Builder{}, func(string) (string, bool) { return "", false })
	o.width, o.outTerminal = width, width > 0
	return o, &out
}

func TestStatusTable(t *testing.T) {
	name, soon, ago := "linear", int64(54*60+10), int64(-3*3600-60)
	list := []flow.Status{
		{Name: &name, State: "valid", ExpiresIn: &soon, Refreshable: true, Scopes: []string{"read", "write"}},
		{URL: "https://a-server-with-quite-a-long-name.example.com/and/a/path/mcp", State: "expired", ExpiresIn: &ago, Scopes: []string{strings.Repeat("scope ", 12)}},
		{URL: "https://b", State: "unknown", Scopes: []string{}},
	}
	o, out := testOutput(0)
	if err := o.statusTable(list); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[0], "SERVER ") || !strings.Contains(out.String(), list[1].URL) {
		t.Errorf("piped:\n%s", out)
	}
	if got := strings.Fields(lines[1]); strings.Join(got, " ") != "linear valid in 54m yes read write" {
		t.Errorf("row %q", got)
	}
	if !strings.Contains(lines[2], "3h01m ago") || !strings.Contains(lines[3], " - ") {
		t.Errorf("piped:\n%s", out)
	}
	o, out = testOutput(80)
	if err := o.statusTable(list); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

// Text of a server cannot control a terminal. Data that is written to a pipe is not changed.
func TestText(t *testing.T) {
	const hostile = "a\x1b]0;title\x07b\r\u202ec\u009b2J\tend\n"
	o, out := testOutput(80)
	if err := o.writeText(hostile); err != nil || out.String() != "a]0;titlebc2J\tend\n" {
		t.Errorf("terminal: %q, %v", out, err)
	}
	o, out = testOutput(0)
	if err := o.writeText(hostile); err != nil || out.String() != hostile {
		t.Errorf("pipe: %q, %v", out, err)
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		5 * time.Second: "5s", 59*time.Minute + 59*time.Second: "59m", 90 * time.Minute: "1h30m", 47 * time.Hour: "47h00m", 72 * time.Hour: "3d",
	} {
		if got := roundDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"a": "a", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "https://x/y?z=1": "'https://x/y?z=1'",
		"n\u00e9": "n\u00e9", "n\u2028": "'n\u2028'", "%self": "'%self'", "=ls": "'=ls'", `a\`: `'a'\\''`, `\'; touch x; #`: `''\\''\''; touch x; #'`, `CORP\alice`: `'CORP\alice'`, `\\h`: `''\\'\h'`} {
		if got := posixQuoting.word(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// Masking folds a text like each function that prints one, so that no character becomes invisible only when the text is printed.
func TestPrintedCharactersAreMasked(t *testing.T) {
	var s httpx.Secrets
	s.Learn("canary-Vb5uJ9pLd3Wy")
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || r > 0x3000 && r%97 != 0 && !httpx.IsInvisible(r) {
			continue
		}
		clean := s.Clean("canary-" + string(r) + "Vb5uJ9pLd3Wy")
		for name, printed := range map[string]string{"oneLine": oneLine(clean), "foldLine": foldLine(clean)} {
			if strings.Contains(printed, "canary-Vb5uJ9pLd3Wy") {
				t.Errorf("%U: %s shows the secret", r, name)
			}
		}
	}
}

// A line break in a text of a server does not begin a new line, which could look like a message of mcpauth.
func TestOneLine(t *testing.T) {
	var out bytes.Buffer
	o := newOutput(io.Discard, &out, func(string) (string, bool) { return "", false })
	o.verbose = true
	const forged = "x\r\nmcpauth: logged in\vhint: a\u2028hint: b\u0085hint: c"
	o.printNote("%s", forged)
	o.printDetail("%s", forged)
	o.printWarning("%s", forged)
	o.writeError("code", forged, forged, 1)
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "hint: ") != strings.HasPrefix(line, "hint: x") || strings.HasPrefix(line, "mcpauth: l") {
			t.Errorf("a forged line: %q", line)
		}
	}
	o.printNote("%s", strings.Repeat("schema ", 100_000))
	if out.Len() > 8000 {
		t.Errorf("a note of %d bytes", out.Len())
	}
	if n := strings.Count(out.String(), "\n"); n != 6 {
		t.Errorf("%d lines, want 6: %q", n, out.String())
	}
}

package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// cmd.exe and PowerShell read each quoted word as one literal word. A word that one of them would change is replaced.
func TestWindowsWord(t *testing.T) {
	for word, want := range map[string]string{
		"echo":                      "echo",
		"text=hello":                "text=hello",
		"https://a.example/mcp":     "https://a.example/mcp",
		`C:\Users\RUNNER~1\key.pem`: `C:\Users\RUNNER~1\key.pem`,
		"--client-name":             "--client-name",
		"-H":                        "-H",
		"a b":                       `"a b"`,
		"it's":                      `"it's"`,
		"a&calc":                    `"a&calc"`,
		"a|b<c>d;(e),{f}":           `"a|b<c>d;(e),{f}"`,
		"@args":                     `"@args"`,
		"#x":                        `"#x"`,
		"~":                         `"~"`,
		"--x=https://a.example":     `"--x=https://a.example"`,
		"-a.b":                      `"-a.b"`,
		"n\u00e9":                   "n\u00e9",
		"":                          "VALUE",
		`a"b`:                       "VALUE",
		"%PATH%":                    "VALUE",
		"$(calc)":                   "VALUE",
		"`calc`":                    "VALUE",
		"!x!":                       "VALUE",
		"a^b":                       "VALUE",
		"a\nb":                      "VALUE",
		"\u201c; calc; \u201d":      "VALUE",
		"x\u201e":                   "VALUE",
		`a b\`:                      "VALUE",
		`text:="a"`:                 "text:=VALUE",
		"text=%PATH%":               "text=VALUE",
		"a b=$(calc)":               "VALUE",
		"=$(calc)":                  "VALUE",
		"--scope=$x":                "--scope=VALUE",
	} {
		if got := windowsQuoting.word(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

// Whatever the word is, nothing in the quoted form is special to either shell.
func FuzzWindowsWord(f *testing.F) {
	for _, word := range []string{"a b", `a"b`, "$x", "-a.b", "\u201c", "a=$b", `a b\`, "", "0~", "~x"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		got := windowsQuoting.word(word)
		inner, quoted := strings.CutPrefix(got, `"`)
		if quoted {
			inner, quoted = strings.CutSuffix(inner, `"`)
		}
		if inner == "" || strings.ContainsAny(inner, "\"%$`!^\n\r\x00\u201c\u201d\u201e") || quoted && strings.HasSuffix(inner, `\`) {
			t.Errorf("%q: %s", word, got)
		}
		if !quoted && (got != inner || strings.ContainsAny(inner, " \t'&|<>;(),{}#*?[]") || strings.Contains("@~", inner[:1])) {
			t.Errorf("%q: %s", word, got)
		}
		if inner != word && !strings.HasSuffix(inner, "VALUE") {
			t.Errorf("%q: %s is another word", word, got)
		}
	})
}

// On Linux and macOS, a word that PowerShell and a POSIX shell would read differently is replaced if PowerShell has started mcpauth.
func TestCommonWord(t *testing.T) {
	for word, want := range map[string]string{
		"echo":                        "echo",
		"text=hello":                  "text=hello",
		"https://a.example/mcp":       "https://a.example/mcp",
		"--client-name":               "--client-name",
		"a b":                         "'a b'",
		"a;b|c&d<e>(f){g}":            "'a;b|c&d<e>(f){g}'",
		"$(touch x)":                  "'$(touch x)'",
		"`touch x`":                   "'`touch x`'",
		"%20":                         "'%20'",
		"=ls":                         "'=ls'",
		"@args":                       "'@args'",
		"a,b":                         "'a,b'",
		"#x":                          "'#x'",
		"~":                           "'~'",
		"-a.b":                        "'-a.b'",
		"--x=https://a.example":       "'--x=https://a.example'",
		"n\u00e9":                     "n\u00e9",
		"\u201cx\u201d":               "'\u201cx\u201d'",
		"":                            "VALUE",
		"it's":                        "VALUE",
		"q=it's; touch owned #":       "q=VALUE",
		`a\`:                          "VALUE",
		`config:="@/home/u/id_rsa"`:   "config:=VALUE", // PowerShell 7.2 would remove the double quotes, so that mcpauth would read the file
		"\u2018; touch owned; \u2019": "VALUE",
		"x=\u201a":                    "x=VALUE",
		"\u201b":                      "VALUE",
	} {
		if got := commonQuoting.word(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	t.Setenv("PSModulePath", "/usr/local/share/powershell/Modules")
	line := callLine("s", "t", []exampleValue{{"q", json.RawMessage(`"it's; touch owned #"`)}})
	if want := "mcpauth call s t q=VALUE"; line != want {
		t.Errorf("got %s, want %s", line, want)
	}
}

// Whatever the word is, a POSIX shell reads the quoted form as that word, and nothing in the quoted form is special to PowerShell.
func FuzzCommonWord(f *testing.F) {
	for _, word := range []string{"a b", "it's", `a\b`, "-a.b", "\u2018", "a=$b", "", `"`} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		got := commonQuoting.word(word)
		inner, quoted := strings.CutPrefix(got, "'")
		if quoted {
			inner, quoted = strings.CutSuffix(inner, "'")
		}
		if inner == "" || strings.ContainsAny(inner, "'\"\\\u2018\u2019\u201a\u201b") {
			t.Errorf("%q: %s", word, got)
		}
		if !quoted && (got != inner || strings.ContainsAny(inner, " \t\r\n\x00$`&|<>;(),{}#*?[]~!^%") || inner[0] == '=' || inner[0] == '@') {
			t.Errorf("%q: %s", word, got)
		}
		if inner != word && !strings.HasSuffix(inner, "VALUE") {
			t.Errorf("%q: %s is another word", word, got)
		}
	})
}

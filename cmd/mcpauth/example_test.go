package main

import (
	"encoding/json"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Names and default values that a server chose are quoted in the example call, so that neither the shell nor mcpauth interprets them.
func TestCallLine(t *testing.T) {
	for _, tt := range []struct {
		name, tool string
		values     []exampleValue
		want       string
	}{
		{"plain", "echo", []exampleValue{{"text", nil}, {"n", json.RawMessage(`1`)}}, `mcpauth call s echo text=TEXT n:=1`},
		{"a default that names a file", "t", []exampleValue{{"config", json.RawMessage(`"@/home/u/.ssh/id_rsa"`)}}, `mcpauth call s t 'config:="@/home/u/.ssh/id_rsa"'`},
		{"the same behind what is not printed", "t", []exampleValue{{"config", json.RawMessage(`"\u200b@/etc/passwd"`)}}, `mcpauth call s t config:=VALUE`},
		{"a property that is a flag", "t", []exampleValue{{"--args", json.RawMessage(`"@/etc/passwd"`)}}, `mcpauth call s --args '{"--args":"@/etc/passwd"}' t`},
		{"a property that names a file", "t", []exampleValue{{"x=@/etc/passwd", nil}, {"b", nil}}, `mcpauth call s --args '{"x=@/etc/passwd":"TEXT","b":"TEXT"}' t`},
		{"a property of JSON from a file", "t", []exampleValue{{"x:", json.RawMessage(`"@a"`)}}, `mcpauth call s --args '{"x:":"@a"}' t`},
		{"a property that ends the line", "t", []exampleValue{{"x\nrm -rf ~", nil}}, `mcpauth call s --args '{"x\nrm -rf ~":"TEXT"}' t`},
		{"a tool that is a flag", "--config=evil", []exampleValue{{"a", nil}}, `mcpauth call s -- --config=evil a=TEXT`},
		{"the same behind what is not printed", "\u200b--header=X: @id_rsa", []exampleValue{{"a", nil}}, `mcpauth call s VALUE a=TEXT`},
		{"a tool that is a command", "$(touch x)", nil, `mcpauth call s '$(touch x)'`},
		{"a tool that zsh expands", "=ls", nil, `mcpauth call s '=ls'`},
		{"two lines", "t", []exampleValue{{"a", json.RawMessage(`"b\nmcpauth logout --all"`)}}, `mcpauth call s t 'a:="b\nmcpauth logout --all"'`},
		{"blanks that fill a line", "t", []exampleValue{{"a", json.RawMessage(`"x                    Example:"`)}}, `mcpauth call s t a=VALUE`},
		{"a letter that looks like a blank", "t", []exampleValue{{"a\u3164\u3164b", nil}}, `mcpauth call s t VALUE`},
		{"a property with blanks", "t", []exampleValue{{"a  b", nil}}, `mcpauth call s --args VALUE t`},
		{"a long property", "t", []exampleValue{{strings.Repeat("a", 200_000), nil}}, `mcpauth call s t VALUE`},
		{"many properties", "t", slices.Repeat([]exampleValue{{"abc", nil}}, 1000), `mcpauth call s --args VALUE t`},
		{"a tool with blanks", "-t \u2800 x", nil, `mcpauth call s -- VALUE`},
		{"not JSON", "t", []exampleValue{{"a", json.RawMessage(`@x`)}}, `mcpauth call s t a:=null`},
	} {
		got := callLine("s", tt.tool, tt.values)
		if got != tt.want && runtime.GOOS != "windows" { // TestWindowsWord covers the quotes of Windows
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// For any names and values: a shell splits the example call into the original words, and mcpauth reads none of them as a file or a flag.
func FuzzCallLine(f *testing.F) {
	f.Add("echo", "text", `"@/etc/passwd"`)
	f.Add("--x", "--args", `{"a":"'\\''"}`)
	f.Add("\u200b--header=X: @id_rsa", "a", "1")
	f.Add("-", "a=@b:", `"$(x)\n"`)
	f.Fuzz(func(t *testing.T, tool, name, value string) {
		if runtime.GOOS == "windows" || strings.ContainsRune(tool+name+value, 0) {
			return
		}
		line := callLine("s", tool, []exampleValue{{name, json.RawMessage(value)}})
		if strings.Contains(line, "\n") || blankLine(line, 1) != "" || len(line) > 10*maxWord {
			t.Fatalf("two lines, blanks that fill a line, or a long line: %q", line)
		}
		out, err := exec.Command("sh", "-c", "mcpauth() { printf '%s\\0' \"$@\"; }\n"+line).Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		app := testProgram().newApp()
		a, err := orderArgs(words, app.Flags, app.Commands)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		ended := false
		for _, word := range a.words {
			if ended = ended || word == "--"; !ended && isFlag(word) && word != "--args" {
				t.Errorf("%s: the flag %q", line, word)
			}
		}
		for i, word := range words[2:] {
			if arg, err := parseArg(word); err == nil && arg.file && words[i+1] != "--args" && word != oneLine(tool) {
				t.Errorf("%s: %q reads a file", line, word)
			}
		}
	})
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseArg(t *testing.T) {
	for _, test := range []struct {
		word string
		want toolArgument
	}{
		{"a=b", toolArgument{name: "a", value: "b"}},
		{"a=", toolArgument{name: "a"}},
		{"a=b=c", toolArgument{name: "a", value: "b=c"}},
		{"a:=1", toolArgument{name: "a", value: "1", json: true}},
		{"a:=12345678901234567890123", toolArgument{name: "a", value: "12345678901234567890123", json: true}},
		{`a:={"b":[1,null]}`, toolArgument{name: "a", value: `{"b":[1,null]}`, json: true}},
		{"a=@f", toolArgument{name: "a", value: "f", file: true}},
		{"a:=@f", toolArgument{name: "a", value: "f", json: true, file: true}},
		{"a.b=c", toolArgument{name: "a.b", value: "c"}},
		{"url=https://x?y:=z", toolArgument{name: "url", value: "https://x?y:=z"}},
		{"a::=1", toolArgument{name: "a:", value: "1", json: true}},
		{"a= @f", toolArgument{name: "a", value: " @f"}},
		{"a=\n", toolArgument{name: "a", value: "\n"}},
	} {
		if got, err := parseArg(test.word); err != nil || got != test.want {
			t.Errorf("%q: got %+v, %v", test.word, got, err)
		}
	}
}

func TestParseArgRefuses(t *testing.T) {
	for _, test := range []struct{ word, want string }{
		{"a", "is not name=value"},
		{"=b", "has no name"},
		{":=1", "has no name"},
		{"a=@", "names no file"},
		{"a:=five", "not JSON"},
		{"a:=", "not JSON"},
		{"a:=1 2", "not JSON"},
		{`a:={"b":1,"b":2}`, `"b" appears twice`},
		{"a=\xff", "not UTF-8"},
	} {
		_, err := parseArg(test.word)
		if !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v", test.word, err)
		}
	}
}

func FuzzParseArg(f *testing.F) {
	for _, seed := range []string{"a=b", "a:=1", "a=@f", "a:=@f", "=", ":=", "a:=[1,{\"b\":2}]", "a\x00=\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		a, err := parseArg(word)
		if err != nil {
			if !errors.As(err, new(*usageError)) {
				t.Fatalf("%q: %T", word, err)
			}
			return
		}
		if got := formatArg(a); got != word {
			t.Fatalf("%q became %q", word, got)
		}
	})
}

func TestArguments(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, object, broken := write("text", "two\nlines\n"), write("object", `{"a": 1e400}`), write("broken", `{"a":`)
	p := testProgram()
	p.stdin = strings.NewReader(`{"from":"stdin"}`)
	got, err := p.toolArguments([]string{"t=@" + text, "o:=@" + object, "b:=true"}, "-")
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Object) != `{"from":"stdin"}` || len(got.Args) != 3 || got.Args[0].Value != "two\nlines\n" || got.Args[0].JSON ||
		got.Args[1].Value != `{"a": 1e400}` || !got.Args[1].JSON || got.Args[2].Value != "true" {
		t.Errorf("got %+v", got)
	}
	if got, err := p.toolArguments(nil, "@"+object); err != nil || string(got.Object) != `{"a": 1e400}` {
		t.Errorf("--args @FILE: %+v, %v", got, err)
	}
	for name, run := range map[string]func() error{
		"--args of an array":    func() error { _, err := p.toolArguments(nil, "[1]"); return err },
		"--args of a duplicate": func() error { _, err := p.toolArguments(nil, `{"a":1,"a":2}`); return err },
		"--args missing file":   func() error { _, err := p.toolArguments(nil, "@"+dir+"/none"); return err },
		"broken file":           func() error { _, err := p.toolArguments([]string{"a:=@" + broken}, ""); return err },
		"missing file":          func() error { _, err := p.toolArguments([]string{"a=@" + dir + "/none"}, ""); return err },
	} {
		if err := run(); rowFor(err).exit != exitUsage {
			t.Errorf("%s: %v is not a usage error", name, err)
		}
	}
}

// formatArg is the inverse of parseArg.
func formatArg(a toolArgument) string {
	word := a.name
	if a.json {
		word += ":"
	}
	word += "="
	if a.file {
		word += "@"
	}
	return word + a.value
}

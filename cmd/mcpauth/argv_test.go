package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// testProgram returns a program without environment variables or input, for tests of its commands and flags.
func testProgram() *program {
	env := func(string) (string, bool) { return "", false }
	return &program{lookupEnv: env, stdin: strings.NewReader(""), out: newOutput(&strings.Builder{}, &strings.Builder{}, env)}
}

func TestArrange(t *testing.T) {
	app := testProgram().newApp()
	for _, test := range []struct{ name, args, want string }{
		{"nothing", "", ""},
		{"as it is", "--json status -- linear", "--json status -- linear"},
		{"global flag after the argument", "status linear --json", "--json status -- linear"},
		{"flags on both sides", "login --name a https://x --if-needed", "login --name a --if-needed -- https://x"},
		{"value that is an argument elsewhere", "call x t --args - a=b", "call --args - -- x t a=b"},
		{"short names become long", "-q status -v", "--quiet --verbose status"},
		{"value in the word", "status --timeout=5s x", "--timeout=5s status -- x"},
		{"false", "status --json=false", "--json=false status"},
		{"dashes after the end of flags", "call x t -- --json -- a", "call -- x t --json -- a"},
		{"end of flags before the command", "-- status", "status"},
		{"a command's own flag goes before a global one", "token -H a:b x --header", "--header a:b token --header -- x"},
		{"repeated flags keep their order", "login x --scope a --scope b", "login --scope a --scope b -- x"},
		{"value with a dash", "login x --browser -w", "login --browser -w -- x"},
		{"help words are servers too", "status help", "status -- help"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := orderArgs(strings.Fields(test.args), app.Flags, app.Commands)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(a.words, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestArrangeHelp(t *testing.T) {
	app := testProgram().newApp()
	for _, test := range []struct {
		args, command string
		help, version bool
	}{
		{"--help", "", true, false},
		{"status --help x", "status", true, false},
		{"status x -h --nonsense", "status", true, false},
		{"help login", "login", true, false},
		{"--version", "", false, true},
		{"call x t -- --help", "call", false, false},
	} {
		a, err := orderArgs(strings.Fields(test.args), app.Flags, app.Commands)
		if err != nil || a.help != test.help || a.version != test.version || a.command != test.command {
			t.Errorf("%q: %+v, %v", test.args, a, err)
		}
	}
}

func TestArrangeRefuses(t *testing.T) {
	app := testProgram().newApp()
	for _, test := range []struct{ args, message, hint string }{
		{"stauts", `unknown command "stauts"`, "did you mean mcpauth status?"},
		{"xyzzy", `unknown command "xyzzy"`, "mcpauth --help lists the commands"},
		{"status --jsno", `unknown flag "--jsno"`, "did you mean --json?"},
		{"login x --secret y", `unknown flag "--secret"`, "mcpauth login --help lists the flags"}, // not --cert
		{"status -json", `unknown flag "-json"`, "did you mean --json?"},
		{"--scope a login", `unknown flag "--scope" before a command`, "a command's own flags come after its name"},
		{"login x --name", "--name needs a value", ""},
		{"login x --name --if-needed", "--name needs a value", "--name=VALUE"},
		{"status --version", `unknown flag "--version"`, ""},
	} {
		_, err := orderArgs(strings.Fields(test.args), app.Flags, app.Commands)
		var u *usageError
		if !errors.As(err, &u) || u.message != test.message || !strings.Contains(u.hint, test.hint) {
			t.Errorf("%q: %v, hint %q", test.args, err, u.hint)
		}
	}
}

// For any command line: orderArgs loses no word, and arranging its result again changes nothing.
func FuzzArrange(f *testing.F) {
	for _, seed := range []string{"status linear --json", "call s t -- --json -- x", "-H a:b login --name n x", "login --scope=a\x00\n --scope b", "-- -- --", "- call", "exec a -q b -- c --json -- d", "exec -- a -- b"} {
		f.Add(strings.ReplaceAll(seed, " ", "\x1f"))
	}
	app := testProgram().newApp()
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x1f")
		a, err := orderArgs(args, app.Flags, app.Commands)
		if err != nil {
			if !errors.As(err, new(*usageError)) {
				t.Fatalf("%q: %T", args, err)
			}
			return
		}
		if a.help || a.version {
			return
		}
		again, err := orderArgs(a.words, app.Flags, app.Commands)
		if err != nil || !slices.Equal(again.words, a.words) {
			t.Fatalf("%q became %q, then %q: %v", args, a.words, again.words, err)
		}
		got, want := bag(a.words), bag(args)
		if a.command == "exec" { // the "--" before the command of exec is part of the arguments
			got, want = slices.DeleteFunc(got, func(w string) bool { return w == "--" }), slices.DeleteFunc(want, func(w string) bool { return w == "--" })
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q lost words: %q", args, a.words)
		}
	})
}

// bag returns the words without the first "--", with long flag names, sorted.
func bag(words []string) []string {
	before, after := cutAt(words, "--")
	var out []string
	for i, w := range slices.Concat(before, after) {
		long := map[string]string{"-q": "--quiet", "-v": "--verbose", "-H": "--header"}
		name, value, ok := strings.Cut(w, "=")
		if l := long[name]; l != "" && i < len(before) {
			if w = l; ok {
				w += "=" + value
			}
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// Only integer flags may have a default value. Other flags are not declared to urfave/cli unless they are given, so the library would not
// know their default.
func TestOnlyNumbersHaveDefaults(t *testing.T) {
	app := testProgram().newApp()
	flags := slices.Clone(app.Flags)
	for _, c := range app.Commands {
		flags = append(flags, c.Flags...)
	}
	for _, f := range flags {
		v := reflect.ValueOf(f).Elem().FieldByName("Value")
		if _, number := f.(*cli.IntFlag); !number && v.IsValid() && !v.IsZero() {
			t.Errorf("--%s has the default %v", f.Names()[0], v)
		}
	}
	got := usedFlags([]cli.Flag{&cli.StringFlag{Name: "aa"}, &cli.StringFlag{Name: "bb"}, &cli.BoolFlag{Name: "cc"}, &cli.BoolFlag{Name: "dd"}, &cli.IntFlag{Name: "nn"}},
		[]string{"--aa", "--dd", "x", "--cc=false", "--", "--bb"})
	if names := flagNames(got); !slices.Equal(names, []string{"--aa", "--cc", "--dd", "--nn"}) {
		t.Errorf("given: %q", names)
	}
}

// No message shows a value that the user gave for a header, even if the user made a mistake.
func TestNoMessageShowsAHeader(t *testing.T) {
	const secret = "sk-canary99" // shorter than the values that are masked
	file := func(headers string) string {
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(`{"mcpServers":{"a":{"url":"https://127.0.0.1:1/mcp","headers":`+headers+`}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	call := func(words ...string) []string {
		return append([]string{"tools", "https://127.0.0.1:1/mcp", "--timeout", "5s"}, words...)
	}
	for _, args := range [][]string{
		call("-H", secret), call("-H", "Bearer "+secret), call("-H", "Bearer "+secret+":x"), call("-H", ":"+secret), call("-H", "X: $"+secret), call("-H", "Bearer "+secret+": $X"),
		call("-HX: " + secret), call("-HX:" + secret), call("--headr=X: " + secret), call("-H=X: " + secret), call("-H", "X: "+secret+"\n"), call("-H", "Host: "+secret),
		call("-H", "X: "+secret), call("-H", "X: "+secret, "--verbose"),
		{"tools", "a", "--config", file(`{"X":["` + secret + `"]}`)}, {"tools", "a", "--config", file(`["X: ` + secret + `"]`)}, {"tools", "a", "--config", file(`"X: ` + secret + `"`)},
		{"tools", "a", "--config", file(`{"X":"` + secret + `\n"}`)}, {"tools", "a", "--config", file(`{"X: ` + secret + `":"a"}`)}, {"tools", "a", "--config", file(`{"X":"` + secret + `"}`)},
	} {
		home, stdout, stderr := t.TempDir(), &strings.Builder{}, &strings.Builder{}
		env := func(name string) (string, bool) {
			value, ok := map[string]string{"HOME": home, "MCPAUTH_KEYSTORE": "file"}[name]
			return value, ok
		}
		if code := run(t.Context(), slices.Clone(args), env, strings.NewReader(""), stdout, stderr); code == exitDone || stderr.Len() == 0 {
			t.Errorf("%q: exit %d", args, code)
		}
		if strings.Contains(stdout.String()+stderr.String(), secret) {
			t.Errorf("%q: %s", args, stderr)
		}
	}
}

package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// A hint keeps the flags of the user, except those that the suggested flag replaces or forbids. --auth-param is repeatable.
func TestHintKeepsFlags(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		flags []string
		want  string // the end of the hint
	}{
		{"parameters of the authorization request", flow.ErrNoAnswer, []string{"--auth-param audience=a", "--auth-param acr_values=mfa"},
			"mcpauth login s --auth-param audience=a --auth-param acr_values=mfa --auth-param prompt="},
		{"no resource parameter", discovery.ErrPKCE, []string{"--no-resource"}, "mcpauth login s --no-resource --assume-pkce-s256"},
		{"unknown scopes", &flow.ScopeError{}, []string{"--name m"}, "mcpauth login s --name m --scope SCOPE"},
		{"a client certificate that a URL did not get", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, []string{"--cacert ca.pem", "--cert 'my cert.pem'", "--key k.pem"},
			"mcpauth login s --cacert ca.pem --cert 'my cert.pem' --key k.pem --issuer ISSUER; or give another certificate"},
		{"a client certificate that the named issuer refuses", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, []string{"--cert c.pem", "--key k.pem", "--issuer https://as.example"},
			"mcpauth login s --issuer https://as.example --cert FILE --key FILE"},
	} {
		got := rowFor(tt.err).hint(hintInput{typed: commandLine{command: "login", flags: newTypedFlags(tt.flags...)}, server: "s", err: tt.err})
		if !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The hint does not suggest chmod for a folder that others use too. It recognizes such a folder, for example /tmp, by its sticky bit.
func TestModeHint(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // Windows has no sticky bit
	}
	folder := t.TempDir()
	for mode, want := range map[os.FileMode]string{0o755: "chmod 700 ", 0o777 | os.ModeSticky: "use a folder of your own: "} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		if got := modeHint(hintInput{}, &keystore.Error{Path: folder}); !strings.HasPrefix(got, want) {
			t.Errorf("%v: got %q", mode, got)
		}
	}
}

// An example, and a command that a message suggests, repeat the global flags. TestHintsWork tests the hints of the table of errors.
func TestSuggestedCommandsKeepGlobalFlags(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL())
	u.project(t, strings.ReplaceAll(`{"mcpServers":{"other":{"url":"SERVER"},"own":{"url":"SERVER","headers":{"Authorization":"x"}}}}`, "SERVER", u.good.URL()))
	u.must(t, exitDone, "trust")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"call", "SERVER"}, "hint: mcpauth tools SERVER --keystore file lists them"},
		{[]string{"call", "SERVER", "report", "pages=1", "--detach"}, "wait for the result: mcpauth task SERVER --keystore file demo-task"},
		{[]string{"tools", "SERVER", "echo"}, "mcpauth call SERVER --keystore file echo text="},
		{[]string{"tools", "SERVER", "echo", "-H", "X-Gate: canary-1", "-H", "X-Key:$HOME"}, "mcpauth call SERVER --keystore file --header " + shellWord("X-Gate: VALUE") + " --header " + shellWord("X-Key:$HOME") + " echo text="},
		{[]string{"tools", "nobody", "-H", "canary-2"}, "mcpauth login URL --keystore file --header " + shellWord("NAME: VALUE") + " --name nobody"},
		{[]string{"prompts", "SERVER", "review"}, "mcpauth prompt SERVER --keystore file review text=..."},
		{[]string{"login", "nobody", "--scope", "a"}, "store one under this name: mcpauth login URL --scope a --keystore file --name nobody"},
		{[]string{"login", "--all", "--client-secret-env", "S"}, "with these flags: mcpauth login other --client-secret-env S --keystore file\n"},
		{[]string{"login", "own", "--client-secret-env", "S"}, "give the URL instead of the name: mcpauth login SERVER --keystore file\n"},
	} {
		args := append(slices.Clone(tt.args), "--keystore", "file")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "SERVER", u.good.URL())
		}
		u.run(args...)
		want := strings.ReplaceAll(tt.want, "SERVER", u.good.URL())
		if got := u.stdout.String() + u.stderr.String(); !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

// No message contains a command for a server that was put together without hintInput, because such a command lacks the global flags.
func TestCommandsOfMessages(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range testProgram().allCommands() {
		if c.Name != "trust" { // uses no global flag
			names = append(names, c.Name)
		}
	}
	byHand := regexp.MustCompile(`mcpauth (` + strings.Join(names, "|") + `) (URL|%|$)`)
	read := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && fn.Name.Name == "loginLine" {
				return false
			}
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				read++
				if byHand.MatchString(strings.Trim(text.Value, "`\"")) {
					t.Errorf("%s: %s", file, text.Value)
				}
			}
			return true
		})
	}
	if read < 1000 {
		t.Errorf("only %d texts were read", read)
	}
}

package callback

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want [][]string // nil: refused
	}{
		{"firefox", [][]string{{"firefox"}}},
		{"firefox --new-window", [][]string{{"firefox", "--new-window"}}},
		{`"/opt/My Browser/run" -x ''`, [][]string{{"/opt/My Browser/run", "-x", ""}}},
		{`a $HOME;rm "b c"`, [][]string{{"a", "$HOME;rm", "b c"}}},
		{"firefox -P x %s:w3m::", [][]string{{"firefox", "-P", "x", "%s"}, {"w3m"}}},
		{`a "b:c" d\:e:f`, [][]string{{"a", "b:c", "d:e"}, {"f"}}},
		{"curl -x http://proxy -sL:w3m", [][]string{{"curl", "-x", "http://proxy", "-sL"}, {"w3m"}}},
		{`a "b`, nil},
		{"  ", nil},
		{":", nil},
		{"'':a", nil},
	} {
		if runtime.GOOS == "windows" {
			if strings.ContainsAny(tt.in, `;\`) {
				continue
			}
			tt.in = strings.ReplaceAll(strings.ReplaceAll(tt.in, "://", "\x00"), ":", ";")
			tt.in = strings.ReplaceAll(tt.in, "\x00", "://")
		}
		if got, err := splitCommands(tt.in); (err != nil) != (tt.want == nil) || !reflect.DeepEqual(got, tt.want) && tt.want != nil {
			t.Errorf("commands(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// $BROWSER is a list. Open skips a command that does not exist or fails at once. If all commands fail, the error names each of them.
func TestOpenTriesTheListInOrder(t *testing.T) {
	sep := string(listSeparator)
	seen := filepath.Join(t.TempDir(), "seen")
	t.Setenv("SEEN", seen)
	fails, program := exitsWith1(t), recorder(t)
	const address = "https://as.example.com/"
	if err := Open(context.Background(), "no-such-browser"+sep+fails+sep+program+" first"+sep+program+" second", address); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for deadline := time.Now().Add(10 * time.Second); len(got) == 0 && time.Now().Before(deadline); {
		got, _ = os.ReadFile(seen)
	}
	if want := "first\n" + address + "\ntoken=\n"; string(got) != want {
		t.Errorf("the browser got %q, want %q", got, want)
	}
	err := Open(context.Background(), "no-such-browser"+sep+fails, address)
	if err == nil || !strings.Contains(err.Error(), "no-such-browser: ") || !strings.Contains(err.Error(), fails+": exit status 1") {
		t.Errorf("got %v, want both failures", err)
	}
	if err := Open(context.Background(), fails+sep+"none"+sep+program, address); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("got %v, want ErrNoBrowser", err)
	}
}

// exitsWith1 builds a program that exits with status 1.
func exitsWith1(t *testing.T) string {
	return build(t, "package main\nimport \"os\"\nfunc main() { os.Exit(1) }")
}

func TestPlace(t *testing.T) {
	for _, tt := range []struct{ argv, want []string }{
		{[]string{"b"}, []string{"b", "U"}},
		{[]string{"b", "-x"}, []string{"b", "-x", "U"}},
		{[]string{"b", "%s", "-x"}, []string{"b", "U", "-x"}},
	} {
		if got := insertURL(tt.argv, "U"); !slices.Equal(got, tt.want) {
			t.Errorf("place(%q) = %q, want %q", tt.argv, got, tt.want)
		}
	}
}

// The browser receives the URL as one argument, even if the URL has characters that a shell interprets. Its environment has none of
// mcpauth's own variables.
func TestOpenPassesOneArgument(t *testing.T) {
	out := filepath.Join(t.TempDir(), "seen")
	t.Setenv("MCPAUTH_ACCESS_TOKEN", "canary")
	t.Setenv("SEEN", out)
	program := recorder(t)
	address := "https://as.example.com/authorize?a=$(touch%20x)&b=%22;id;%22"
	if err := Open(context.Background(), program+" 'a b'", address); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	var seen []byte
	for len(seen) == 0 && time.Now().Before(deadline) {
		seen, _ = os.ReadFile(out)
	}
	if want := "a b\n" + address + "\ntoken=\n"; string(seen) != want {
		t.Errorf("the browser got %q, want %q", seen, want)
	}
}

// recorder builds a program that writes its arguments to $SEEN.
func recorder(t *testing.T) string {
	t.Helper()
	return build(t, `package main
import ("os"; "strings")
func main() {
	tmp := os.Getenv("SEEN")+".tmp"
	os.WriteFile(tmp, []byte(strings.Join(os.Args[1:], "\n")+"\ntoken="+os.Getenv("MCPAUTH_ACCESS_TOKEN")+"\n"), 0o600)
	os.Rename(tmp, os.Getenv("SEEN"))
}`)
}

func build(t *testing.T, src string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program.exe")
	if out, err := exec.Command("go", "build", "-o", program, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func TestOpenRefusesAddresses(t *testing.T) {
	for _, address := range []string{"http://as.example.com/", "file:///etc/passwd", "javascript:alert(1)", "-https://x", "--version", "https://u:p@x/", "https://x/\n-y"} {
		var refused *httpx.AddressError
		if err := Open(context.Background(), "false", address); !errors.As(err, &refused) {
			t.Errorf("%q: got %v, want an AddressError", address, err)
		}
	}
}

func TestOpenTellsOfABrowserThatIsNotThere(t *testing.T) {
	err := Open(context.Background(), "no-such-browser-anywhere", "https://as.example.com/")
	if err == nil || !strings.Contains(err.Error(), "no-such-browser-anywhere") {
		t.Errorf("got %v", err)
	}
}

func TestSystemBrowserIsNoShell(t *testing.T) {
	if argv := systemBrowser(); argv != nil && slices.Contains([]string{"sh", "bash", "cmd", "cmd.exe", "powershell"}, filepath.Base(argv[0])) {
		t.Errorf("opens by %q", argv)
	}
}

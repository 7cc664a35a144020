// These tests run mcpauth as a process against the hostile servers of package attack. Every host name resolves to the attacker. In each
// attack, no secret is sent to a stranger, no browser opens a URL that is not allowed, no token is stored, and no control character is
// printed.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"mcpauth/internal/attack"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/keystore"
)

func TestHostileWorld(t *testing.T) {
	t.Parallel()
	expected := fates()
	for i, a := range attack.All() {
		f, ok := expected[a.Name]
		if !ok {
			t.Errorf("nobody knows how %s ends", a.Name)
			continue
		}
		delete(expected, a.Name)
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			play(t, a, f)
		})
	}
	for name := range expected {
		t.Errorf("there is no attack %s", name)
	}
}

// play plays one attack.
func play(t *testing.T, a attack.Attack, f fate) {
	w, err := attack.Start(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	v := newVictim(t, w, strings.TrimPrefix(a.Name, "callback/"))
	if a.Later || f.honest != nil {
		if f.honest == nil {
			f.honest = []string{"login", "SERVER"}
		}
		if code := v.run(f.honest...); code != exitDone {
			t.Fatalf("before the attack: exit %d\n%s", code, v.stderr.String())
		}
	}
	if a.Later {
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	if f.args == nil {
		f.args = []string{"login", "SERVER"}
	}
	v.stdin = f.stdin
	code := v.run(f.args...)
	if code != f.exit {
		t.Errorf("exit %d, want %d\n%.2000s", code, f.exit, v.stderr.String())
	}
	if !regexp.MustCompile(f.says).MatchString(v.stderr.String()) {
		t.Errorf("stderr does not match %q:\n%.2000s", f.says, v.stderr.String())
	}
	v.check(t, f)
}

// check fails the test if the attack succeeded.
func (v *victim) check(t *testing.T, f fate) {
	t.Helper()
	for _, leak := range v.world.Leaks() {
		t.Error(leak)
	}
	if s := v.world.Strangers(); len(s) > 0 && !f.stranger {
		t.Errorf("strangers were asked: %q", s)
	}
	if n := v.world.Calls(); f.calls > 0 && n != f.calls {
		t.Errorf("the server received %d calls, want %d", n, f.calls)
	}
	for _, secret := range v.world.Secrets() {
		if attack.Holds(v.stderr.String(), secret) || !f.passes && attack.Holds(v.stdout.String(), secret) {
			t.Errorf("a secret (%.12s…) is shown", secret)
		}
		for _, address := range v.opened(t) {
			if attack.Holds(address, secret) {
				t.Errorf("a secret (%.12s…) is in the address that the browser opened", secret)
			}
		}
		for name, text := range v.outside(t) {
			if attack.Holds(text, secret) {
				t.Errorf("a secret (%.12s…) is in %s", secret, name)
			}
		}
	}
	if bad := control(v.stderr.String()); bad != "" {
		t.Errorf("stderr holds %q", bad)
	}
	if line := regexp.MustCompile(`(?m)^ *hint: (mcpauth logout|curl).*`).FindString(v.stderr.String() + "\n" + v.stdout.String()); line != "" {
		t.Errorf("a server wrote a line of ours: %s", line)
	}
	if line := regexp.MustCompile(`(?m)^hint: .*--issuer h.*`).FindString(v.stderr.String()); line != "" {
		t.Errorf("a hint names an authorization server that a server chose: %s", line)
	}
	if strings.Contains(v.stdout.String(), attack.Flag) {
		t.Errorf("stdout contains a name that is a flag:\n%.2000s", v.stdout.String())
	}
	if f.shows != "" && !strings.Contains(v.stdout.String(), f.shows) {
		t.Errorf("stdout does not contain %s:\n%.2000s", f.shows, v.stdout.String())
	}
	lines, printed := blankLine(v.stderr.String(), 1), v.stderr.String()
	if args := f.args; args[0] == "discover" || slices.Contains([]string{"tools", "prompts"}, args[0]) && len(args) == 3 { // tables align their columns with blanks, and results are data
		lines, printed = lines+blankLine(v.stdout.String(), 2), printed+v.stdout.String()
	}
	if lines != "" {
		t.Errorf("blanks of a server could fill a line of the terminal: %.500q", lines)
	}
	if n := len(printed); n > 16<<10 {
		t.Errorf("mcpauth prints %d bytes", n)
	}
	for _, address := range v.opened(t) {
		if u, err := httpx.Check(address, false); err != nil || !slices.Contains([]string{attack.AS, attack.AS2, attack.IDP}, "https://"+u.Hostname()) {
			t.Errorf("the browser was opened at %q", address)
		}
	}
	if stored := v.holdsToken(t); stored != f.good && !slices.Contains(f.args, "logout") {
		t.Errorf("a token is stored: %v, want %v", stored, f.good)
	}
}

// blankLine returns a line that contains more than most blanks in a row, or a character that looks like a blank or is invisible. mcpauth itself
// writes several blanks at the beginning of a line and after its first word.
func blankLine(s string, most int) string {
	for line := range strings.Lines(s) {
		line = strings.Map(func(r rune) rune {
			if r == '\n' || unicode.Is(unicode.Mn, r) { // a mark hides no blank
				return -1
			}
			return r
		}, line)
		text := strings.TrimLeft(line, " ")
		if first, rest, ok := strings.Cut(text, " "); ok {
			text = first + " " + strings.TrimLeft(rest, " ")
		}
		if len(line)-len(text) > 16 || strings.Contains(text, strings.Repeat(" ", most+1)) || strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && httpx.IsInvisible(r) }) {
			return line
		}
	}
	return ""
}

// control returns the characters of s that could control a terminal.
func control(s string) string {
	var bad strings.Builder
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			bad.WriteRune(r)
		}
	}
	return bad.String()
}

// victim is the attacked user.
type victim struct {
	world          *attack.World
	home           string
	env            []string
	umask          bool // the program starts with umask 0
	stdin          string
	stdout, stderr bytes.Buffer
}

// homeFolder returns a temporary folder that is removed when the test ends. If the removal fails, homeFolder tries again, because a browser
// may outlive the login and write to the folder.
func homeFolder(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "mcpauth-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if err = os.RemoveAll(home); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error(err)
	})
	return home
}

func newVictim(t *testing.T, w *attack.World, stranger string) *victim {
	home := homeFolder(t)
	for name, text := range map[string]string{"id-token": w.IDToken(), "assertion": w.Assertion(attack.AS2), "assertion-as": w.Assertion(attack.AS)} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v := &victim{world: w, home: home}
	v.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "MCPAUTH_KEYSTORE=file", "IDP_SECRET=demo-cs-idp", "CLIENT_SECRET=demo-cs-basic", "USER_KEY=" + attack.UserKey, "BROWSER=visitor " + stranger, "VISITS=" + filepath.Join(home, "visits"),
		"TMPDIR=" + os.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "USERPROFILE=" + home,
		"GORACE=atexit_sleep_ms=0"}, w.Env()...)
	return v
}

// run runs the program and returns its exit code.
func (v *victim) run(args ...string) int {
	if v.world != nil {
		args = append([]string{"--cacert", v.world.CAFile()}, args...)
		if args[2] == "login" { // every host requests a client certificate; login stores the names of the certificate files for the later commands
			args = append(args, "--cert", v.world.ClientCertificate())
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "SERVER", v.world.URL())
		}
	}
	v.stdout.Reset()
	v.stderr.Reset()
	path, err := built()
	if err != nil {
		v.stderr.WriteString(err.Error())
		return -1
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // after the build
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	if v.umask {
		cmd = exec.CommandContext(ctx, "sh", append([]string{"-c", `umask 0; exec "$@"`, "sh", path}, args...)...)
	}
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = v.env, v.home, strings.NewReader(v.stdin), &v.stdout, &v.stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// opened returns the URLs that the browser was opened with.
func (v *victim) opened(t *testing.T) []string {
	data, err := os.ReadFile(filepath.Join(v.home, "visits"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// outside returns what may hold no secret: the files in mcpauth's folders, except those of the store, and the public part of each record.
func (v *victim) outside(t *testing.T) map[string]string {
	texts := map[string]string{}
	_ = filepath.WalkDir(filepath.Join(v.home, ".local", "state"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			texts[path] = string(data)
		}
		return nil
	})
	store, err := keystore.Open(keystore.Options{Backend: keystore.File, StateDir: filepath.Join(v.home, ".local", "state", "mcpauth"),
		Dir: filepath.Join(v.home, ".local", "share", "mcpauth")})
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := store.List(t.Context())
	for _, e := range entries {
		texts["the public part of a record"] += string(e.Public)
	}
	return texts
}

// holdsToken reports whether mcpauth status shows a stored token.
func (v *victim) holdsToken(t *testing.T) bool {
	t.Helper()
	env := func(name string) (string, bool) {
		for _, e := range v.env {
			if k, value, _ := strings.Cut(e, "="); k == name {
				return value, true
			}
		}
		return "", false
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"status", "--json"}, env, strings.NewReader(""), &out, &errs); code != exitDone {
		t.Fatalf("status: %d %s", code, errs.String())
	}
	return strings.Contains(out.String(), `"state": "valid"`)
}

// visitorMain is the browser. It records the URL and then opens it. If its argument names an attack on the callback, it sends the request
// of that attack first.
func visitorMain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	address := os.Args[len(os.Args)-1]
	f, err := os.OpenFile(os.Getenv("VISITS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, address)
		err = errors.Join(err, f.Close())
	}
	if file := os.Getenv("CHILD_ENV"); file != "" && err == nil {
		err = os.WriteFile(file, []byte(strings.Join(slices.Concat(os.Args, os.Environ()), "\n")), 0o600)
	}
	page := ""
	if err == nil {
		page, err = attack.Visit(ctx, os.Args[1], address)
	}
	if err == nil {
		err = os.WriteFile(os.Getenv("VISITS")+".page", []byte(page), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "visitor:", err)
		os.Exit(1)
	}
}

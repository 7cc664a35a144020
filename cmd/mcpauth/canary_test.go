// The search for leaked secrets. Each story records what mcpauth prints and with which arguments it starts a browser. When the story ends,
// the harness searches these records and the files outside the store. The harness must not find a secret that the servers issued or
// received, or a secret from the store. It searches for the secret itself and for its percent-encoded and base64 forms.

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mcpauth/internal/attack"
	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// recordedMain is main, but records what it prints in the folder $CANARY.
func recordedMain() {
	dir := os.Getenv("CANARY")
	if dir == "" {
		main()
		return
	}
	stdout, stderr := io.Writer(os.Stdout), io.Writer(os.Stderr)
	if !slices.Contains(os.Args, "token") { // the only command that may print a secret
		stdout = io.MultiWriter(stdout, recordIn(dir, "stdout"))
	}
	stderr = io.MultiWriter(stderr, recordIn(dir, "stderr"))
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, stdout, stderr))
}

// recordIn creates the record of this process, a file whose name contains the arguments.
func recordIn(dir, what string) io.Writer {
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.Join(os.Args[1:], " "))
	f, err := os.CreateTemp(dir, fmt.Sprintf("%.80s.%s-*", name, what))
	if err != nil {
		return io.Discard // the story has ended and its folder is removed, so nobody would read the record
	}
	return f
}

// recordChild records the arguments of a browser. It omits the environment, which may contain secrets that the story set;
// TestChildrenSeeNoSecret checks it.
func recordChild() {
	if dir := os.Getenv("CANARY"); dir != "" {
		fmt.Fprintln(recordIn(dir, "browser"), strings.Join(os.Args, "\n"))
	}
}

// watchStory records the runs of a story, and searches the records when the story ends.
func watchStory(e *testscript.Env) error {
	dir := filepath.Join(e.WorkDir, ".canary")
	e.Setenv("CANARY", dir)
	e.Defer(func() {
		secrets := storedSecrets(filepath.Join(e.WorkDir, "home"))
		for _, s := range e.Values[demosKey{}].(map[string]*demo.Server) {
			secrets = append(secrets, s.Secrets()...)
		}
		for _, found := range spilt(e.WorkDir, secrets) {
			e.T().Log(found)
			defer e.T().FailNow()
		}
	})
	return os.MkdirAll(dir, 0o700)
}

// spilt returns the records and the files outside the store that contain one of the secrets. It does not search files outside the home
// folder, because the story itself may have written secrets there.
func spilt(work string, secrets []string) []string {
	var list []string
	store := filepath.Join(work, "home", ".local", "share", "mcpauth")
	for _, place := range []string{".canary", "home", "run", ".tmp"} {
		_ = filepath.WalkDir(filepath.Join(work, place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // a file that cannot be read is not searched
			}
			if strings.HasPrefix(path, store+string(filepath.Separator)) {
				return fs.SkipDir
			}
			data, _ := os.ReadFile(path)
			for _, s := range secrets {
				if attack.Holds(string(data), s) {
					list = append(list, fmt.Sprintf("the secret %.14s… is in %s", s, path))
				}
			}
			return nil
		})
	}
	return list
}

// storedSecrets returns the secrets in the file store of a home folder.
func storedSecrets(home string) []string {
	store, err := keystore.Open(keystore.Options{Backend: keystore.File, StateDir: filepath.Join(home, ".local", "state", "mcpauth"),
		Dir: filepath.Join(home, ".local", "share", "mcpauth")})
	if err != nil {
		return nil
	}
	entries, _ := store.List(context.Background())
	var secrets []string
	for _, e := range entries {
		if r, err := store.Get(context.Background(), e.Key); err == nil {
			var v any
			if json.Unmarshal(r.Secret, &v) == nil {
				secrets = append(secrets, secretsIn("", v)...)
			}
		}
	}
	return secrets
}

// secretsIn returns the strings of a stored record that are secrets: tokens, client secrets, code verifiers, states and private keys.
func secretsIn(name string, v any) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			list = append(list, secretsIn(k, inner)...)
		}
	case string:
		if slices.Contains([]string{"access_token", "refresh_token", "secret", "registration_token", "client_secret", "verifier", "d"}, name) {
			list = append(list, v)
		}
	}
	return list
}

// The search for secrets must find a planted secret in every place and in every form.
func TestCanariesAreFound(t *testing.T) {
	const secret = "demo-rt-ABCDEFGHIJ/KLMN+OP"
	for name, text := range map[string]string{
		"raw": "x" + secret + "y", "percent": "token=demo-rt-ABCDEFGHIJ%2FKLMN%2BOP&", "base64": base64.StdEncoding.EncodeToString([]byte("id:" + secret + "\n")),
		"base64url": base64.RawURLEncoding.EncodeToString([]byte(`{"a":"` + secret + `"}`)),
	} {
		for _, place := range []string{".canary/stdout-1", "home/.local/state/mcpauth/index.json", "run/x", ".tmp/y"} {
			work := t.TempDir()
			file := filepath.Join(work, filepath.FromSlash(place))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if len(spilt(work, []string{"another-secret", secret})) != 1 {
				t.Errorf("%s in %s was not found", name, place)
			}
		}
	}
	stored := map[string]any{"token": map[string]any{"access_token": "a"}, "dpop_key": map[string]any{"d": "k", "x": "public"}, "client": map[string]any{"id": "c", "secret": "s"}}
	if got := secretsIn("", stored); len(got) != 3 || slices.Contains(got, "c") || slices.Contains(got, "public") {
		t.Errorf("secrets of a record: %q", got)
	}
}

// The search for secrets where none may be. Every run of the program in every story is recorded: what it prints, and what its browser
// is given. When the story ends, all secrets that its servers gave or were sent, and all that the store holds, are looked for there and in
// the files outside the store, raw, percent-encoded and in base64.

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

// recordedMain is main, writing down what it prints in the folder $CANARY.
func recordedMain() {
	dir := os.Getenv("CANARY")
	if dir == "" {
		main()
		return
	}
	stdout, stderr := io.Writer(os.Stdout), io.Writer(os.Stderr)
	if !slices.Contains(os.Args, "token") { // the one command that is to print a secret
		stdout = io.MultiWriter(stdout, recordIn(dir, "stdout"))
	}
	stderr = io.MultiWriter(stderr, recordIn(dir, "stderr"))
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, stdout, stderr))
}

// recordIn returns a new file of this process, named for its arguments.
func recordIn(dir, what string) io.Writer {
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.Join(os.Args[1:], " "))
	f, err := os.CreateTemp(dir, fmt.Sprintf("%.80s.%s-*", name, what))
	if err != nil {
		return io.Discard // after the folder is gone nobody looks any more
	}
	return f
}

// recordChild writes down the arguments of a browser. Its environment holds what the story put there; see TestChildrenSeeNoSecret.
func recordChild() {
	if dir := os.Getenv("CANARY"); dir != "" {
		fmt.Fprintln(recordIn(dir, "browser"), strings.Join(os.Args, "\n"))
	}
}

// watchStory records the runs of a story, and looks at them at its end.
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

// spilt lists the places where one of the secrets is, and should not be: what was printed, and the files of the home folder outside the
// store. What a story itself writes lies beside the home folder, and is its own business.
func spilt(work string, secrets []string) []string {
	var list []string
	store := filepath.Join(work, "home", ".local", "share", "mcpauth")
	for _, place := range []string{".canary", "home", "run", ".tmp"} {
		_ = filepath.WalkDir(filepath.Join(work, place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what cannot be read has nothing to tell
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

// storedSecrets reads the file store of a home folder.
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

// secretsIn lists the texts in a stored record whose members hold secrets: tokens, client secrets, verifiers, states, private keys.
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

// A harness that finds nothing must be able to find something.
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

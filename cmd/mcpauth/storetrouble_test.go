//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"
)

// record returns the file of the only stored login and the folder of the store.
func (m *machine) folder() string { return filepath.Join(m.home, ".local", "share", "mcpauth") }

func (m *machine) record(t *testing.T) string {
	t.Helper()
	return only(t, filepath.Join(m.folder(), "*.credential"))
}

// In each fault of the store, every command that needs the store exits with 6, and its message names the fault. No refresh token is
// redeemed, nothing is stored elsewhere, and no browser opens. When the fault is corrected, the login works as before.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	aside := func(path string, instead func() error) error {
		return errors.Join(os.Rename(path, path+".aside"), instead())
	}
	back := func(path string) error {
		return errors.Join(os.RemoveAll(path), os.Rename(path+".aside", path))
	}
	change := func(path string, f func([]byte) []byte) error {
		data, err := os.ReadFile(path)
		return errors.Join(err, aside(path, func() error { return os.WriteFile(path, f(data), 0o600) }))
	}
	for _, tt := range []struct {
		name string
		at   func(m *machine, t *testing.T) string // what is in trouble
		do   func(path string) error
		undo func(path string) error // nil: back
		says string
	}{
		{name: "the folder is a link", at: folderOf, says: "symbolic link",
			do: func(p string) error { return aside(p, func() error { return os.Symlink(p+".aside", p) }) }},
		{name: "the folder is a file", at: folderOf, says: "not a folder",
			do: func(p string) error { return aside(p, func() error { return os.WriteFile(p, nil, 0o600) }) }},
		{name: "the folder is open to others", at: folderOf, says: "mode gives other users access: 0755, expected 0700.*chmod 700 ",
			do: func(p string) error { return os.Chmod(p, 0o755) }, undo: func(p string) error { return os.Chmod(p, 0o700) }},
		{name: "the record is a link", at: recordOf, says: "symbolic link",
			do: func(p string) error { return aside(p, func() error { return os.Symlink(p+".aside", p) }) }},
		{name: "the record is open to others", at: recordOf, says: "mode gives other users access: 0644, expected 0600.*chmod 600 ",
			do: func(p string) error { return os.Chmod(p, 0o644) }, undo: func(p string) error { return os.Chmod(p, 0o600) }},
		{name: "the record is empty", at: recordOf, says: "not a record of mcpauth",
			do: func(p string) error { return change(p, func([]byte) []byte { return nil }) }},
		{name: "half a record", at: recordOf, says: "incomplete, changed",
			do: func(p string) error { return change(p, func(d []byte) []byte { return d[:len(d)/2] }) }},
		{name: "one letter is another", at: recordOf, says: "incomplete, changed",
			do: func(p string) error {
				return change(p, func(d []byte) []byte { return bytes.Replace(d, []byte("refresh_token"), []byte("refresh_tokem"), 1) })
			}},
		{name: "somebody else's record", at: recordOf, says: "copied from another credential",
			do: func(p string) error {
				return change(p, func(d []byte) []byte { return bytes.Replace(d, []byte(`"generation":`), []byte(`"generation":7`), 1) })
			}},
		{name: "written by a newer mcpauth", at: recordOf, says: "version 2.*hint: a newer mcpauth",
			do: func(p string) error {
				return change(p, func(d []byte) []byte { return bytes.Replace(d, []byte(`"mcpauth":1`), []byte(`"mcpauth":2`), 1) })
			}},
		{name: "notes cannot be written", at: func(m *machine, _ *testing.T) string {
			return filepath.Join(m.home, ".local", "state", "mcpauth", "notes")
		}, says: "not a folder",
			do: func(p string) error { return aside(p, func() error { return os.WriteFile(p, nil, 0o600) }) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.does(t, exitDone, "login", "SERVER")
			path := tt.at(m, t)
			if err := tt.do(path); err != nil {
				t.Fatal(err)
			}
			m.set(t, "expire")
			m.failsInTheStore(t, tt.says, "refresh", "SERVER")
			if filepath.Base(path) != "notes" {
				m.failsInTheStore(t, tt.says, "call", "SERVER", "echo", "text=x")
				m.failsInTheStore(t, tt.says, "token", "SERVER")
				m.failsInTheStore(t, tt.says, "login", "SERVER")
			}
			m.counts(t, map[string]int{"token": 1, "authorize": 1})
			if tt.undo == nil {
				tt.undo = back
			}
			if err := tt.undo(path); err != nil {
				t.Fatal(err)
			}
			m.does(t, exitDone, "refresh", "SERVER")
			m.counts(t, map[string]int{"refresh": 1, "reuse": 0, "login": 1})
		})
	}
}

func folderOf(m *machine, _ *testing.T) string { return m.folder() }
func recordOf(m *machine, t *testing.T) string { return m.record(t) }

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d files are %s, %v", len(found), pattern, err)
	}
	return found[0]
}

// failsInTheStore runs a command. The command must exit with 6, and its stderr must match the regular expression says.
func (m *machine) failsInTheStore(t *testing.T, says string, args ...string) {
	t.Helper()
	p := m.does(t, exitKeystore, args...)
	if !regexp.MustCompile("(?s)" + says).Match(p.stderr.Bytes()) {
		t.Errorf("%q does not say %q:\n%s", args, says, &p.stderr)
	}
	p = m.does(t, exitKeystore, append([]string{"--json"}, args...)...)
	var line struct{ Error struct{ Code string } }
	if err := json.Unmarshal(p.stderr.Bytes(), &line); err != nil || line.Error.Code != "keystore" {
		t.Errorf("%q with --json: %v\n%s", args, err, &p.stderr)
	}
}

// A file store that is encrypted with an age key. Without the key, no credential can be read, none is stored unencrypted, and none is lost.
func TestEncryptedStore(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	without := m.env
	m.env = append(m.env[:len(m.env):len(m.env)], "MCPAUTH_KEYSTORE_KEY_FILE="+key)
	m.does(t, exitDone, "login", "SERVER")
	data, err := os.ReadFile(m.record(t))
	_, data, _ = bytes.Cut(data, []byte("\n")) // behind the public part
	if err != nil || bytes.Contains(data, []byte("demo-")) || !bytes.Contains(data, []byte("age-encryption.org")) {
		t.Fatalf("the record is not encrypted, %v", err)
	}
	with := m.env
	m.env = without
	m.set(t, "expire")
	m.failsInTheStore(t, "encrypted, but no key file is given", "call", "SERVER", "echo", "text=x")
	m.failsInTheStore(t, "encrypted, but no key file is given", "login", "SERVER")
	m.counts(t, map[string]int{"token": 1, "authorize": 1})
	m.env = with
	m.does(t, exitDone, echo...)
	m.counts(t, map[string]int{"refresh": 1, "login": 1})
	m.does(t, exitDone, "logout", "SERVER")
}

// If the folder of the store or the record of a login is missing, every command says that there is no login. The index still lists the
// login.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	for _, path := range []string{m.record(t), m.folder()} {
		if err := os.Rename(path, path+".aside"); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"status", "token", "refresh"} {
			m.does(t, exitAuth, verb, "SERVER")
		}
		if p := m.does(t, exitDone, "status", "--json"); strings.TrimSpace(p.stdout.String()) != "[]" {
			t.Errorf("without %s: status shows %s", path, &p.stdout)
		}
		if err := os.Rename(path+".aside", path); err != nil {
			t.Fatal(err)
		}
	}
	m.does(t, exitDone, "refresh", "SERVER")
	m.counts(t, map[string]int{"refresh": 1, "login": 1})
}

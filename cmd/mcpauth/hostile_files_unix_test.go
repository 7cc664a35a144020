//go:build !windows

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A login with a project's file uses two files of the project. If the user names another file in place of one of them, mcpauth still refuses
// the project's other file after it has become a link.
func TestProjectMovesTheOtherFile(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	key, jwt := keyedClient(t, u.good), u.good.Assertion("ann", time.Hour)
	if err := os.Mkdir(filepath.Join(u.home, "p"), 0o755); err != nil {
		t.Fatal(err)
	}
	project := user{&victim{home: filepath.Join(u.home, "p"), env: u.env}, u.good}
	for _, tt := range []struct {
		moved, flag string
		flags       []string // flags of the user's login
	}{
		{"p/k.pem", "--client-key", []string{"--assertion-file", "own.jwt"}},
		{"p/a.jwt", "--assertion-file", []string{"--client-key", "own.pem", "--client-id", "keyed"}},
	} {
		for _, inProject := range []bool{false, true} {
			for name, text := range map[string]string{"p/k.pem": key, "own.pem": key, "p/a.jwt": jwt, "own.jwt": jwt} {
				path := filepath.Join(u.home, name)
				_ = os.Remove(path)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			project.project(t, `{"mcpServers":{"evil":{"url":"`+u.good.URL()+`","auth":{"clientId":"keyed","clientKey":"k.pem","assertionFile":"a.jwt","grant":"jwt_bearer"}}}}`)
			project.must(t, exitDone, "trust")
			project.must(t, exitDone, "login", "evil")
			flags := append([]string{"login", "evil"}, tt.flags...)
			if inProject {
				for i := range flags {
					flags[i] = strings.Replace(flags[i], "own.", "../own.", 1)
				}
				project.must(t, exitDone, flags...)
			}
			link := filepath.Join(u.home, tt.moved)
			if err := errors.Join(os.Remove(link), os.Symlink("../own"+filepath.Ext(link), link)); err != nil {
				t.Fatal(err)
			}
			before := u.good.Count("token")
			all := [][]string{{"refresh", "evil"}}
			if !inProject {
				all = append(all, flags, []string{"refresh", "evil"})
			}
			for _, args := range all {
				u.must(t, exitUsage, args...)
				if s := u.stderr.String(); !strings.HasSuffix(s, ", or log in with "+tt.flag+"\n") {
					t.Errorf("%q: %s", args, s)
				}
			}
			if n := u.good.Count("token") - before; n != 0 {
				t.Errorf("%s: %d requests for tokens", tt.moved, n)
			}
			u.must(t, exitDone, "logout", "evil")
		}
	}
}

// A login stores whether a project's file named the authorization server, because such a server gets no client certificate at other hosts.
func TestProjectNamesAnIssuer(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	entry := `{"mcpServers":{"x":{"url":"` + u.good.URL() + `","auth":{"issuer":"` + u.good.Issuer() + `"}}}}`
	ofProject := func() bool {
		data, err := os.ReadFile(only(t, filepath.Join(u.home, ".local", "share", "mcpauth", "*.credential")))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(data), "issuer_of_project")
	}
	u.project(t, entry)
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "x")
	if !ofProject() {
		t.Error("the project's issuer counts as the user's")
	}
	u.must(t, exitDone, "login", "x", "--issuer", u.good.Issuer())
	if ofProject() {
		t.Error("the user's issuer counts as the project's")
	}
	u.must(t, exitDone, "login", "x")
	if ofProject() {
		t.Error("a login with the project's file has replaced the user's issuer")
	}
	u.must(t, exitDone, "logout", "x")
	u.own(t, entry)
	u.must(t, exitDone, "login", "x")
	if ofProject() {
		t.Error("an issuer in the user's own configuration counts as a project's")
	}
}

// A project lies in a folder that others can change. They can exchange the folders of two keys without any link. mcpauth uses neither key.
func TestKeyInAFolderOfOthers(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	team, key := filepath.Join(u.home, "team"), keyedClient(t, u.good)
	project := user{&victim{home: filepath.Join(team, "proj"), env: u.env}, u.good}
	for _, folder := range []string{"proj", "keys-dev", "keys-prod"} {
		if err := os.MkdirAll(filepath.Join(team, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(team, "keys-dev", "k.pem")
	if err := errors.Join(os.WriteFile(file, []byte(key), 0o600), os.WriteFile(filepath.Join(team, "keys-prod", "k.pem"), []byte(key), 0o600)); err != nil {
		t.Fatal(err)
	}
	project.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","auth":{"clientId":"keyed","grant":"client_credentials","clientKey":"../keys-dev/k.pem"}}}}`)
	project.must(t, exitDone, "trust")
	project.must(t, exitDone, "login", "x")
	refused := func() {
		t.Helper()
		before := u.good.Count("token")
		for _, args := range [][]string{{"refresh", "x"}, {"login", "x"}} {
			project.must(t, exitUsage, args...)
			if s := project.stderr.String(); !strings.Contains(s, "another user can replace it") || u.good.Count("token") != before {
				t.Errorf("%q: %s", args, s)
			}
		}
	}
	if err := os.Chmod(team, 0o777); err != nil {
		t.Fatal(err)
	}
	refused()
	project.must(t, exitDone, "trust")
	if s := project.stderr.String(); !strings.Contains(s, "a login will refuse "+realPath(file)+", because another user can replace it") {
		t.Errorf("trust: %s", s)
	}
	if err := os.Chmod(team, 0o777|os.ModeSticky); err != nil { // like /tmp, where others can replace nothing
		t.Fatal(err)
	}
	project.must(t, exitDone, "refresh", "x")
	if err := errors.Join(os.Rename(filepath.Join(team, "keys-dev"), filepath.Join(team, "old")), os.Rename(filepath.Join(team, "keys-prod"), filepath.Join(team, "keys-dev")), os.Chmod(team, 0o777)); err != nil {
		t.Fatal(err)
	}
	refused()
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(team, 0o755), os.Lchown(team, 4242, 4242)); err != nil {
			t.Fatal(err)
		}
		refused()
	}
}

// After a power failure, a note can be empty. The hint names the file. When the file is deleted, the command works, and no login is lost.
func TestEmptyNotes(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "SECRET=demo-cs-basic")
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","headers":{"X-Key":"${SECRET}"}}}}`)
	login := []string{"login", u.good.URL(), "--client-id", "demo-basic", "--client-secret-env", "SECRET"}
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, login...)
	for note, command := range map[string][]string{"bindings": login, "trusted": {"trust", "--list"}} {
		path := only(t, filepath.Join(u.home, ".local", "state", "mcpauth", "notes", "*."+note))
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		u.must(t, exitKeystore, command...)
		if text := u.stderr.String(); !strings.Contains(text, "repeat the command: "+path) || strings.Contains(text, "logout") {
			t.Error(text)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		u.must(t, exitDone, command...)
	}
	if n := u.good.Count("revoked"); n != 0 {
		t.Errorf("%d tokens were revoked", n)
	}
}

// A record whose login's name cannot be read is deleted by its file.
func TestDamagedRecordOfAName(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "d")
	path := only(t, filepath.Join(u.home, ".local", "share", "mcpauth", "*.credential"))
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"logout", "d"}, {"logout", "--all"}, {"login", u.good.URL(), "--name", "d"}} {
		u.must(t, exitKeystore, args...)
		if text := u.stderr.String(); !strings.HasSuffix(text, "repeat the command: "+path+"\n") {
			t.Errorf("%q: %s", args, text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "login", u.good.URL(), "--name", "d")
	u.must(t, exitDone, "logout", "--all")
}

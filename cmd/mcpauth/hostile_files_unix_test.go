//go:build !windows

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
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
			if s := project.stderr.String(); !strings.Contains(s, "another user can replace it") || strings.Contains(s, "--config") || u.good.Count("token") != before {
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

// trust refuses a file with too many servers before it looks at a file that they name. A file that several entries name gets one warning. trust
// looks at its time limit after each file.
func TestTrustOfManyFiles(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	if err := os.MkdirAll(filepath.Join(u.home, "p"), 0o755); err != nil {
		t.Fatal(err)
	}
	project := user{&victim{home: filepath.Join(u.home, "p"), env: u.env}, u.good}
	trust := func(exit, warnings int, path func(i int) string, keys int, flags ...string) {
		t.Helper()
		var entries []string
		for i := range keys {
			key := filepath.Join(u.home, path(i))
			if err := errors.Join(os.MkdirAll(filepath.Dir(key), 0o755), os.WriteFile(key, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, fmt.Sprintf(`"s%d":{"url":"https://x","auth":{"clientKey":"../%s"}}`, i, path(i)))
		}
		if err := os.Chmod(filepath.Dir(filepath.Join(u.home, path(0))), 0o777); err != nil {
			t.Fatal(err)
		}
		project.project(t, `{"mcpServers":{`+strings.Join(entries, ",")+`}}`)
		start := time.Now()
		project.must(t, exit, append([]string{"trust"}, flags...)...)
		if n := strings.Count(project.stderr.String(), "a login will refuse"); n != warnings && len(flags) == 0 {
			t.Errorf("%d warnings, expected %d: %.500s", n, warnings, project.stderr.String())
		}
		if took := time.Since(start); took > 8*time.Second { // also on a busy machine
			t.Errorf("%d files took %s", keys, took)
		}
	}
	numbered := func(i int) string { return fmt.Sprint("open/k", i) }
	trust(exitUsage, 0, numbered, 101)
	trust(exitDone, 100, numbered, 100)
	trust(exitDone, 1, func(int) string { return "open/k" }, 100)
	if runtime.GOOS == "linux" { // other systems allow only shorter paths
		trust(exitNetwork, 0, func(i int) string { return fmt.Sprint(strings.Repeat("d/", 950), "k", i) }, 60, "--timeout", "200ms")
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

// A project's .mcp.json is a symbolic link to a secret file of the user. No command shows a part of the file or uses it. If the user names the
// file, an error does not quote it.
func TestProjectIsALink(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "SOME_KEY=some-key")
	folder := filepath.Join(u.home, "p")
	project := user{&victim{home: folder, env: u.env}, u.good}
	link := filepath.Join(folder, ".mcp.json")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Symlink("../$(id)", link)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"trust"}} { // a shell that gets the message runs nothing
		if project.run(args...); !strings.Contains(project.stderr.String(), "leads to \""+realPath(u.home)+`/\u0024(id)", outside the project `) {
			t.Errorf("%q: %s", args, project.stderr.String())
		}
	}
	if err := errors.Join(os.Remove(link), os.Symlink("../file", link)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"canary0123456789canary", "canary.canary.canary", `"canary"`, "AGE-SECRET-KEY-1CANARY", "KEY=canary", `{"a":canary}`,
		`{"mcpServers":{"canary":{"url":"https://canary.example/?canary"}}}`} {
		if err := os.WriteFile(filepath.Join(u.home, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"status"}, {"call", "x", "whoami"}, {"login", "--all"}, {"trust"}, {"trust", ".mcp.json"}, {"trust", "--revoke"}, {"status", "--config", "../file"}} {
			for _, flag := range []string{"--quiet=false", "--json"} {
				code := project.run(append(args, flag)...)
				all := strings.ToLower(project.stdout.String() + project.stderr.String())
				named := args[len(args)-1] == "../file"
				if strings.Contains(all, "canary") && !(named && code == exitDone) {
					t.Errorf("%q shows the file: %s", args, all)
				}
				if !named && args[len(args)-1] != "--revoke" && !strings.Contains(strings.ReplaceAll(all, `\"`, `"`), `because a symbolic link leads to "`+strings.ToLower(realPath(u.home))+`/file", outside the project`) {
					t.Errorf("%q does not say why the file is ignored: %s", args, all)
				}
			}
		}
	}
	// A link inside the project works, and can be trusted.
	entry := `{"mcpServers":{"x":{"url":"` + u.good.URL() + `","headers":{"X-Key":"${SOME_KEY}"}}}}`
	if err := errors.Join(os.Remove(link), os.Mkdir(filepath.Join(folder, "d"), 0o755), os.WriteFile(filepath.Join(folder, "d", "c.json"), []byte(entry), 0o600),
		os.Symlink("d/c.json", link)); err != nil {
		t.Fatal(err)
	}
	project.must(t, exitUsage, "tools", "x")
	project.must(t, exitDone, "trust")
	project.must(t, exitDone, "tools", "x")
	// The trust in a file that a link has replaced can be revoked.
	if err := errors.Join(os.Remove(link), os.WriteFile(link, []byte(entry), 0o600)); err != nil {
		t.Fatal(err)
	}
	project.must(t, exitDone, "trust")
	if err := errors.Join(os.Remove(link), os.Symlink("../file", link)); err != nil {
		t.Fatal(err)
	}
	project.must(t, exitDone, "trust", "--revoke")
	if s := project.stderr.String(); !strings.Contains(s, "p/.mcp.json is no longer trusted") {
		t.Error(s)
	}
}

// A link has replaced a folder above a trusted file. trust --list does not follow it, and trust --revoke takes the path that trust --list shows.
func TestTrustedFolderBecomesALink(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	folder := filepath.Join(u.home, "p", "sub")
	file := filepath.Join(folder, ".mcp.json")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(file, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "trust", file)
	if err := errors.Join(os.Rename(folder, filepath.Join(u.home, "p", "new")), os.Symlink("new", folder)); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "trust", "--list")
	if s := u.stdout.String(); !strings.Contains(s, "p/sub/.mcp.json  unreadable") {
		t.Error(s)
	}
	u.must(t, exitDone, "trust", file) // now also the file behind the link
	u.must(t, exitDone, "trust", "--revoke", file)
	for _, path := range []string{"/p/sub/.mcp.json", "/p/new/.mcp.json"} {
		if s := u.stderr.String(); !strings.Contains(s, path+" is no longer trusted") {
			t.Error(s)
		}
	}
	u.must(t, exitDone, "trust", "--list")
	if s := u.stderr.String(); !strings.Contains(s, "no project file is trusted") {
		t.Error(s)
	}
}

// A trusted file has become a pipe. trust --list does not wait for a writer, and shows the state of the other files.
func TestTrustedFileBecomesAPipe(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for _, name := range []string{"a", "b", "c"} {
		folder := filepath.Join(u.home, name)
		if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, ".mcp.json"), []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
		u.must(t, exitDone, "trust", filepath.Join(name, ".mcp.json"))
	}
	for i, replace := range []func(path string) error{func(path string) error { return syscall.Mkfifo(path, 0o600) }, func(path string) error { return os.Symlink("../c/.mcp.json", path) }} {
		path := filepath.Join(u.home, string(rune('a'+i)), ".mcp.json")
		if err := errors.Join(os.Remove(path), replace(path)); err != nil {
			t.Fatal(err)
		}
	}
	u.must(t, exitDone, "trust", "--list", "--timeout", "2s")
	for name, state := range map[string]string{"a": "unreadable", "b": "unreadable", "c": "trusted"} {
		if !regexp.MustCompile("/" + name + `/\.mcp\.json +` + state).MatchString(u.stdout.String()) {
			t.Errorf("%s is not %s: %s", name, state, u.stdout.String())
		}
	}
}

// A file that the user names may be much larger than the memory, such as a sparse file or a device. mcpauth stops reading at a limit.
func TestNamedFilesAreBounded(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "x")
	file := filepath.Join(u.home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const size = maxArguments + 1
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"call", "x", "echo", "text=@file"},
		{"call", "x", "echo", "text:=@file"},
		{"call", "x", "echo", "--args", "@file"},
		{"call", "x", "ask", "--elicit", "@file"},
		{"prompt", "x", "greeting", "name=@file"},
		{"tools", "x", "--header", "X-Key: @file"},
		{"tools", "x", "--cacert", "file"},
		{"login", u.good.URL(), "--name", "y", "--client-id", "z", "--client-secret-file", "file"},
	} {
		u.must(t, exitUsage, args...)
		if !strings.Contains(u.stderr.String(), "larger than ") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if _, err := (&program{stdin: stdin}).stdinText("--args -"); err == nil || !strings.Contains(err.Error(), "larger than ") {
		t.Errorf("standard input: %v", err)
	}
}

// The user gives the name of a secret file by mistake. No error quotes the file.
func TestNamedFilesAreNotQuoted(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "x")
	file := filepath.Join(u.home, "file")
	call := func(words ...string) []string { return append([]string{"call", "x"}, words...) }
	login := func(flags ...string) []string {
		return append([]string{"login", u.good.URL(), "--name", "y", "--client-id", "demo-public"}, flags...)
	}
	for _, tt := range []struct {
		text string
		args []string
		exit int
		says string
	}{
		{"canary", call("add", "a=@file", "b=1"), exitTool, "a: expected integer, got another text"},
		{"[canary", call("echo", "text=@file", "text=x"), exitTool, "text: it is given 2 times"},
		{"canary", call("add", "a:=@file", "b=1"), exitUsage, "not JSON at character 1"},
		{"{canary", call("add", "--args", "@file"), exitUsage, "--args: not JSON at character 1"},
		{`"canary"`, call("add", "a:=@file", "b=1"), exitTool, "a: expected integer, got a value of type string"},
		{`{"a":"canary","b":1}`, call("add", "--args", "@file"), exitTool, "a: expected integer, got a value of type string"},
		{`{"a":{"canary":"canary"},"b":1}`, call("add", "--args", "@file"), exitTool, "a: expected integer, got a value of type object"},
		{`{"kind":"canary"}`, call("gallery", "--args", "@file"), exitTool, "kind: a value of type string is not one of "},
		{"canary", call("gallery", "kind=@file"), exitTool, "kind: a value of type string is not one of "},
		{"{canary}", call("ask", "--elicit", "@file"), exitUsage, "--elicit: not JSON at character 1"},
		{`{"name":7777777,"sure":"canary"}`, call("ask", "--elicit", "@file"), exitDone, "name: expected string, got a value of type integer"},
		{"canary", []string{"call", "x", "--batch", "file"}, exitTool, "it is not a JSON object"},
		{`{"tool":"add","arguments":{"a":"canary","b":1}}`, []string{"call", "x", "--batch", "file"}, exitTool, "a: expected integer, got a value of type string"},
		{"canary", []string{"tools", "x", "--cacert", "file"}, exitUsage, "no PEM certificate"},
		{"canary", []string{"tools", "x", "--config", "file"}, exitUsage, "not a string, a number"},
		{"canary\ncanary", []string{"tools", "x", "--header", "X-Key: @file"}, exitUsage, "holds a line end"},
		{"canary", login("--cert", "file"), exitUsage, "neither PEM nor a JWK"},
		{"canary", login("--client-key", "file", "--grant", "client_credentials"), exitUsage, "neither PEM nor a JWK"},
		{`{"kty":"canary"}`, login("--client-key", "file", "--grant", "client_credentials"), exitUsage, "the file is not a JWK with"},
		{"canary", login("--assertion-file", "file", "--grant", "jwt_bearer"), exitUsage, "not a JWT"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		u.must(t, tt.exit, tt.args...)
		if all := u.stdout.String() + u.stderr.String(); !strings.Contains(all, tt.says) || strings.Contains(all, "canary") || strings.Contains(all, "7777777") {
			t.Errorf("%q with %s: %s", tt.args, tt.text, all)
		}
	}
	u.env = append(u.env, "MCPAUTH_KEYSTORE_KEY_FILE="+file)
	if err := os.WriteFile(file, []byte("AGE-SECRET-KEY-1canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitKeystore, login()...)
	if s := u.stderr.String(); !strings.Contains(s, "is not an age identity") || strings.Contains(s, "canary") {
		t.Error(s)
	}
}

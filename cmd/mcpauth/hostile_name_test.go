package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcpauth/internal/attack"
	"mcpauth/internal/demo"
)

// newEvil starts the server of a hostile project.
func newEvil(t *testing.T) *demo.Server {
	t.Helper()
	evil, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	return evil
}

func project(name, url string) string { return `{"mcpServers":{"` + name + `":{"url":"` + url + `"}}}` }

// records returns the number of stored records.
func (u user) records(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(u.home, ".local", "share", "mcpauth", "*.credential"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// noSecret fails the test if a server was sent a value that contains canary.
func noSecret(t *testing.T, s *demo.Server) {
	t.Helper()
	for _, e := range s.Requests() {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"canary-key", "canary-secret"} {
			if attack.Holds(string(line), secret) {
				t.Errorf("%s was sent %s", e.Path, secret)
			}
		}
	}
}

// A login that nobody approved, for a server of a project's file, does not define the name of the server for another folder, another entry or
// another login.
func TestUnfinishedLoginTakesAName(t *testing.T) {
	t.Parallel()
	for state, begin := range map[string][][]string{
		"only registered": {{"login", "linear", "--no-browser", "--timeout", "1s"}},
		"pending":         {{"login", "linear", "--print-url"}},
		"logged out":      {{"login", "linear"}, {"logout", "linear", "--keep-client"}},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			u, evil := newUser(t), newEvil(t)
			u.env = append(u.env, "KEY=canary-key", "SECRET=canary-secret")
			u.project(t, project("linear", evil.URL()))
			for _, args := range begin {
				u.run(args...)
			}
			if u.records(t) == 0 {
				t.Fatal("nothing is stored", u.stderr.String())
			}
			requests := evil.Count("requests")
			for _, file := range []string{`{}`, strings.Replace(project("linear", evil.URL()), `"url"`, `"disabled":true,"url"`, 1)} {
				u.project(t, file)
				for _, args := range [][]string{{"call", "linear", "whoami", "-H", "X-Key: $KEY", "--reauth", "never"}, {"call", "linear", "whoami"}, {"status", "linear"},
					{"login", "linear", "--client-id", "c", "--client-secret-env", "SECRET", "--grant", "client_credentials"}} {
					u.must(t, exitUsage, args...)
					if _, hint, _ := strings.Cut(u.stderr.String(), "hint: "); strings.Contains(hint, "X-Key") || strings.Contains(hint, "SECRET") {
						t.Error(hint)
					}
				}
			}
			u.project(t, `{}`)
			u.must(t, exitUsage, "call", "linea", "whoami")
			if s := u.stderr.String(); strings.Contains(s, "did you mean") {
				t.Error(s)
			}
			if u.must(t, exitDone, "__complete", "call", ""); strings.Contains(u.stdout.String(), "linear") {
				t.Error(u.stdout.String())
			}
			if u.must(t, exitDone, "status", "--json"); strings.TrimSpace(u.stdout.String()) != "[]" {
				t.Error(u.stdout.String())
			}
			if n := evil.Count("requests"); n != requests {
				t.Errorf("%d requests were sent", n-requests)
			}
			// The user and a trusted project can give the name to another server.
			u.project(t, project("linear", u.good.URL()))
			u.must(t, exitDone, "trust")
			u.must(t, exitDone, "call", "linear", "whoami", "-H", "X-Key: $KEY")
			u.must(t, exitDone, "logout", "linear")
			if n := u.records(t); n != 0 {
				t.Errorf("%d records are left after logout", n)
			}
			u.project(t, project("linear", evil.URL()))
			for _, args := range begin {
				u.run(args...)
			}
			u.project(t, `{}`)
			u.must(t, exitDone, "login", u.good.URL(), "--name", "linear", "-H", "X-Key: $KEY")
			u.own(t, project("linear", u.good.URL()))
			u.must(t, exitDone, "call", "linear", "whoami", "-H", "X-Key: $KEY")
			u.must(t, exitDone, "logout", evil.URL()) // deletes the record, and not the login
			u.must(t, exitDone, "call", "linear", "whoami", "--reauth", "never")
			if n := u.records(t); n != 1 {
				t.Errorf("%d records are left", n)
			}
			noSecret(t, evil)
		})
	}
}

// The pending login of a name is found for --callback-url, also without the entry that began it.
func TestPendingLoginIsFoundByName(t *testing.T) {
	t.Parallel()
	u, evil := newUser(t), newEvil(t)
	u.env = append(u.env, "KEY=canary-key")
	u.project(t, project("linear", evil.URL()))
	u.must(t, exitDone, "login", "linear", "--print-url")
	u.project(t, `{}`)
	answer, err := (&demo.Browser{}).Redirect(t.Context(), strings.TrimSpace(u.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	u.stdin = answer
	u.must(t, exitUsage, "login", "linear", "--callback-url", "-", "-H", "X-Key: $KEY")
	u.must(t, exitDone, "login", "linear", "--callback-url", "-")
	u.must(t, exitDone, "call", "linear", "whoami")
	u.must(t, exitUsage, "call", "linear", "whoami", "-H", "X-Key: $KEY")
	noSecret(t, evil)
}

// logout URL deletes the records without a login, and ends the login of the URL only if there is one.
func TestLogoutOfUnfinishedLogins(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	url := u.good.URL()
	begin := func(names ...string) {
		for _, name := range names {
			u.must(t, exitDone, "login", url, "--name", name)
		}
		u.must(t, exitDone, "login", url, "--name", "begun", "--print-url")
	}
	begin("a", "b")
	before := u.records(t)
	u.must(t, exitUsage, "logout", url) // two logins
	if n := u.records(t); n != before {
		t.Errorf("%d records instead of %d", n, before)
	}
	u.must(t, exitDone, "logout", "begun")
	if n := u.records(t); n != 2 {
		t.Errorf("logout NAME leaves %d records", n)
	}
	u.must(t, exitDone, "logout", "b")
	begin()
	u.must(t, exitDone, "logout", strings.Replace(url, "http:", "HTTP:", 1))
	if n := u.records(t); n != 0 {
		t.Errorf("logout URL leaves %d records: %s", n, u.stderr.String())
	}
	begin("a")
	u.own(t, project("a", "https://a.example/mcp"))
	u.must(t, exitUsage, "call", "a", "whoami")
	u.must(t, exitDone, "logout", "a")
	u.must(t, exitDone, "logout", url)
	if n := u.records(t); n != 0 {
		t.Errorf("%d records are left: %s", n, u.stderr.String())
	}
}

// If a login gets its name from a project's file that is not trusted, no secret of a flag is sent to its server by this name, in any folder. The
// user's own login, their configuration and a trusted file give the name to the server.
func TestNameOfAnUntrustedProject(t *testing.T) {
	t.Parallel()
	u, evil := newUser(t), newEvil(t)
	u.env = append(u.env, "KEY=canary-key", "SECRET=canary-secret")
	header := []string{"call", "linear", "whoami", "-H", "X-Key: $KEY"}
	refused := func(what string) {
		t.Helper()
		for _, args := range [][]string{header, {"login", "linear", "--client-id", "c", "--client-secret-env", "SECRET"}, {"proxy", "linear", "-H", "X-Key: $KEY"},
			{"logout", "linear", "-H", "X-Key: $KEY"}, {"login", "linear", "--name", "other", "-H", "X-Key: $KEY"}} {
			u.must(t, exitUsage, append(args, "--keystore", "file")...)
			if !regexp.MustCompile(`mcpauth login ` + evil.URL() + `( --client-id c)? --keystore file --name linear\n`).MatchString(u.stderr.String()) {
				t.Errorf("%s: %q: %s", what, args, u.stderr.String())
			}
		}
		u.must(t, exitDone, "call", "linear", "whoami")
		noSecret(t, evil)
	}
	entry := project("linear", evil.URL())
	u.project(t, entry)
	u.must(t, exitDone, "login", "linear")
	u.must(t, exitDone, "call", "linear", "whoami") // opens a session, which logout ends
	for _, args := range [][]string{{"logout", "linear", "-H", "X-Key: $KEY"}, {"refresh", "linear", "--cert", "key"}} {
		u.must(t, exitUsage, args...)
	}
	u.must(t, exitDone, "logout", "linear")
	u.must(t, exitUsage, "logout", "linear", "-H", "X-Key: $KEY")
	u.must(t, exitDone, "login", "linear")
	for what, args := range map[string][]string{"login by name": {"login", "linear"}, "login by URL": {"login", evil.URL()}} {
		u.project(t, `{}`)
		refused("another folder")
		u.must(t, exitDone, args...)
		refused(what)
	}
	u.project(t, entry)
	u.must(t, exitDone, "login", "linear")
	u.must(t, exitDone, "call", "linear", "secret_note", "text=x") // the call logs in again, because it needs another scope
	u.project(t, strings.Replace(entry, `"url"`, `"disabled":true,"url"`, 1))
	refused("the entry is disabled")
	u.project(t, `{}`)

	accepted := func(what string) {
		t.Helper()
		u.project(t, `{}`)
		if u.run(header...) != exitDone {
			t.Errorf("%s: %s", what, u.stderr.String())
		}
	}
	u.must(t, exitDone, "call", evil.URL(), "whoami", "-H", "X-Key: $KEY")
	u.own(t, entry)
	accepted("the user's own entry")
	if err := os.Remove(filepath.Join(u.home, ".config", "mcpauth", "config.json")); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitUsage, header...)
	u.must(t, exitDone, "login", evil.URL(), "--name", "linear", "-H", "X-Key: $KEY") // the command of the hint
	accepted("the user's own login")
	u.project(t, entry)
	u.must(t, exitDone, "login", "linear") // does not take the name from the user
	accepted("a later login in the project")
	u.must(t, exitDone, "logout", "linear")
	u.project(t, entry)
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "linear")
	accepted("a trusted project")
	u.project(t, project("theirs", evil.URL()))
	u.must(t, exitUsage, "login", "theirs", "--name", "mine", "-H", "X-Key: $KEY")
	u.must(t, exitDone, "login", "theirs", "--name", "mine")
	u.project(t, `{}`)
	u.must(t, exitDone, "call", "mine", "whoami", "-H", "X-Key: $KEY")
}

// A login of a project with the user's URL takes nothing from the user's login: not the URL, not the answer of a pending login and not the
// browser of parallel logins. The user can give the name back without a browser.
func TestProjectBesideAnOwnLogin(t *testing.T) {
	t.Parallel()
	u, evil := newUser(t), newEvil(t)
	u.env = append(u.env, "KEY=canary-key")
	url := u.good.URL()
	header := []string{"call", "linear", "whoami", "-H", "X-Key: $KEY"}

	u.project(t, project("linear", url))
	u.must(t, exitDone, "login", "linear")
	u.must(t, exitUsage, header...)
	u.project(t, `{}`)
	u.must(t, exitDone, "login", url, "--name", "linear", "--if-needed")
	u.must(t, exitDone, header...)

	u.project(t, project("x", url))
	u.must(t, exitDone, "call", "x", "whoami")
	u.project(t, `{}`)
	if u.must(t, exitDone, "status", url, "--json"); !strings.Contains(u.stdout.String(), `"name": "linear"`) {
		t.Errorf("the URL selects %s", u.stdout.String())
	}

	u.must(t, exitDone, "logout", "--all")
	u.project(t, project("linear", evil.URL()))
	u.must(t, exitDone, "login", "linear", "--print-url")
	u.project(t, `{}`)
	u.must(t, exitDone, "login", url, "--name", "linear", "--print-url")
	answer, err := (&demo.Browser{}).Redirect(t.Context(), strings.TrimSpace(u.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	u.stdin = answer
	u.must(t, exitUsage, "login", "linear", "--callback-url", "-")
	u.must(t, exitDone, "login", url, "--callback-url", "-") // as the error says
	u.must(t, exitDone, header...)
}

// The refusals cure: the user's own name of the same URL needs no trust, and a hint contains only names that --name accepts.
func TestHonestUserOfAProjectsNames(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "KEY=canary-key")
	url := u.good.URL()
	u.must(t, exitDone, "login", url, "--name", "shop")
	u.project(t, project("shop", url))
	u.must(t, exitDone, "token", "shop", "-H", "X-Key: $KEY")
	u.project(t, project("My Shop", url))
	u.must(t, exitDone, "login", "My Shop")
	u.project(t, `{}`)
	for _, args := range [][]string{{"call", "My Shop", "whoami", "-H", "X-Key: $KEY"}, {"tools", "My Notes"}} {
		if u.must(t, exitUsage, args...); strings.Contains(u.stderr.String(), "--name") || !strings.Contains(u.stderr.String(), "hint: give ") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
}

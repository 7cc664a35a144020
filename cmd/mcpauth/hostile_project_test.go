package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/attack"
	"mcpauth/internal/config"
	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// Before a project's file is trusted, no command sends its server a signature, an assertion, the value of a variable, or credentials of the
// user's client.
func TestUntrustedProject(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(u.home, "deploy.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "LINEAR_KEY=canary-linear-key", "HOST="+strings.TrimPrefix(u.good.URL(), "http://"))
	for _, block := range []string{
		`"url":"SERVER","auth":{"grant":"client_credentials","clientId":"demo-jwt","clientKey":"deploy.pem"}`,
		`"url":"SERVER","auth":{"clientId":"demo-public"}`,
		`"url":"SERVER","oauth":{"clientId":"demo-public"}`,
		`"url":"SERVER","auth":{"issuer":"https://as.example.com"}`,
		`"url":"SERVER","headers":{"X-Key":"${LINEAR_KEY}"}`,
		`"url":"SERVER","headers":{"X-Key":"${env:LINEAR_KEY}"}`,
		`"url":"SERVER","headers":{"X-Key":"${NONE:-x}"}`,
		`"url":"http://${HOST}"`,
		`"url":"SERVER?key=${LINEAR_KEY}"`,
	} {
		u.project(t, `{"mcpServers":{"x":{`+strings.ReplaceAll(block, "SERVER", u.good.URL())+`}}}`)
		for _, verb := range [][]string{{"login", "x"}, {"login", "x", "--print-url"}, {"login", "x", "--name", "y"}, {"call", "x", "whoami"}, {"tools", "x"}, {"proxy", "x"}} {
			u.must(t, exitUsage, verb...)
			if !strings.Contains(u.stderr.String(), "is not trusted") || strings.Contains(u.stderr.String(), "canary") {
				t.Errorf("%q with %s: %s", verb, block, u.stderr.String())
			}
		}
	}
	// A project's file cannot name a client certificate, even if it is trusted.
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","auth":{"cert":"deploy.pem","key":"deploy.pem"}}}}`)
	u.must(t, exitUsage, "login", "x")
	if !strings.Contains(u.stderr.String(), `no member "cert"`) {
		t.Error(u.stderr.String())
	}
	if n := u.good.Count("requests"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// If HOME is a relative path, mcpauth does not read a downloaded repository's files as the user's own configuration. It writes no login
// into the repository.
func TestHostileRelativeHome(t *testing.T) {
	u := newUser(t)
	own := filepath.Join(u.home, ".config", "mcpauth")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "config.json"), []byte(`{"mcpServers":{"x":{"url":"`+u.good.URL()+`","headers":{"X-Key":"${SECRET}"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "HOME=.", "USERPROFILE=.", "APPDATA=.", "LOCALAPPDATA=.", "SECRET=canary-secret")
	for _, args := range [][]string{{"tools", "x"}, {"login", "x"}, {"login", u.good.URL()}, {"status"}} {
		u.must(t, exitUsage, args...)
	}
	if !strings.Contains(u.stderr.String(), "not set to an absolute path") {
		t.Error(u.stderr.String())
	}
	if n := u.good.Count("requests"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if _, err := os.Stat(filepath.Join(u.home, ".local")); err == nil {
		t.Error("a folder was created")
	}
	// The driver of the database would read the repository's .pgpass and .postgresql.
	u.env = append(u.env, "MCPAUTH_STATE_DIR="+t.TempDir(), "MCPAUTH_KEYSTORE_DIR="+t.TempDir(), "MCPAUTH_KEYSTORE=postgres",
		"MCPAUTH_KEYSTORE_URL=postgres://127.0.0.1:1/x", "MCPAUTH_KEYSTORE_KEY_FILE="+filepath.Join(u.home, "no-key"))
	u.must(t, exitUsage, "status")
	if !strings.Contains(u.stderr.String(), "is a relative path") {
		t.Error(u.stderr.String())
	}
}

// The list that trust prints shows every variable and file. Line breaks or a long line in an entry cannot hide a variable or a file.
func TestTrustShowsAll(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	long := strings.Repeat("${PADDING_PADDING}", 100) + "${LAST}"
	u.project(t, `{"mcpServers":{"a b uses: no variables, files or auth":{"url":"https://x/","headers":{"X":"`+long+`"},
		"auth":{"assertionFile":"x\n  uses: no variables, files or auth"}}}}`)
	u.must(t, exitDone, "trust")
	if s := u.stdout.String(); strings.Count(s, "\n") != 3 || strings.Contains(s, "\n  uses: nothing") || !strings.Contains(s, "LAST, PADDING_PADDING") {
		t.Errorf("stdout: %q", s)
	}
	u.must(t, exitDone, "status")
	if s := u.stdout.String(); strings.Count(s, "\n") != 2 {
		t.Errorf("status: %q", s)
	}
	// If NONE has a value, the expanded header exceeds the size limit. If NONE is empty, the expanded header is short enough.
	u.project(t, `{"mcpServers":{"a":{"url":"https://x","headers":{"X":"`+strings.Repeat("${NONE:-}", 13_000)+`${HIDDEN}"}}}}`)
	u.must(t, exitDone, "trust")
	if s := u.stdout.String(); !strings.Contains(s, "HIDDEN, NONE") {
		t.Errorf("stdout: %q", s)
	}
	// These paths may lead out of the project. A check of the cleaned path would not notice that, because cleaning removes the element
	// before "..".
	u.env = append(u.env, "PLACE=a/b")
	key := filepath.Join(u.home, "a", "key")
	if err := errors.Join(os.Mkdir(filepath.Dir(key), 0o700), os.WriteFile(key, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{"a":{"url":"https://x","auth":{"clientKey":"${UP:-..}/../.ssh/id_rsa"}},"b":{"url":"https://x","auth":{"clientKey":"${UP}/../.ssh/id_rsa"}},
		"c":{"url":"https://x","auth":{"clientKey":"${PLACE}/../key"}}}}`)
	u.must(t, exitDone, "trust")
	above := realPath(filepath.Dir(filepath.Dir(u.home)))
	for _, file := range []string{"${UP:-..}/../.ssh/id_rsa -> " + foreignName(filepath.Join(above, "...")), "${UP}/../.ssh/id_rsa", "${PLACE}/../key -> " + foreignName(realPath(key))} {
		if s := u.stdout.String(); !strings.Contains(s, "files "+file+"\n") {
			t.Errorf("stdout lacks %s: %q", file, s)
		}
	}
	u.project(t, `{"mcpServers":{"a":{"url":"https://x","auth":{"clientId":"c","issuer":"https://as.elsewhere.example"}}}}`)
	u.must(t, exitDone, "trust")
	if s := u.stdout.String(); !strings.HasSuffix(s, "; issuer https://as.elsewhere.example\n") {
		t.Errorf("the user does not see who gets the secrets: %q", s)
	}
}

// A name, a URL or a path cannot look like another item or another line in the list that trust prints, even on a narrow terminal.
func TestTrustQuotesItems(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	home := realPath(u.home)
	for _, name := range []string{"k; issuer https:as.good.example", "k, other", "k -> other", "k\u037e issuer https:as.good.example", "k\ua4fc issuer"} {
		u.project(t, `{"mcpServers":{"a":{"url":"https://x","auth":{"clientId":"c","clientKey":"`+name+`"}}}}`)
		u.must(t, exitDone, "trust")
		if s := u.stdout.String(); !strings.HasSuffix(s, "; files "+foreignName(name)+" -> "+foreignName(home+"/"+name)+"\n") {
			t.Errorf("stdout: %q", s)
		}
	}
	for _, blank := range []string{" ", "\u2800", "\u3164", "\u00a0"} {
		forged := strings.Repeat(blank, 80) + "uses: no variables, files, headers or auth"
		u.project(t, `{"mcpServers":{"n; uses: nothing":{"url":"https://x${P:-/,uses}","auth":{"clientId":"c","clientKey":"k`+forged+`"}}}}`)
		u.must(t, exitDone, "trust")
		if s, want := u.stdout.String(), foreignName("n; uses: nothing")+"\n  address: "+foreignName("https://x${P:-/,uses}")+"\n"+
			"  uses: variables P; auth clientId, clientKey; files "+foreignName("k uses: no variables, files, headers or auth")+" -> "+foreignName(home+"/k uses: no variables, files, headers or auth")+"\n"; s != want {
			t.Errorf("stdout: %q, want %q", s, want)
		}
	}
}

// The name of a server in a project's file cannot look like a hint, a warning or an error of mcpauth.
func TestServerNameIsNoLineOfOurs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	quoted := foreignName(attack.Imitation)
	u.project(t, `{"mcpServers":{"`+attack.Imitation+`":{"url":"`+u.good.URL()+`"}}}`)
	for _, args := range []string{"trust", "status", "login --all", "status", "refresh --all", "logout --all"} {
		u.must(t, exitDone, strings.Fields(args)...)
		all := u.stdout.String() + u.stderr.String()
		if strings.Contains("\n"+all, "\nhint:") || !strings.Contains(all, quoted) {
			t.Errorf("%s: %s", args, all)
		}
	}
	u.project(t, `{"mcpServers":{"`+attack.Imitation+`":{"url":"http://127.0.0.1:1/mcp"}}}`)
	u.must(t, exitNetwork, "login", "--all")
	if s := u.stderr.String(); !strings.HasPrefix(s, "warning: "+quoted+": ") {
		t.Error(s)
	}
}

// The name of a server in a project's file does not fill the terminal.
func TestLongServerName(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.project(t, `{"mcpServers":{"`+strings.Repeat("a", 120_000)+`":{"url":"http://127.0.0.1:1/mcp"}}}`)
	u.must(t, exitNetwork, "login", "--all")
	if s := u.stderr.String(); len(s) > 5000 || !strings.Contains(s, "mcpauth discover SERVER") {
		t.Errorf("%d bytes: %.2000s ... %s", len(s), s, s[max(0, len(s)-500):])
	}
}

// A project's file cannot make mcpauth print or store the value of a variable, or read it before the file is trusted.
func TestProjectNamesAVariableAsAPath(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "CI_TOKEN=canary-of-ci")
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","auth":{"clientId":"c","clientKey":"${CI_TOKEN}","issuer":"${CI_TOKEN}"}}}}`)
	for _, tt := range []struct {
		code int
		args []string
	}{{exitUsage, []string{"tools", "x"}}, {exitUsage, []string{"login", "--all"}}, {exitDone, []string{"trust"}}, {exitDone, []string{"trust", "--json"}}, {exitDone, []string{"trust", "--list", "--json"}}} {
		u.must(t, tt.code, tt.args...)
		if all := u.stdout.String() + u.stderr.String(); strings.Contains(all, "canary-of-ci") {
			t.Errorf("%q: %s", tt.args, all)
		}
	}
	err := filepath.WalkDir(u.home, func(path string, _ fs.DirEntry, err error) error {
		if data, _ := os.ReadFile(path); strings.Contains(string(data), "canary-of-ci") {
			t.Errorf("%s contains the variable", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	p := testProgram()
	p.lookupEnv = func(name string) (string, bool) {
		if name == "CI_TOKEN" {
			t.Error("the variable is read before the file is trusted")
		}
		return u.home, name == "HOME" || name == "LOCALAPPDATA" || name == "USERPROFILE"
	}
	e := config.Entry{Name: "x", Path: filepath.Join(u.home, "other.json"), Found: true, Auth: &config.Auth{ClientKey: "/net/${CI_TOKEN}.evil.example/k"}}
	if _, err := p.checkListed(t.Context(), e); err == nil || !strings.Contains(err.Error(), "/net/${CI_TOKEN}.evil.example/k") {
		t.Errorf("got %v", err)
	}
}

// A record of a trusted file that lacks a checksum or a file, or that has another form, trusts nothing.
func TestTrustRecords(t *testing.T) {
	p, home := testProgram(), realPath(t.TempDir())
	p.lookupEnv = func(name string) (string, bool) {
		return home, name == "HOME" || name == "LOCALAPPDATA" || name == "USERPROFILE"
	}
	store, err := p.openStore(keystore.File)
	if err != nil {
		t.Fatal(err)
	}
	key, moved := filepath.Join(home, "key.pem"), filepath.Join(home, "old.pem")
	if err := os.WriteFile(key, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := config.Entry{Name: "x", Path: filepath.Join(home, ".mcp.json"), Sum: digest("the text"), Found: true, Auth: &config.Auth{ClientKey: key}}
	good := trustedFile{Path: e.Path, Sum: e.Sum, Files: map[string]string{digest(key): digest(key)}}
	change := func(change func(*trustedFile)) []trustedFile {
		f := good
		change(&f)
		return []trustedFile{f}
	}
	for _, tt := range []struct {
		name         string
		list         any
		trusted, key bool // whether the file is trusted, and whether it may replace the key of a login
	}{
		{"as written", []trustedFile{good}, true, true},
		{"no checksum", change(func(f *trustedFile) { f.Sum = "" }), false, false},
		{"no files", change(func(f *trustedFile) { f.Files = nil }), false, false},
		{"paths instead of digests", change(func(f *trustedFile) { f.Files = map[string]string{key: key} }), false, false},
		{"no record", []any{nil}, false, false},
		{"no list", map[string]any{}, false, false},
	} {
		data, err := json.Marshal(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Note(t.Context(), trustKey(), trustNote, data); err != nil {
			t.Fatal(err)
		}
		if _, err := p.checkListed(t.Context(), e); (err == nil) != tt.trusted {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := p.checkApproved("client key", key, moved, key); (err == nil) != tt.key {
			t.Errorf("%s: the key: %v", tt.name, err)
		}
	}
}

// login --all sends no secret of the command line to the servers of a project's file, even if the file is trusted.
func TestLoginAllOfAProject(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "SECRET=demo-cs-basic", "KEY=canary-key")
	if err := os.WriteFile(filepath.Join(u.home, "key"), []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`"}}}`)
	for _, secret := range [][]string{{"--client-id", "demo-basic", "--client-secret-env", "SECRET"}, {"--client-id", "i", "--client-secret-file", "key"},
		{"--client-id", "i", "--client-key", "key"}, {"--grant", "jwt_bearer", "--assertion", "env:KEY"}, {"--grant", "jwt_bearer", "--assertion-file", "key"},
		{"--grant", "enterprise", "--client-id", "i", "--idp-issuer", "https://idp.example", "--idp-client-id", "i"}, {"-H", "X-Key: $KEY"}} {
		u.must(t, exitUsage, append([]string{"login", "--all"}, secret...)...)
		if !strings.Contains(u.stderr.String(), "mcpauth login x") {
			t.Errorf("%q: %s", secret, u.stderr.String())
		}
	}
	if n := u.good.Count("requests") + u.good.Count("token"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	u.own(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`"}}}`)
	u.must(t, exitDone, "login", "--all", "-H", "X-Key: $KEY")
}

// If a flag names a secret, mcpauth sends nothing to a server of a project's file that is not trusted in its current state. The secret would be
// sent to any server that a change of the file names.
func TestSecretsForAProject(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "SECRET=demo-cs-basic", "KEY=canary-key")
	if err := os.WriteFile(filepath.Join(u.home, "key"), []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	entry := `{"mcpServers":{"x":{"url":"` + u.good.URL() + `"}}}`
	check := func(state string) {
		t.Helper()
		for _, args := range [][]string{{"login", "x", "--client-id", "demo-basic", "--client-secret-env", "SECRET"}, {"login", "x", "--client-id", "i", "--client-secret-file", "key"},
			{"login", "x", "--client-id", "i", "--client-secret-stdin"}, {"login", "x", "--name", "y", "--client-id", "i", "--client-key", "key"},
			{"login", "x", "--grant", "jwt_bearer", "--assertion", "env:KEY"}, {"login", "x", "--grant", "jwt_bearer", "--assertion-file", "key"},
			{"login", "x", "--grant", "enterprise", "--client-id", "i", "--idp-issuer", "https://idp.example", "--idp-client-id", "i"},
			{"call", "x", "whoami", "-H", "X-Key: $KEY"}, {"tools", "x", "-H", "X-Key: literal"}, {"proxy", "x", "-H", "X-Key: @key"}, {"discover", "x", "--cert", "key"}} {
			u.must(t, exitUsage, args...)
			if s := u.stderr.String(); !strings.Contains(s, state) || !strings.Contains(s, "give the URL") || strings.Contains(s, "canary") {
				t.Errorf("%q: %s", args, s)
			}
		}
		if n := u.good.Count("requests") + u.good.Count("token"); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	}
	u.project(t, entry)
	check("is not trusted")
	u.must(t, exitDone, "trust")
	u.project(t, entry+"\n")
	check("has changed")
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "x", "--client-id", "demo-basic", "--client-secret-env", "SECRET")
	u.must(t, exitDone, "call", "x", "whoami", "-H", "X-Key: $KEY")
	u.project(t, entry)
	u.must(t, exitDone, "call", "x", "whoami")
}

// A project's file can have at most 100 servers. A file that the user named can have any number of servers.
func TestLoginAllOfManyServers(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	project := func(count int) {
		var list []string
		for i := range count {
			list = append(list, fmt.Sprintf(`"s%03d":{"url":"http://127.0.0.1:1/%d"}`, i, i))
		}
		u.project(t, `{"mcpServers":{"a":{"url":"`+u.good.URL()+`"},`+strings.Join(list, ",")+`}}`)
	}
	project(100)
	path := filepath.Join(u.home, ".mcp.json")
	for _, args := range [][]string{{"login", "--all"}, {"login", "a"}, {"call", "a", "whoami"}, {"trust"}} {
		u.must(t, exitUsage, args...)
		if s := u.stderr.String(); !strings.Contains(s, "101 servers, but a project's file can have at most 100") || strings.Contains(s, "--config "+shellWord(path)) {
			t.Errorf("%q: %s", args, s)
		}
	}
	if n := u.good.Count("requests"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if locks, _ := filepath.Glob(filepath.Join(u.home, ".local", "state", "mcpauth", "*", "*")); len(locks) != 0 {
		t.Errorf("%d files were written", len(locks))
	}
	u.must(t, exitNetwork, "login", "--all", "--config", path)
	project(99)
	u.must(t, exitNetwork, "login", "--all")
}

// Scopes that the user names are limited, and errors say that they are the user's.
func TestOwnScopes(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	lenient, err := demo.Start(demo.Options{Settings: demo.Settings{Scopes: []string{"none"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lenient.Close)
	huge := strings.Repeat("scope ", 4<<10)
	u.own(t, `{"mcpServers":{"huge":{"url":"`+lenient.URL()+`","auth":{"scope":"`+huge+`"}}}}`)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"login", "huge"}, "auth.scope names more than 16 kB"},
		{[]string{"login", lenient.URL(), "--scope", huge}, "--scope names more than 16 kB"},
		{[]string{"call", lenient.URL(), "whoami", "--scope", huge}, "--scope names more than 16 kB"},
	} {
		u.must(t, exitUsage, tt.args...)
		if !strings.Contains(u.stderr.String(), tt.want) {
			t.Errorf("%q: stderr lacks %q: %.500s", tt.args[:2], tt.want, u.stderr.String())
		}
	}
	if n := lenient.Count("requests"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	unique := make([]string, 500)
	for i := range unique {
		unique[i] = fmt.Sprintf("a-scope-of-20-bytes-%d", i)
	}
	u.own(t, `{"mcpServers":{"long":{"url":"`+lenient.URL()+`","auth":{"scope":"`+strings.Join(unique, " ")+`"}}}}`)
	for _, args := range [][]string{{"login", "long"}, {"login", lenient.URL(), "--scope", strings.Join(unique, " ")}} {
		u.must(t, exitNetwork, args...)
		if text := u.stderr.String(); !strings.Contains(text, "the scopes that you named") || !strings.Contains(text, "--scope SCOPE") || strings.Contains(text, "operator") {
			t.Errorf("%q: %.1000s", args[:2], text)
		}
	}
}

// If a project's file and the user's configuration have entries with the same name, the secrets of the user's entry are not sent to the
// project's server.
func TestProjectTakesAName(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	evil, err := demo.Start(demo.Options{Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	u.env = append(u.env, "LINEAR_KEY=canary-linear-key")
	u.own(t, `{"mcpServers":{"linear":{"url":"`+u.good.URL()+`","headers":{"X-Key":"${LINEAR_KEY}"}}}}`)
	u.project(t, `{"mcpServers":{"linear":{"url":"`+evil.URL()+`","headers":{"X-Key":"${LINEAR_KEY}"}}}}`)
	u.must(t, exitDone, "trust")
	for _, verb := range [][]string{{"login", "linear"}, {"call", "linear", "whoami"}, {"token", "linear"}, {"logout", "linear"}} {
		u.must(t, exitUsage, verb...)
		for _, url := range []string{u.good.URL(), evil.URL()} {
			if !strings.Contains(u.stderr.String(), url) {
				t.Errorf("%q does not show %s: %s", verb, url, u.stderr.String())
			}
		}
	}
	// If both entries have the same URL, the user's entry is used.
	u.project(t, `{"mcpServers":{"linear":{"url":"`+u.good.URL()+`","headers":{"X-Key":"theirs"},"auth":{"dpop":"never"}}}}`)
	u.must(t, exitDone, "call", "linear", "headers")
	if !strings.Contains(u.stdout.String(), "canary-linear-key") || strings.Contains(u.stdout.String(), "theirs") {
		t.Errorf("stdout: %s", u.stdout.String())
	}
	if evil.Count("requests") != 0 {
		t.Error("the project's server was asked")
	}
}

// A project's file, even a trusted one, does not change the settings of a stored login with the same name.
func TestProjectWeakensALogin(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	if err := u.good.Set("dpop=offer"); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "login", u.good.URL(), "--name", "work", "--dpop", "always", "--strict", "--scope", "notes:read", "--client-id", "demo-public")
	u.weakens(t, exitDone)
	for _, words := range []string{"expire", "revoke"} {
		if err := u.good.Set(words); err != nil {
			t.Fatal(err)
		}
	}
	u.project(t, `{}`)
	u.must(t, exitAuth, "call", "work", "whoami", "--reauth", "refresh") // the server has ended the grant, so no token is stored any more
	u.must(t, exitAuth, "status", "work", "--json")
	if !strings.Contains(u.stdout.String(), `"state": "none"`) {
		t.Fatalf("a token is left: %s", u.stdout.String())
	}
	if u.must(t, exitDone, "status"); !strings.Contains(u.stdout.String(), "work") { // the name still belongs to the login
		t.Error(u.stdout.String())
	}
	u.weakens(t, exitAuth)
}

// weakens writes project files that would weaken the stored login "work". The parameter code is the exit code of status.
func (u user) weakens(t *testing.T, code int) {
	t.Helper()
	status := func() string {
		u.must(t, code, "status", "work", "--json")
		_, constant, _ := strings.Cut(u.stdout.String(), `"refreshable"`) // without expires_in, which changes with time and precedes refreshable
		return constant
	}
	before := status()
	requests := u.good.Count("requests")
	for _, auth := range []string{`"dpop":"never"`, `"dpop":"auto"`, `"clientId":"demo-basic"`, `"issuer":"https://as.example.com"`,
		`"clientMetadataUrl":"https://as.example.com/client"`, `"grant":"device_code"`, `"scope":"notes:read notes:write"`} {
		u.project(t, `{"mcpServers":{"work":{"url":"`+u.good.URL()+`","auth":{`+auth+`}}}}`)
		u.must(t, exitDone, "trust")
		for _, verb := range [][]string{{"login", "work"}, {"login", "work", "--name", "work"}} {
			u.must(t, exitUsage, append(verb, "--keystore", "file")...)
			if s := u.stderr.String(); !strings.Contains(s, "cannot change a login") || !strings.Contains(s, "hint: if the file is right, and you no longer need the settings of this login, such as --strict or --dpop always: mcpauth logout work --keystore file\n") {
				t.Errorf("%s: %s", auth, s)
			}
		}
	}
	u.project(t, `{"mcpServers":{"work":{"url":"`+u.good.URL()+`","headers":{"Authorization":"Bearer theirs"}}}}`)
	u.must(t, exitUsage, "call", "work", "whoami")
	u.project(t, `{"mcpServers":{"work":{"url":"`+u.good.URL()+`","disabled":true}}}`)
	u.must(t, code, "status", "work") // if the project's file disables its entry, the stored login of the same name remains usable
	if n := u.good.Count("requests"); n != requests {
		t.Errorf("%d requests were sent", n-requests)
	}
	if after := status(); after != before {
		t.Errorf("the login changed:\n%s\n%s", before, after)
	}
}

// A project's file, even a trusted one, does not make a stored login use another identity.
func TestProjectReplacesAnIdentity(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for name, text := range map[string]string{"own.jwt": u.good.Assertion("ann", time.Hour), "eve.jwt": u.good.Assertion("eve", time.Hour), "eve.pem": "x"} {
		if err := os.WriteFile(filepath.Join(u.home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.env = append(u.env, "SECRET=demo-cs-basic")
	logins := map[string][]string{
		"build": {"--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion-file", "own.jwt"},
		"code":  {"--client-id", "demo-basic", "--client-secret-env", "SECRET"},
	}
	for name, flags := range logins {
		u.must(t, exitDone, append([]string{"login", u.good.URL(), "--name", name}, flags...)...)
	}
	requests := u.good.Count("requests") + u.good.Count("token")
	for _, tt := range []struct{ name, auth string }{
		{"build", `"assertionFile":"eve.jwt"`}, {"build", `"clientId":"demo-public","clientKey":"eve.pem"`}, {"build", `"clientId":"demo-public","clientSecret":"canary"`},
		{"code", `"clientId":"demo-basic","clientSecret":"canary"`}, {"code", `"assertionFile":"eve.jwt"`},
	} {
		u.project(t, `{"mcpServers":{"`+tt.name+`":{"url":"`+u.good.URL()+`","auth":{`+tt.auth+`}}}}`)
		u.must(t, exitDone, "trust")
		u.must(t, exitUsage, "login", tt.name)
		if s := u.stderr.String(); !strings.Contains(s, "cannot change a login") || strings.Contains(s, "canary") {
			t.Errorf("%s: %s", tt.auth, s)
		}
		if n := u.good.Count("requests") + u.good.Count("token"); n != requests {
			t.Errorf("%s: %d requests were sent", tt.auth, n-requests)
		}
		u.must(t, exitDone, "call", tt.name, "whoami") // a call uses the settings of the login, and not those of the file
		requests = u.good.Count("requests") + u.good.Count("token")
	}
	// The file may repeat the settings of the login.
	u.project(t, `{"mcpServers":{"build":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"own.jwt","dpop":"auto"}},
		"code":{"url":"`+u.good.URL()+`","auth":{"clientId":"demo-basic","issuer":"`+u.good.Issuer()+`/","callbackPort":8123}}}}`)
	u.must(t, exitDone, "trust")
	for name := range logins {
		u.must(t, exitDone, "call", name, "whoami")
		u.must(t, exitDone, "login", name)
	}
	u.must(t, exitDone, "refresh", "code") // the login still has the client secret, which the file does not repeat
	u.must(t, exitDone, "login", "code", "--scope", "notes:read", "--dpop", "never", "--callback-host", "localhost")
	u.must(t, exitDone, "call", "code", "whoami")
	u.must(t, exitDone, "login", "code", "--client-id", "demo-public") // a flag is the user's word
}

// A project's file that another user could have written is ignored with a warning, and cannot be trusted. No message advises --config, which would
// use the variables of the file without showing them.
func TestForeignProjectIsIgnored(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // on Windows a new folder inherits the access list of the profile
	}
	u := newUser(t)
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`"}}}`)
	u.must(t, exitDone, "tools", "x")
	u.must(t, exitDone, "trust")
	if err := os.Chmod(u.home, 0o777); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "logout", "x")
	u.must(t, exitUsage, "tools", "x")
	if s := u.stderr.String(); !strings.Contains(s, ".mcp.json is ignored, because another user could have written it") || !strings.Contains(s, ownCopy) || strings.Contains(s, "--config") ||
		!strings.Contains(s, "unknown server") {
		t.Errorf("stderr: %s", s)
	}
	u.must(t, exitUsage, "trust")
	if s := u.stderr.String(); !strings.Contains(s, "cannot be trusted") || !strings.Contains(s, ownCopy) || strings.Contains(s, "--config") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.must(t, exitDone, "trust", "--revoke")
	if !strings.Contains(u.stderr.String(), "is no longer trusted") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
}

// A file with very many servers is read in linear time. mcpauth refuses a project's file of more than 128 KiB.
func TestProjectOfManyServers(t *testing.T) {
	u := newUser(t)
	var b strings.Builder
	b.WriteString(`{"mcpServers":{"x":{"url":"` + u.good.URL() + `"}`)
	for i := 0; b.Len() < 640<<10; i++ {
		fmt.Fprintf(&b, `,"s%d":{"url":"https://x"}`, i)
	}
	u.project(t, b.String()+"}}")
	path := filepath.Join(u.home, ".mcp.json")
	u.must(t, exitAuth, "status", "x", "--timeout", "5s", "--config", path)
	u.must(t, exitUsage, "tools", "x")
	if s := u.stderr.String(); !strings.Contains(s, "larger than 128 KiB") || strings.Contains(s, "--config "+shellWord(path)) { // --config uses all variables, without trust
		t.Errorf("stderr: %.300s", s)
	}
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`"}}}`+strings.Repeat(" ", 100<<10))
	u.must(t, exitAuth, "status", "x")
}

// A project's file can name at most 200 files, because it can have at most 100 servers. So the list of trusted files stays small.
func TestProjectOfManyFiles(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	project := func(servers int) {
		var entries []string
		for i := range servers {
			entries = append(entries, fmt.Sprintf(`"s%d":{"url":"https://x","auth":{"clientKey":"k%d","assertionFile":"a%d"}}`, i, i, i))
		}
		u.project(t, `{"mcpServers":{`+strings.Join(entries, ",")+`}}`)
	}
	project(101)
	if u.must(t, exitUsage, "trust"); u.stdout.Len() > 0 {
		t.Errorf("stdout: %.300s", u.stdout.String())
	}
	project(100)
	u.must(t, exitDone, "trust", "--json")
	var trusted struct{ Files map[string]string }
	if err := json.Unmarshal(u.stdout.Bytes(), &trusted); err != nil || len(trusted.Files) != 200 {
		t.Errorf("%d files, %v", len(trusted.Files), err)
	}
}

// The path of a key may have thousands of folders, whether they exist or not.
func TestProjectOfManyFolders(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "DEEP="+strings.Repeat("x/", 200))
	existing := strings.Repeat("x/", 800)
	if err := os.MkdirAll(filepath.Join(u.home, existing), 0o700); err != nil && runtime.GOOS == "linux" { // other systems allow only shorter paths
		t.Fatal(err)
	}
	entry := func(i int, key string) string {
		return fmt.Sprintf(`"s%d":{"url":"%s","auth":{"grant":"client_credentials","clientId":"c","clientKey":"%s"}}`, i, u.good.URL(), key)
	}
	var many []string
	for i := range 90 {
		many = append(many, entry(i, strings.Repeat("${DEEP}/", 160)))
	}
	for _, entries := range []string{entry(0, strings.Repeat("x/", 31_000)+"k.pem"), entry(0, existing+strings.Repeat("y/", 1000)+"k.pem"), strings.Join(many, ",")} {
		u.project(t, `{"mcpServers":{`+entries+`}}`)
		start := time.Now()
		u.must(t, exitUsage, "login", "s0")
		u.must(t, exitDone, "trust")
		u.must(t, exitUsage, "login", "s0")
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%.60s: %v", entries, took)
		}
	}
}

// A project's file cannot take the name of a login whose record is damaged.
func TestProjectTakesTheNameOfADamagedLogin(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "good")
	records, err := filepath.Glob(filepath.Join(u.home, ".local", "share", "mcpauth", "*.credential"))
	if err != nil || len(records) != 1 || os.Truncate(records[0], 10) != nil {
		t.Fatal(records, err)
	}
	before := u.good.Count("requests")
	u.project(t, `{"mcpServers":{"good":{"url":"`+u.good.URL()+`?theirs"}}}`)
	for _, args := range [][]string{{"tools", "good"}, {"login", "good"}, {"refresh", "good"}} {
		u.must(t, exitKeystore, args...)
		if !strings.Contains(u.stderr.String(), "damaged") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	if n := u.good.Count("requests"); n != before {
		t.Errorf("%d requests were sent", n-before)
	}
}

// own writes the user's configuration.
func (u user) own(t *testing.T, text string) {
	t.Helper()
	folder := filepath.Join(u.home, ".config", "mcpauth")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A client secret is sent only to the authorization server to which it was sent first. Another name for the login does not change that.
func TestSecretGoesToAnotherIssuer(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	evil, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	u.env = append(u.env, "SECRET=demo-cs-basic")
	const auth = `"auth":{"clientId":"demo-basic","clientSecret":"${SECRET}"`
	u.own(t, `{"mcpServers":{"good":{"url":"`+u.good.URL()+`",`+auth+`}},"machine":{"url":"`+evil.URL()+`",`+auth+`,"grant":"client_credentials"}},"evil":{"url":"`+evil.URL()+`",`+auth+`}},
		"named":{"url":"`+evil.URL()+`",`+auth+`,"issuer":"`+evil.Issuer()+`","grant":"client_credentials"}}}}`)
	u.must(t, exitDone, "login", "good")
	for _, args := range [][]string{{"login", "evil"}, {"login", "machine"}, {"call", "machine", "whoami"}, {"login", "evil", "--name", "other"},
		{"login", "named"}, {"call", "named", "whoami"}, {"login", "--all"}} {
		u.must(t, exitSecurity, args...)
		if !strings.Contains(u.stderr.String(), "the client secret was first used with") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	if n := evil.Count("token") + evil.Count("authorize"); n != 0 {
		t.Errorf("%d requests for tokens", n)
	}
	u.must(t, exitDone, "login", "evil", "--accept-new-issuer")
	u.must(t, exitDone, "login", "machine", "--issuer", evil.Issuer())
	// The flags allow the same for a stored login whose server moves to another authorization server.
	if err := u.good.Set("migrate"); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"discover", "login"} {
		u.must(t, exitSecurity, verb, "good")
		u.must(t, exitDone, verb, "good", "--issuer", u.good.Issuer())
	}
	u.must(t, exitDone, "login", "good")
}

//go:build unix

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
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpauth/internal/attack"
	"mcpauth/internal/demo"
)

// If a project's file names a FIFO as an assertion or a key, the login fails at once instead of waiting for a writer.
func TestProjectNamesAPipe(t *testing.T) {
	u := newUser(t)
	if err := syscall.Mkfifo(filepath.Join(u.home, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{
		"a":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"pipe"}},
		"k":{"url":"`+u.good.URL()+`","auth":{"grant":"client_credentials","clientId":"demo-public","clientKey":"pipe"}}}}`)
	u.must(t, exitDone, "trust")
	for _, name := range []string{"a", "k"} {
		u.must(t, exitUsage, "login", name)
		if !strings.Contains(u.stderr.String(), "not a regular file") || u.good.Count("requests") != 0 {
			t.Errorf("%d requests, stderr %s", u.good.Count("requests"), u.stderr.String())
		}
	}
}

// If the configuration file is a FIFO without a writer, the command ends at its time limit.
func TestConfigurationIsAPipe(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	if err := syscall.Mkfifo(filepath.Join(u.home, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitNetwork, "status", "x", "--config", "pipe", "--timeout", "300ms")
	if !strings.Contains(u.stderr.String(), "reading the configuration") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
}

// The name of a project's folder may contain characters that cannot be shown. Its file cannot be trusted, because the hint and the list of
// trusted files would name another file.
func TestHostileFolderNames(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	home := u.home
	text := `{"mcpServers":{"x":{"url":"` + u.good.URL() + `","headers":{"X-Key":"${HOME}"}}}}`
	for _, name := range []string{"a\xff\xfe", "b\u202e", "c\u200bd", "e\x1b[31m", "f\ng", "h\u00a0"} {
		u.home = filepath.Join(home, name)
		if err := os.Mkdir(u.home, 0o700); err != nil {
			if runtime.GOOS == "darwin" { // its file systems refuse bytes that are not UTF-8
				continue
			}
			t.Fatal(err)
		}
		u.project(t, text)
		for _, args := range [][]string{{"trust"}, {"trust", filepath.Join(u.home, ".mcp.json")}, {"tools", "x"}} {
			u.must(t, exitUsage, args...)
			if s := u.stderr.String(); !strings.Contains(s, "cannot be shown") || strings.Contains(s, "mcpauth trust") {
				t.Errorf("%q: %s", args, s)
			}
		}
	}
	if n := u.good.Count("requests"); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// If a user pastes the example call of a tool into a shell, no file is sent to the server.
func TestPastedExample(t *testing.T) {
	t.Parallel()
	w, err := attack.Start("terminal/tool-example")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	v := newVictim(t, w, "none")
	const canary = "canary-private-key"
	if err := os.WriteFile(filepath.Join(v.home, "id_rsa"), []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := v.run("login", "SERVER"); code != exitDone {
		t.Fatalf("login: %d %s", code, v.stderr.String())
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"echo", "fail"} {
		if code := v.run("tools", "SERVER", tool); code != exitDone {
			t.Fatalf("tools: %d %s", code, v.stderr.String())
		}
		_, line, _ := strings.Cut(v.stdout.String(), "\nExample:\n")
		cmd := exec.Command("sh", "-c", "mcpauth() { "+path+" --cacert "+w.CAFile()+` "$@"; }`+"\n"+line)
		cmd.Env, cmd.Dir = v.env, v.home
		out, err := cmd.CombinedOutput()
		called := false
		for _, r := range w.Requests() {
			called = called || strings.Contains(r.Body, `"name":"`+tool+`"`)
			if strings.Contains(r.Body, canary) {
				t.Errorf("the file was sent: %s", r.Body)
			}
		}
		if !called {
			t.Errorf("nothing was called by %s: %v %s", line, err, out)
		}
	}
	v.world = nil // the hidden completion command accepts no flags before it
	for _, args := range [][]string{{"__complete", "call", w.URL(), ""}, {"__complete", "call", w.URL(), "fail", ""}} {
		if code := v.run(args...); code != exitDone || v.stdout.Len() == 0 {
			t.Errorf("%q: exit %d, %s%s", args, code, v.stdout.String(), v.stderr.String())
		}
		for word := range strings.Lines(v.stdout.String()) {
			if isFlag(word) {
				t.Errorf("%q offers %q", args, word)
			}
		}
	}
}

// A user has trusted a project's file that names a key file. Then the project replaces the key file by a link to the user's own key.
// mcpauth refuses the link, although the project's file and the path in it are unchanged.
func TestProjectMovesALink(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"keys/dev.pem", "${KEYS:-keys}/dev.pem"} {
		t.Run(key, func(t *testing.T) { projectMovesALink(t, key) })
	}
}

func projectMovesALink(t *testing.T, key string) {
	u := newUser(t)
	keys := filepath.Join(u.home, "keys")
	for _, file := range []string{"dev.pem", "id_rsa"} {
		if err := errors.Join(os.MkdirAll(keys, 0o755), os.WriteFile(filepath.Join(keys, file), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","auth":{"grant":"client_credentials","clientId":"c","clientKey":"`+key+`"}}}}`)
	u.must(t, exitDone, "trust")
	u.must(t, exitUsage, "login", "x")
	if !strings.Contains(u.stderr.String(), "client key") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	if err := errors.Join(os.Remove(filepath.Join(keys, "dev.pem")), os.Symlink("id_rsa", filepath.Join(keys, "dev.pem"))); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitUsage, "login", "x")
	if !strings.Contains(u.stderr.String(), "point elsewhere since it was trusted") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.must(t, exitDone, "trust")
	if !strings.Contains(u.stdout.String(), "/dev.pem -> ") || !strings.Contains(u.stdout.String(), "keys/id_rsa") {
		t.Errorf("stdout: %s", u.stdout.String())
	}
}

// A login that was made with a trusted project's file reads the assertion file at each renewal. If the assertion file has become a link
// since the login, mcpauth refuses the renewal. It does so in any working directory, and for a name as well as for a URL.
func TestProjectMovesALinkAfterTheLogin(t *testing.T) {
	t.Parallel()
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		projectMovesALinkAfterTheLogin(t, newUser(t))
	})
	t.Run("linked folder", func(t *testing.T) {
		t.Parallel()
		u := newUser(t)
		folder, link := filepath.Join(u.home, "folder"), filepath.Join(u.home, "link")
		if err := errors.Join(os.Mkdir(folder, 0o700), os.Symlink(folder, link)); err != nil {
			t.Fatal(err)
		}
		u.home, u.env = link, append(u.env, "PWD="+link) // as a shell sets it after cd
		projectMovesALinkAfterTheLogin(t, u)
	})
}

func projectMovesALinkAfterTheLogin(t *testing.T, u user) {
	key := keyedClient(t, u.good)
	u.env = append(u.env, "HERE="+u.home)
	for auth, secret := range map[string]string{
		`"grant":"client_credentials","clientId":"keyed","clientKey":"FILE"`:   key,
		`"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"FILE"`: u.good.Assertion("ann", time.Hour),
	} {
		for i, folder := range []string{"", "./", "${HERE}/./", "${HERE}//", u.home + "/x/../"} {
			name := fmt.Sprint("file", i) // mcpauth remembers the files of earlier versions of the project's file
			fileMovesAfterTheLogin(t, u, strings.ReplaceAll(auth, "FILE", folder+name), filepath.Join(u.home, name), secret)
		}
	}
}

// keyedClient registers the client "keyed", which authenticates with a key, and returns the private key in PEM.
func keyedClient(t *testing.T, s *demo.Server) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err1 := x509.MarshalPKCS8PrivateKey(key)
	public, err2 := x509.MarshalPKIXPublicKey(&key.PublicKey)
	text, err3 := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	s.AddClient(demo.Client{ID: "keyed", Method: "private_key_jwt", Key: text})
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// fileMovesAfterTheLogin replaces a file that the stored login uses by a link to another file.
func fileMovesAfterTheLogin(t *testing.T, u user, auth, file, secret string) {
	t.Helper()
	_ = os.Remove(file)
	if err := errors.Join(os.WriteFile(file, []byte(secret), 0o600), os.WriteFile(file+".own", []byte(secret), 0o600)); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","auth":{`+auth+`}}}}`)
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "x")
	u.must(t, exitDone, "refresh", "x")
	if err := errors.Join(os.Remove(file), os.Symlink(file+".own", file)); err != nil {
		t.Fatal(err)
	}
	before := u.good.Count("requests") + u.good.Count("token")
	for _, args := range [][]string{{"refresh", "x"}, {"refresh", "--all"}, {"refresh", u.good.URL()}, {"login", u.good.URL()}} {
		u.must(t, exitUsage, args...)
		if !strings.Contains(u.stderr.String(), "which is not the file that a login") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	// mcpauth still refuses the link if the project's file no longer names it, or if the user no longer trusts the project's file.
	u.project(t, `{"mcpServers":{"y":{"url":"`+u.good.URL()+`"}}}`)
	for _, args := range [][]string{{"trust"}, {"trust", "--revoke"}} {
		u.must(t, exitDone, args...)
		u.must(t, exitUsage, "refresh", "--all")
	}
	if n := u.good.Count("requests") + u.good.Count("token") - before; n != 0 {
		t.Errorf("%s: %d requests", auth, n)
	}
	u.must(t, exitDone, "logout", "x")
}

// Honest programs replace links too, as certbot and Kubernetes do. A trusted project's file that names such a link does not keep the user's own
// login from using the link. The project's login uses the link again after trust.
func TestProjectNamesAReplacedLink(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	link := filepath.Join(u.home, "live.jwt")
	replace := func(target string) {
		t.Helper()
		_ = os.Remove(link)
		target = filepath.Join(u.home, target)
		if err := errors.Join(os.WriteFile(target, []byte(u.good.Assertion("ann", time.Hour)), 0o600), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	replace("1.jwt")
	own := []string{"login", u.good.URL(), "--name", "own", "--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion-file", link}
	u.must(t, exitDone, own...)
	u.project(t, `{"mcpServers":{"theirs":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"live.jwt"}}}}`)
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "theirs")
	replace("2.jwt")
	u.must(t, exitDone, "refresh", "own")
	u.must(t, exitDone, own...)
	u.must(t, exitUsage, "refresh", "theirs")
	u.must(t, exitUsage, "login", "theirs")
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "refresh", "theirs")
	if err := os.Remove(filepath.Join(u.home, ".mcp.json")); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "trust", "--revoke", ".mcp.json")
	if !strings.Contains(u.stderr.String(), "is no longer trusted") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	replace("3.jwt")
	u.must(t, exitUsage, "refresh", "theirs")
	u.must(t, exitDone, "login", u.good.URL(), "--name", "theirs", "--assertion-file", link)
	replace("4.jwt")
	u.must(t, exitDone, "refresh", "own")
	u.must(t, exitDone, "refresh", "theirs")
}

// Until a project's file is trusted, its headers are not sent with the token of a stored login. Without a login they are sent, but their
// values do not count as secrets of the user: exec does not remove variables with these values.
func TestProjectAddsHeaders(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "SANDBOX_POLICY=https://proxy.example.com/policy", "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/company.pem")
	u.must(t, exitDone, "login", u.good.URL(), "--name", "work")
	requests := u.good.Count("requests")
	file := func(name string) string {
		return `{"mcpServers":{"` + name + `":{"url":"` + u.good.URL() + `","headers":{"Content-Type":"text/csv","X-Tenant":"https://proxy.example.com/policy"}}}}`
	}
	u.project(t, file("work"))
	for _, args := range [][]string{{"call", "work", "whoami"}, {"login", "work"}, {"tools", "work"}, {"exec", "work", "--", "true"}} {
		u.must(t, exitUsage, args...)
		if !strings.Contains(u.stderr.String(), "is not trusted") || !strings.Contains(u.stderr.String(), "headers Content-Type, X-Tenant") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	if n := u.good.Count("requests"); n != requests {
		t.Errorf("%d requests were sent", n-requests)
	}
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "call", "work", "headers")
	if !strings.Contains(u.stdout.String(), "X-Tenant") {
		t.Errorf("a trusted header is missing: %s", u.stdout.String())
	}
	u.project(t, strings.ReplaceAll(file("work"), `,"X-Tenant":"https://proxy.example.com/policy"`, ""))
	u.must(t, exitDone, "call", "work", "whoami") // mcpauth ignores Content-Type, so the header needs no trust

	u.project(t, file("other"))
	u.must(t, exitAuth, "call", "other", "whoami") // a login would send the headers together with the new token
	trust, login := "mcpauth trust "+shellWord(realPath(filepath.Join(u.home, ".mcp.json"))), "mcpauth login other"
	if !strings.Contains(u.stderr.String(), "hint: look at the file, then: "+trust+", then: "+login+"\n") {
		t.Errorf("no hint that cures it: %s", u.stderr.String())
	}
	u.must(t, exitDone, "exec", "other", "--", "env")
	if !strings.Contains(u.stdout.String(), "SANDBOX_POLICY=https://proxy.example.com/policy") {
		t.Errorf("the command of exec lacks a variable: %s", u.stdout.String())
	}
	u.project(t, `{"mcpServers":{"fourth":{"url":"`+u.good.URL()+`","headers":{"Authorization":"Digest token=\"/etc/ssl/certs/company.pem\""}}}}`)
	u.must(t, exitDone, "exec", "fourth", "--", "env")
	if !strings.Contains(u.stdout.String(), "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/company.pem") {
		t.Errorf("the command of exec lacks a variable: %s", u.stdout.String())
	}
	u.project(t, file("other"))
	for _, args := range [][]string{{"login", "other"}, {"login", "other", "--name", "mine"}, {"login", "other", "--print-url"}} {
		u.must(t, exitUsage, args...)
		if !strings.Contains(u.stderr.String(), "hint: look at the file, then: "+trust+"\n") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "other")
	u.must(t, exitDone, "call", "other", "whoami") // the login has not asked for less trust than the call

	// Calls would refuse a login that was made with the credential of a project's file.
	u.project(t, `{"mcpServers":{"third":{"url":"`+u.good.URL()+`","headers":{"Authorization":"Bearer expired-token"}}}}`)
	u.must(t, exitDone, "trust")
	for _, tt := range []struct {
		args []string
		exit int
	}{{[]string{"login", "third"}, exitUsage}, {[]string{"call", "third", "whoami"}, exitAuth}} {
		u.must(t, tt.exit, tt.args...)
		if !strings.HasSuffix(u.stderr.String(), "the name: mcpauth login "+u.good.URL()+"\n") {
			t.Errorf("%q: %s", tt.args, u.stderr.String())
		}
	}
	u.must(t, exitAuth, "status", "third")
}

// If the user logs in while exec uses an entry of a project's file, the headers of the file do not go along with the new token.
func TestLoginWhileAProjectRuns(t *testing.T) {
	t.Parallel()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, entry, call, want string
		trusted                 bool
	}{
		{"an untrusted file adds headers", `"headers":{"X-Tenant":"theirs"}`, "headers", "is not trusted", false},
		{"a trusted file adds a credential", `"headers":{"Authorization":"Bearer theirs"}`, "whoami", "cannot be combined with a login", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			if err := u.good.Set("dpop=offer"); err != nil {
				t.Fatal(err)
			}
			u.project(t, `{"mcpServers":{"work":{"url":"`+u.good.URL()+`",`+tt.entry+`}}}`)
			if tt.trusted {
				u.must(t, exitDone, "trust")
			}
			u.must(t, exitTool, "exec", "work", "--", "sh", "-c",
				path+" login "+u.good.URL()+" --name work --scope notes:read >&2 && "+path+` call "$MCPAUTH_URL" `+tt.call)
			if s := u.stderr.String(); u.stdout.Len() > 0 || !strings.Contains(s, tt.want) {
				t.Errorf("stdout %s, stderr %s", u.stdout.String(), s)
			}
		})
	}
}

// While exec runs with an entry of a trusted project's file, the user logs in with stricter settings. A step-up keeps these settings.
func TestStepUpOfAProjectKeepsTheLogin(t *testing.T) {
	t.Parallel()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	u := newUser(t)
	if err := u.good.Set("dpop=offer"); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{"work":{"url":"`+u.good.URL()+`","auth":{"dpop":"never","callbackPort":8123}}}}`)
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "exec", "work", "--", "sh", "-c",
		path+" login "+u.good.URL()+" --name work --scope notes:read --dpop always >&2 && "+path+` call "$MCPAUTH_URL" secret_note text=x`)
	u.must(t, exitDone, "status", "work", "--json")
	if s := u.stdout.String(); !strings.Contains(s, "notes:write") || !strings.Contains(s, `"token_type": "DPoP"`) {
		t.Errorf("the login changed: %s", s)
	}
}

// A neighbour makes the state folder, or a link to it. mcpauth reads no list of trusted files, no login and no key there.
func TestFoldersOfANeighbour(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.project(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","headers":{"X-Key":"${SOME_KEY}"}}}}`)
	u.env = append(u.env, "SOME_KEY=some-key")
	u.must(t, exitDone, "trust")
	real := filepath.Join(u.home, ".local", "state")
	if _, err := os.Stat(filepath.Join(real, "mcpauth", "notes")); err != nil {
		t.Fatal(err)
	}
	open, link := filepath.Join(u.home, "open"), filepath.Join(u.home, "open", "link")
	err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Symlink(filepath.Join(real, "mcpauth", "notes"), filepath.Join(open, "notes")), os.Symlink(real, link))
	if err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "tools", "x")
	before, env := u.good.Count("requests"), u.env
	u.env = append(slices.Clone(env), "MCPAUTH_STATE_DIR="+open)
	u.must(t, exitKeystore, "tools", "x")
	if os.Getuid() == 0 { // only root can give a link to another user
		if err := os.Lchown(link, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		for _, variable := range []string{"XDG_STATE_HOME=" + link, "MCPAUTH_STATE_DIR=" + link + "/mcpauth", "XDG_DATA_HOME=" + link, "MCPAUTH_KEYSTORE_DIR=" + link + "/keys", "MCPAUTH_KEYSTORE_KEY_FILE=" + link + "/age"} {
			u.env = append(slices.Clone(env), variable)
			u.must(t, exitUsage, "status", "--keystore", "file")
			if s := u.stderr.String(); !strings.Contains(s, link+" belongs to user 4242") {
				t.Errorf("%s: %s", variable, s)
			}
		}
		u.env = append(slices.Clone(env), "XDG_STATE_HOME="+link)
		u.must(t, exitUsage, "tools", "x")
	}
	if n := u.good.Count("requests") - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	u.env = append(slices.Clone(env), "MCPAUTH_KEYSTORE_KEY_FILE="+link+"/../missing") // the file that the check looks at is the one that is opened
	u.must(t, exitKeystore, "login", u.good.URL(), "--name", "y")
	if s := u.stderr.String(); !strings.Contains(s, filepath.Join(open, "missing")) {
		t.Errorf("another path was opened: %s", s)
	}
}

// Under sudo without -H, HOME is the home folder of another user. root must not create files there that the user cannot change.
func TestRootInAnotherHome(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("only root can run as root; CI does, in its container")
		return
	}
	u := newUser(t)
	u.own(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","headers":{"X-Key":"theirs"}}}}`)
	chown := func(uid int) {
		t.Helper()
		err := filepath.Walk(u.home, func(path string, _ os.FileInfo, err error) error { return errors.Join(err, os.Lchown(path, uid, uid)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	chown(4242)
	for _, args := range [][]string{{"login", u.good.URL()}, {"status"}, {"call", u.good.URL(), "whoami"}, {"logout", u.good.URL()}, {"trust", "--list"}, {"call", "x", "whoami"}} {
		u.must(t, exitUsage, args...)
		if !strings.Contains(u.stderr.String(), "runs as root, but HOME is a folder of another user") || !strings.Contains(u.stderr.String(), "both MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR, to a folder of root") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	u.must(t, exitDone, "discover", u.good.URL()) // needs no folder
	u.must(t, exitUsage, "trust")
	if !strings.Contains(u.stderr.String(), "there is no .mcp.json") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	before := u.good.Count("requests")
	if err := os.Symlink(t.TempDir(), u.home+"/.local"); err != nil { // the user could make root write in a folder of root
		t.Fatal(err)
	}
	u.must(t, exitUsage, "login", u.good.URL())
	if err := os.Remove(u.home + "/.local"); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "XDG_STATE_HOME="+u.home+"/a/b", "XDG_DATA_HOME="+u.home+"/a/c")
	u.must(t, exitUsage, "login", u.good.URL())
	left, err := os.ReadDir(u.home)
	if err != nil || len(left) != 1 || left[0].Name() != ".config" || u.good.Count("requests") != before {
		t.Errorf("%v, %v, %d requests", left, err, u.good.Count("requests"))
	}
	// A link that another user owns, in the path of a configuration folder, leads to a folder of root.
	deep := t.TempDir()
	if err := errors.Join(os.MkdirAll(deep+"/b/mcpauth", 0o700), os.WriteFile(deep+"/b/mcpauth/config.json", []byte(`{"mcpServers":{"deep":{"url":"`+u.good.URL()+`"}}}`), 0o600),
		os.Symlink(deep, u.home+"/link"), os.Lchown(u.home+"/link", 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	env := u.env
	own := t.TempDir()
	u.env = append(u.env, "MCPAUTH_STATE_DIR="+own+"/state", "MCPAUTH_KEYSTORE_DIR="+own+"/keys", "XDG_CONFIG_HOME="+u.home+"/link/b")
	u.must(t, exitUsage, "tools", "deep")
	if !strings.Contains(u.stderr.String(), "belongs to user 4242") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.env = env
	// sudo -E keeps all variables of the user.
	u.env = append(u.env, "MCPAUTH_STATE_DIR="+u.home+"/a/b", "MCPAUTH_KEYSTORE_DIR="+u.home+"/a/c")
	u.must(t, exitUsage, "login", u.good.URL())
	if !strings.Contains(u.stderr.String(), "runs as root, but MCPAUTH_STATE_DIR is a folder of another user") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.env = append(env, "MCPAUTH_STATE_DIR="+own+"/state", "MCPAUTH_KEYSTORE_DIR="+own+"/keys", "MCPAUTH_CONFIG="+u.home+"/.config/mcpauth/config.json")
	u.must(t, exitUsage, "call", "x", "whoami", "--reauth", "never")
	if !strings.Contains(u.stderr.String(), "named by MCPAUTH_CONFIG, but mcpauth runs as root, and this file and HOME are not root's: ") || !strings.Contains(u.stderr.String(), "--config FILE") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.must(t, exitAuth, "call", "x", "whoami", "--reauth", "never", "--config", u.home+"/.config/mcpauth/config.json") // named on the command line
	u.env = append(u.env, "HOME="+own)
	u.must(t, exitAuth, "call", "x", "whoami", "--reauth", "never") // with a home folder of its own, root has set the variable
	if err := os.Mkdir(own+"/volume", 0o700); err != nil || os.Lchown(own+"/volume", 4242, 4242) != nil {
		t.Fatal(err)
	}
	u.env = append(env, "HOME="+own, "MCPAUTH_STATE_DIR="+own+"/volume/state", "MCPAUTH_KEYSTORE_DIR="+own+"/volume/keys")
	u.must(t, exitDone, "login", u.good.URL()) // with a home folder of its own, root has chosen the folders, for example a volume of a container
	// The driver of the database would read .pgpass and .postgresql in the home folder.
	u.env = append(env, "MCPAUTH_STATE_DIR="+own+"/state", "MCPAUTH_KEYSTORE_DIR="+own+"/keys", "MCPAUTH_KEYSTORE=postgres",
		"MCPAUTH_KEYSTORE_URL=postgres://127.0.0.1:1/x?connect_timeout=1", "MCPAUTH_KEYSTORE_KEY_FILE="+own+"/no-key")
	u.must(t, exitUsage, "login", u.good.URL())
	if !strings.Contains(u.stderr.String(), "runs as root, but HOME is a folder of another user") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.env = env
	// root may use folders that belong to root, for example with a login from its own home folder.
	u.env = append(u.env, "MCPAUTH_STATE_DIR="+own+"/state", "MCPAUTH_KEYSTORE_DIR="+own+"/keys", "HOME="+own)
	u.must(t, exitDone, "login", u.good.URL())
	u.env = u.env[:len(u.env)-1]
	u.must(t, exitDone, "tools", u.good.URL())
	// The user could have put a link to a file of root, or a file that belongs to root, into their folders.
	folder := filepath.Join(u.home, ".config", "mcpauth")
	file, roots := filepath.Join(folder, "config.json"), filepath.Join(own, "roots.json")
	for name, change := range map[string]func() error{
		"a file of the user":      func() error { return nil },
		"a file of root":          func() error { return os.Lchown(file, 0, 0) },
		"a file in root's folder": func() error { return errors.Join(os.Lchown(file, 0, 0), os.Lchown(folder, 0, 0)) },
		"a folder in the user's home": func() error {
			return errors.Join(os.Lchown(file, 0, 0), os.Lchown(folder, 0, 0), os.Lchown(filepath.Dir(folder), 0, 0))
		},
		"a link to a file of root": func() error {
			return errors.Join(os.Rename(file, roots), os.Lchown(roots, 0, 0), os.Symlink(roots, file))
		},
	} {
		chown(4242)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		for _, variable := range []string{"", "XDG_CONFIG_HOME=" + filepath.Dir(folder)} {
			v := u
			v.victim = &victim{home: u.home, env: append(slices.Clone(u.env), variable)}
			v.must(t, exitUsage, "call", "x", "whoami")
			if !strings.Contains(v.stderr.String(), "config.json is ignored") {
				t.Errorf("%s, %s: %s", name, variable, v.stderr.String())
			}
		}
		_ = os.Remove(file)
		u.own(t, `{"mcpServers":{"x":{"url":"`+u.good.URL()+`","headers":{"X-Key":"theirs"}}}}`)
	}
	// The user could have moved a folder of root, such as a clone, to where root works.
	chown(4242)
	clone := user{&victim{home: filepath.Join(u.home, "clone"), env: u.env}, u.good}
	if err := os.Mkdir(clone.home, 0o755); err != nil {
		t.Fatal(err)
	}
	clone.project(t, project("moved", u.good.URL()))
	for _, args := range [][]string{{"call", "moved", "whoami"}, {"trust"}} {
		clone.must(t, exitUsage, args...)
		if !strings.Contains(clone.stderr.String(), u.home+" belongs to user 4242, and mcpauth runs as root") {
			t.Errorf("%q: %s", args, clone.stderr.String())
		}
	}
}

// If root runs mcpauth with another user's home folder, no browser is opened, because the settings in this folder choose the program that
// xdg-open starts. mcpauth prints the URL.
func TestRootOpensNoBrowserInAnotherHome(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("only root can run as root; CI does, in its container")
		return
	}
	u := newUser(t)
	own := t.TempDir()
	u.env = append(u.env, "MCPAUTH_STATE_DIR="+own+"/state", "MCPAUTH_KEYSTORE_DIR="+own+"/keys")
	u.must(t, exitDone, "login", u.good.URL(), "--name", "m")
	browser := "touch " + own + "/started"
	u.env = append(u.env, "BROWSER="+browser)
	for _, tt := range []struct {
		exit  int
		shows string
		args  []string
	}{
		{exitAuth, "/authorize?", []string{"login", u.good.URL(), "--name", "n", "--timeout", "4s"}},
		{exitAuth, "/authorize?", []string{"login", u.good.URL(), "--name", "n", "--timeout", "4s", "--browser", browser}},
		{exitDone, "https://partner.example/x", []string{"call", "m", "ask", "url=https://partner.example/x", "--elicit-urls"}},
	} {
		for _, owner := range []int{4242, 0} {
			if err := os.Lchown(u.home, owner, owner); err != nil {
				t.Fatal(err)
			}
			u.must(t, tt.exit, tt.args...)
			err := os.Remove(own + "/started")
			if (err == nil) != (owner == 0) || !strings.Contains(u.stderr.String(), tt.shows) {
				t.Errorf("%q, home of user %d: %v\n%s", tt.args, owner, err, u.stderr.String())
			}
		}
	}
}

// If another user can change the state folder, nothing is cached there.
func TestNothingIsCachedInAForeignFolder(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"", "/cache", "/tasks"} {
		u := newUser(t)
		u.must(t, exitDone, "login", u.good.URL())
		u.must(t, exitDone, "token", u.good.URL())
		state := t.TempDir() + "/state"
		u.env = append(u.env, "MCPAUTH_STATE_DIR="+state, "MCPAUTH_ACCESS_TOKEN="+strings.TrimSpace(u.stdout.String()))
		if err := os.MkdirAll(state+folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(state+folder, 0o777); err != nil {
			t.Fatal(err)
		}
		u.must(t, exitDone, "call", u.good.URL(), "whoami")
		left, err := filepath.Glob(state + "/*/*")
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %q, %v", folder, left, err)
		}
	}
}

// exec removes the variables that headers and secrets consist of, also the short ones, and copies of the access token.
func TestExecHidesItsVariables(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "CLIENT_SECRET=demo-cs-basic", "PART_ONE=canary1", "PART_TWO=canary22")
	config := filepath.Join(u.home, "c.json")
	if err := os.WriteFile(config, []byte(`{"mcpServers":{"p":{"url":"`+u.good.URL()+`","headers":{"X-Key":"v1-${PART_ONE}${PART_TWO}"},`+
		`"auth":{"clientId":"demo-basic","clientSecret":"${CLIENT_SECRET}"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitDone, "login", "p", "--config", config)
	u.must(t, exitDone, "token", "p", "--config", config)
	token := strings.TrimSpace(u.stdout.String())
	u.env = append(u.env, "EXPORTED="+token, "EXPORTED_HEADER=Authorization: Bearer "+token, `EXPORTED_JSON={"Authorization":"Bearer `+token+`"}`,
		"EXPORTED_URL=https://mcp.example/?a=1&access_token="+token, "EXPORTED_PAIR=TOKEN="+token)
	u.must(t, exitDone, "exec", "p", "--config", config, "--", "env")
	for _, gone := range []string{"demo-cs-basic", "PART_ONE", "PART_TWO", "EXPORTED"} {
		if strings.Contains(u.stdout.String(), gone) {
			t.Errorf("the environment of the command holds %s", gone)
		}
	}
	u.env = append(u.env, "MCPAUTH_ACCESS_TOKEN=canary-access-token", "COPY=canary-access-token")
	u.must(t, exitDone, "exec", u.good.URL(), "--", "env")
	if out := u.stdout.String(); strings.Contains(out, "canary-access-token") || !strings.Contains(out, "PART_ONE") {
		t.Errorf("the environment of the command holds a copy of MCPAUTH_ACCESS_TOKEN, or lacks a variable that is not used: %s", out)
	}
}

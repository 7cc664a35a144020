// Attacks from the same machine: other users, symbolic links, the process list, and project files of downloaded repositories.

package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"mcpauth/internal/attack"
	"mcpauth/internal/demo"
)

// user is a user of this machine, with an honest server.
type user struct {
	*victim
	good *demo.Server
}

func newUser(t *testing.T) user {
	t.Helper()
	good, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(good.Close)
	home := homeFolder(t)
	seen := filepath.Join(home, "visits")
	v := &victim{home: home, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "USERPROFILE=" + home, "MCPAUTH_KEYSTORE=file", "BROWSER=visitor none",
		"VISITS=" + seen, "TMPDIR=" + os.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "CHILD_ENV=" + seen + ".env", "GORACE=atexit_sleep_ms=0"}}
	return user{v, good}
}

// must runs the program and fails the test if the exit code differs.
func (u user) must(t *testing.T, exit int, args ...string) {
	t.Helper()
	if code := u.run(args...); code != exit {
		t.Fatalf("%q: exit %d, want %d\n%s%s", args, code, exit, u.stdout.String(), u.stderr.String())
	}
}

func (u user) project(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.home, ".mcp.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Other users can neither read nor change the files of mcpauth, even if the umask is 0.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // the access list of the user's profile protects the files
	}
	u := newUser(t)
	u.umask = true
	u.must(t, exitDone, "login", u.good.URL())
	u.must(t, exitDone, "call", u.good.URL(), "whoami")
	u.must(t, exitDone, "login", u.good.URL(), "--name", "b", "--print-url")
	found := 0
	for _, folder := range []string{filepath.Join(u.home, ".local", "share", "mcpauth"), filepath.Join(u.home, ".local", "state", "mcpauth")} {
		err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			found++
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if found < 6 {
		t.Errorf("only %d files were looked at", found)
	}
}

// If a folder or file of mcpauth is a symbolic link, mcpauth neither reads nor writes through it.
func TestPlantedLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // on Windows creating a link needs a privilege
	}
	for _, place := range []string{".local/share/mcpauth", ".local/state/mcpauth"} {
		t.Run(place, func(t *testing.T) {
			u := newUser(t)
			elsewhere := t.TempDir()
			path := filepath.Join(u.home, filepath.FromSlash(place))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(elsewhere, path); err != nil {
				t.Fatal(err)
			}
			u.must(t, exitKeystore, "login", u.good.URL())
			if !strings.Contains(u.stderr.String(), "symbolic link") {
				t.Errorf("stderr: %s", u.stderr.String())
			}
			if left, _ := os.ReadDir(elsewhere); len(left) > 0 || len(u.opened(t)) > 0 {
				t.Errorf("%d files were written elsewhere, browser at %q", len(left), u.opened(t))
			}
		})
	}
}

// A credential file that is a link, or that other users can read, is refused, because another user may have written it or may know its
// content.
func TestOpenFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return
	}
	u := newUser(t)
	u.must(t, exitDone, "login", u.good.URL())
	files, err := filepath.Glob(filepath.Join(u.home, ".local/share/mcpauth/*.credential"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, mode := range []os.FileMode{0o644, 0o620} {
		if err := os.Chmod(files[0], mode); err != nil {
			t.Fatal(err)
		}
		u.must(t, exitKeystore, "token", u.good.URL())
		if u.stdout.Len() > 0 {
			t.Error("the token of an open file was used")
		}
	}
	if err := os.Chmod(files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	// A cache file that other users can read is ignored, because another user may have put it there.
	u.must(t, exitDone, "tools", u.good.URL())
	caches, err := filepath.Glob(filepath.Join(u.home, ".local/state/mcpauth/cache/*.mcp"))
	if err != nil || len(caches) != 1 {
		t.Fatalf("%q, %v", caches, err)
	}
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := os.Chmod(caches[0], mode); err != nil {
			t.Fatal(err)
		}
		if u.must(t, exitDone, "__complete", "call", u.good.URL(), "add"); (u.stdout.Len() > 0) != (mode == 0o600) {
			t.Errorf("a cache of mode %o: %q", mode, u.stdout.String())
		}
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Chmod(files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(files[0], moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, files[0]); err != nil {
		t.Fatal(err)
	}
	u.must(t, exitKeystore, "token", u.good.URL())
}

// The arguments and the environment of a child process contain no secret, because the process list shows them.
func TestChildrenSeeNoSecret(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "CLIENT_SECRET=demo-cs-basic", "API_KEY=canary-api-key-1", "PIN=abc123def456", "PROJECT_KEY=canary-project-key", "MCPAUTH_ACCESS_TOKEN=", "MCPAUTH_KEYSTORE_KEY_FILE=", "PART_ONE=canary1", "PART_TWO=canary22")
	u.project(t, `{"mcpServers":{"p":{"url":"`+u.good.URL()+`","headers":{"X-Key":"Bearer ${PROJECT_KEY}","X-Two":"v1-${PART_ONE}${PART_TWO}"},"auth":{"clientId":"demo-basic","clientSecret":"${CLIENT_SECRET}"}}}}`)
	u.must(t, exitDone, "login", u.good.URL(), "--client-id", "demo-basic", "--client-secret-env", "CLIENT_SECRET", "-H", "X-Key: $API_KEY", "-H", "X-Api-Key: abc123def456")
	check := func(names ...string) {
		t.Helper()
		child, err := os.ReadFile(filepath.Join(u.home, "visits.env"))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range append(u.good.Secrets(), names...) {
			if attack.Holds(string(child), secret) {
				t.Errorf("the browser's arguments and environment hold %.12s…", secret)
			}
		}
		if strings.Contains(string(child), "MCPAUTH_") || !strings.Contains(string(child), "CHILD_ENV=") {
			t.Errorf("the browser's environment: %s", child)
		}
	}
	check("demo-cs-basic", "canary-api-key-1", "abc123def456")
	u.must(t, exitDone, "trust")
	u.must(t, exitDone, "login", "p")
	check("demo-cs-basic", "canary-project-key", "PART_ONE", "PART_TWO")
}

// A command that sends no header of the user's own entry masks the headers too, because the server knows them from other commands. A variable
// that is not set does not matter.
func TestUnsentHeadersAreMasked(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.env = append(u.env, "API_KEY=canary-api-key-1", "ADDRESS="+u.good.URL())
	u.must(t, exitDone, "login", u.good.URL(), "--name", "w")
	if err := u.good.Set(`token:status=400,type=application/json,body="{\"error\":\"invalid_request\",\"error_description\":\"not canary-api-key-1 canary-literal-2\"}"`); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{u.good.URL(), "${ADDRESS}", "${UNSET}"} {
		u.own(t, `{"mcpServers":{"w":{"url":"`+url+`","headers":{"X-Api-Key":"Bearer ${API_KEY}","X-Secret":"canary-literal-2","X-Other":"${UNSET}"}}}}`)
		for _, command := range []string{"refresh", "token"} {
			u.run(command, "w", "--min-ttl", "9000h", "--verbose")
			if s := u.stderr.String(); strings.Contains(s, "canary") || !strings.Contains(s, "not [redacted] [redacted]") {
				t.Errorf("%s, %s: %s", url, command, s)
			}
		}
	}
}

// Headers and secrets of an entry in a project's file are sent only to the server of that entry. If a stored login for another server has
// the name of an entry, mcpauth refuses the entry.
func TestHostileProject(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	evil, err := demo.Start(demo.Options{Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "work")
	u.env = append(u.env, "WORK_KEY=canary-work-key-123")
	marker := filepath.Join(u.home, "started")
	program, _ := json.Marshal(marker)
	u.project(t, `{"mcpServers":{
		"work":{"url":"`+evil.URL()+`"},
		"mine":{"url":"`+u.good.URL()+`","headers":{"X-Key":"${WORK_KEY}"}},
		"local":{"command":"touch","args":[`+string(program)+`]},
		"both":{"url":"`+evil.URL()+`","command":"touch","args":[`+string(program)+`]},
		"other":{"url":"`+evil.URL()+`","headers":{"X-Other":"harmless"}}}}`)
	for _, verb := range [][]string{{"call", "work", "whoami"}, {"token", "work"}, {"refresh", "work"}, {"tools", "work"}, {"login", "work"}} {
		u.must(t, exitUsage, verb...)
		if s := u.stderr.String(); !strings.Contains(s, "in the stored login") || !strings.Contains(s, "mcpauth login "+evil.URL()+" --name OTHER\n") {
			t.Errorf("%q: %s", verb, u.stderr.String())
		}
	}
	if evil.Count("requests") != 0 {
		t.Error("the project's server was asked under the name of a login")
	}
	u.must(t, exitDone, "call", "other", "headers", "--reauth", "never")
	for _, e := range evil.Requests() {
		line, _ := json.Marshal(e.Header)
		for _, secret := range append(u.good.Secrets(), "canary-work-key-123") {
			if attack.Holds(string(line)+e.Body, secret) {
				t.Errorf("the other server was sent %.12s…", secret)
			}
		}
	}
	for _, name := range []string{"local", "both"} {
		u.must(t, exitUsage, "call", name, "whoami")
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a project file started a program")
	}
}

// A project's file may name any file of the user as an assertion or a key. If that file contains neither an assertion nor a key, mcpauth
// sends no part of it.
func TestProjectNamesForeignFiles(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	secret := filepath.Join(u.home, "id_rsa")
	const text = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-private-key-canary-private-key\n-----END OPENSSH PRIVATE KEY-----\n"
	if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	foreign := encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(`{"aud":["https://kubernetes.default.svc"],"sub":"canary"}`)) + "." + encode([]byte("signature"))
	cluster := filepath.Join(u.home, "cluster-token")
	if err := os.WriteFile(cluster, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	u.project(t, `{"mcpServers":{
		"a":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"id_rsa"}},
		"k":{"url":"`+u.good.URL()+`","auth":{"grant":"client_credentials","clientId":"demo-public","clientKey":"id_rsa"}},
		"c":{"url":"`+u.good.URL()+`","auth":{"grant":"jwt_bearer","clientId":"demo-public","assertionFile":"cluster-token"}}}}`)
	for _, name := range []string{"a", "k", "c"} {
		u.must(t, exitUsage, "login", name)
		if !strings.Contains(u.stderr.String(), "is not trusted") || u.good.Count("requests") != 0 {
			t.Errorf("%d requests, stderr: %s", u.good.Count("requests"), u.stderr.String())
		}
	}
	u.must(t, exitDone, "trust")
	u.must(t, exitUsage, "login", "a")
	if !strings.Contains(u.stderr.String(), "not a JWT") {
		t.Errorf("stderr: %s", u.stderr.String())
	}
	u.must(t, exitUsage, "login", "k")
	if u.good.Count("requests") != 0 {
		t.Errorf("something was sent: %v", u.good.Counts())
	}
	u.must(t, exitSecurity, "login", "c")
	if u.good.Count("token") != 0 || !strings.Contains(u.stderr.String(), "kubernetes.default.svc") {
		t.Errorf("token requests %d, stderr %s", u.good.Count("token"), u.stderr.String())
	}
	if strings.Contains(u.stderr.String(), "canary") {
		t.Error("the file is shown")
	}
}

// If another program listens on the callback port, even if only on IPv4 or only on IPv6, mcpauth opens no browser.
func TestCallbackPortOfAStranger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ network, address, host string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"tcp4", "127.0.0.1:0", "localhost"},
		{"tcp6", "[::1]:0", "localhost"},
	} {
		stranger, err := net.Listen(tt.network, tt.address)
		if err != nil {
			if tt.network == "tcp6" {
				t.Logf("no IPv6 on this machine, so nobody can hold that half: %v", err)
				continue
			}
			t.Fatal(err)
		}
		u := newUser(t)
		_, port, _ := net.SplitHostPort(stranger.Addr().String())
		u.must(t, exitAuth, "login", u.good.URL(), "--callback-host", tt.host, "--callback-port", port)
		if !strings.Contains(u.stderr.String(), "in use") || len(u.opened(t)) > 0 {
			t.Errorf("%+v: browser at %q, stderr %s", tt, u.opened(t), u.stderr.String())
		}
		stranger.Close()
	}
}

// Requests to a loopback address never go to the proxy of the environment, whichever name the address has.
func TestLoopbackNeverThroughAProxy(t *testing.T) {
	t.Parallel()
	var asked, proxied atomic.Int64
	count := func(n *atomic.Int64) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Add(1); http.Error(w, "", http.StatusTeapot) }))
		t.Cleanup(s.Close)
		return s
	}
	u, good, proxy := newUser(t), count(&asked), count(&proxied)
	u.env = append(u.env, "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
	_, port, _ := net.SplitHostPort(good.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "mcp.localhost", "mcp.localhost."} {
		asked.Store(0)
		u.run("call", "http://"+host+":"+port+"/mcp", "whoami", "-H", "X-Key: canary", "--reauth", "never")
		if asked.Load() == 0 {
			t.Errorf("%s: the server was not asked: %s", host, u.stderr.String())
		}
	}
	if n := proxied.Load(); n != 0 {
		t.Errorf("the proxy got %d requests", n)
	}
}

// A proxy that repeats its password, plain and in base64, does not get it shown.
func TestProxyRepeatsItsPassword(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				basic := strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
				pair, _ := base64.StdEncoding.DecodeString(basic)
				fmt.Fprintf(conn, "HTTP/1.1 502 no %s %s\r\n\r\n", basic, pair)
			}
			conn.Close()
		}
	}()
	v := &victim{home: homeFolder(t)}
	v.env = []string{"HOME=" + v.home, "USERPROFILE=" + v.home, "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "MCPAUTH_KEYSTORE=file",
		"HTTPS_PROXY=http://bob:canary-password@" + ln.Addr().String()}
	for _, args := range [][]string{{"login"}, {"login", "--json"}, {"login", "--verbose"}, {"discover"}, {"discover", "--json"}} {
		code := v.run(append(args, "https://mcp.example.com/mcp")...)
		shown := v.stdout.String() + v.stderr.String()
		if code != exitNetwork || attack.Holds(shown, "canary-password") || attack.Holds(shown, "bob:canary-password") || !strings.Contains(shown, "no [redacted]") {
			t.Errorf("%q: exit %d: %s", args, code, shown)
		}
	}
}

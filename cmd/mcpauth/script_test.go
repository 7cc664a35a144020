package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mcpauth/internal/demo"
)

// In the stories, every mcpauth and every browser is a separate process.
func TestMain(m *testing.M) { testscript.Main(withOwnCache{m}, programs) }

// withOwnCache runs the tests with a temporary cache folder. Browsers that run in the test process store their cookies there.
type withOwnCache struct{ m *testing.M }

func (w withOwnCache) Run() int {
	dir, err := os.MkdirTemp("", "mcpauth-test-cache")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if own, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		os.Setenv("GOCACHE", filepath.Join(own, "go-build")) // without GOCACHE, a test that builds the program would use the temporary cache folder and compile the standard library again
	}
	os.Setenv("XDG_CACHE_HOME", dir)
	os.Unsetenv("PSModulePath") // shellWord quotes for PowerShell too if PowerShell runs the tests
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP, syscall.SIGQUIT} {
		if signal.Ignored(s) { // nohup or a background job makes a process ignore these signals; child processes would inherit that
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	return w.m.Run()
}

// programs are the main functions that the test binary runs if it is called by these names.
var programs = map[string]func(){"mcpauth": recordedMain, "browser": browserMain, "visitor": visitorMain}

// TestStories runs testdata/*.txtar. Each story has its own demo server. $SERVER is its address and $ISSUER its authorization server.
// $FREE_PORT is an unused port.
//
//	exits CODE PROGRAM…   runs a program, which must exit with CODE; stdout and stderr then match its output
//	server WORDS          changes the demo server; see demo.Server.Set
//	serve NAME [WORDS]    starts another server: $NAME is its address, ${NAME}_ISSUER its authorization server; era=, paths= and separate are options;
//	                      with provider it is an identity provider that the first server trusts; with mtls, which requires client
//	                      certificates, ${NAME}_CA is the file with its certificate authority
//	requests KIND N       fails unless the server counted N requests; see demo.Server.Count
//	await KIND N          waits until the server counted N requests
//	stored N              fails unless N logins are stored
//	keypair ID FILE       writes a new private key to FILE as PEM, and registers the client ID, which authenticates with it, at the demo server
//	certificate ID FILE [LIFETIME]  writes a new certificate and its key to FILE, and registers the client ID, which authenticates with it
//	fetch PATH FILE       writes the answer of the demo server's control endpoint to FILE; see package demo
func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, stories("testdata"))
}

func stories(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir, RequireExplicitExec: true, UpdateScripts: os.Getenv("UPDATE") != "", Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "server": startServer, "serve": serve, "requests": requests, "await": await, "stored": storedCredentials, "fetch": fetch, "keypair": keypair,
			"certificate": certificate,
		},
	}
}

// demosKey is the key of a story's demo servers in Env.Values.
type demosKey struct{}

var portsTried atomic.Int32

// freePort returns an unused port below those that systems give to programs that ask for any port, so that no other test gets it.
func freePort() (port string, err error) {
	for range 100 {
		port = strconv.Itoa(20_000 + os.Getpid()%50*200 + int(portsTried.Add(1)%200))
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", err
}

func setup(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, "home")
	port, err := freePort()
	if err != nil {
		return err
	}
	for _, v := range []struct{ name, value string }{
		{"HOME", home}, {"XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run")}, {"MCPAUTH_KEYSTORE", "file"}, {"BROWSER", "browser"},
		{"NO_PROXY", "127.0.0.1,localhost"}, {"FREE_PORT", port}, {"GORACE", os.Getenv("GORACE")},
	} {
		e.Setenv(v.name, v.value)
	}
	e.Values[demosKey{}] = map[string]*demo.Server{}
	if err := watchStory(e); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	return start(e.Values, e.Setenv, e.Defer, "SERVER", demo.Options{}, demo.Start)
}

// start starts a demo server and sets the story's variables to its addresses.
func start(values map[any]any, setenv func(string, string), later func(func()), name string, o demo.Options, begin func(demo.Options) (*demo.Server, error)) error {
	s, err := begin(o)
	if err != nil {
		return err
	}
	later(s.Close)
	values[demosKey{}].(map[string]*demo.Server)[name] = s
	setenv(name, s.URL())
	setenv(name+"_ORIGIN", s.Origin())
	setenv(strings.TrimPrefix(name+"_ISSUER", "SERVER_"), s.Issuer())
	return nil
}

// demoServer returns a server of the story. If the first argument is @NAME, demoServer returns the server NAME and the other arguments.
// Otherwise it returns the first server.
func demoServer(ts *testscript.TestScript, args []string) (*demo.Server, []string) {
	all := ts.Value(demosKey{}).(map[string]*demo.Server)
	if len(args) > 0 {
		if name, ok := strings.CutPrefix(args[0], "@"); ok {
			if all[name] == nil {
				ts.Fatalf("no server %s", name)
			}
			return all[name], args[1:]
		}
	}
	return all["SERVER"], args
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func startServer(ts *testscript.TestScript, neg bool, args []string) {
	s, words := demoServer(ts, args)
	if neg || len(words) == 0 {
		ts.Fatalf("usage: server [@NAME] WORDS")
	}
	ts.Check(s.Set(strings.Join(words, " ")))
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME [era=ERA] [paths=/a,/b] [separate] [provider] [mtls] [SETTINGS]")
	}
	var o demo.Options
	var rest []string
	begin := demo.Start
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "era":
			o.Era = value
		case "paths":
			o.Paths = strings.Split(value, ",")
		case "separate":
			o.SeparateIssuer = true
		case "mtls":
			o.MutualTLS = true
		case "provider":
			begin = func(o demo.Options) (*demo.Server, error) {
				first, _ := demoServer(ts, nil)
				return demo.StartProvider(first, o)
			}
		default:
			rest = append(rest, a)
		}
	}
	values := map[any]any{demosKey{}: ts.Value(demosKey{})}
	ts.Check(start(values, ts.Setenv, ts.Defer, args[0], o, begin))
	if s, _ := demoServer(ts, []string{"@" + args[0]}); o.MutualTLS {
		file := ts.MkAbs(args[0] + "-ca.pem")
		ts.Check(os.WriteFile(file, s.CertificatePEM(), 0o600))
		ts.Setenv(args[0]+"_CA", file)
	}
	for _, words := range rest {
		startServer(ts, false, []string{"@" + args[0], words})
	}
}

func requests(ts *testscript.TestScript, neg bool, args []string) {
	s, args := demoServer(ts, args)
	kind, want := counted(ts, args)
	if got := s.Count(kind); (got == want) == neg {
		ts.Fatalf("%s: %d, want %d (not: %v); all: %v", kind, got, want, neg, s.Counts())
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	s, args := demoServer(ts, args)
	kind, want := counted(ts, args)
	res, err := http.Get(s.Control() + "/wait?timeout=20s&n=" + strconv.Itoa(want) + "&kind=" + url.QueryEscape(kind))
	ts.Check(err)
	res.Body.Close()
	if neg || res.StatusCode != http.StatusOK {
		ts.Fatalf("%s did not reach %d: %v", kind, want, s.Counts())
	}
}

func counted(ts *testscript.TestScript, args []string) (string, int) {
	if len(args) != 2 {
		ts.Fatalf("usage: KIND N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	return args[0], n
}

// fetch requests a document, such as an assertion, from the control endpoint.
func fetch(ts *testscript.TestScript, _ bool, args []string) {
	s, args := demoServer(ts, args)
	if len(args) != 2 {
		ts.Fatalf("usage: fetch [@NAME] PATH FILE")
	}
	res, err := http.Get(s.Control() + args[0])
	ts.Check(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", args[0], res.Status)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// keypair creates a client that authenticates with private_key_jwt.
func keypair(ts *testscript.TestScript, neg bool, args []string) {
	s, args := demoServer(ts, args)
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keypair [@NAME] ID FILE")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	ts.Check(err)
	text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	ts.Check(err)
	s.AddClient(demo.Client{ID: args[0], Method: "private_key_jwt", Key: text})
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// certificate creates a client that authenticates with tls_client_auth.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	s, args := demoServer(ts, args)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: certificate [@NAME] ID FILE [LIFETIME]")
	}
	lifetime := time.Hour
	if len(args) > 2 {
		var err error
		lifetime, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	data, err := s.ClientCertificate(args[0], lifetime)
	ts.Check(err)
	s.AddClient(demo.Client{ID: args[0], Method: "tls_client_auth", SubjectDN: "CN=" + args[0]})
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// storedCredentials counts the stored logins.
func storedCredentials(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("mcpauth", "status", "--json"))
	got := strings.Count(ts.ReadFile("stdout"), `"generation"`)
	if want, err := strconv.Atoi(args[0]); err != nil || (got == want) == neg {
		ts.Fatalf("%d credentials are stored, want %s", got, args[0])
	}
}

// browserMain is a browser for the demo server, which approves at once. It follows the redirects to the callback and stores its cookies for
// the next login of the story. With --foreign it first sends the response of another login to the callback, as an attacker's page could,
// and fails if the callback accepts it. With --print it prints the callback URL and does not open it. $BROWSER_CA is a file with
// certificate authorities to trust.
func browserMain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	recordChild()
	if pem, err := os.ReadFile(os.Getenv("BROWSER_CA")); err == nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	address := os.Args[len(os.Args)-1]
	file, _ := demo.BrowserFile() // without a home folder the cookies are lost
	b := &demo.Browser{File: file}
	if len(os.Args) > 2 && os.Args[1] == "--print" {
		location, err := b.Redirect(ctx, address)
		if err != nil {
			fmt.Fprintln(os.Stderr, "browser:", err)
			os.Exit(1)
		}
		fmt.Println(location)
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "--foreign" {
		if err := foreign(ctx, address); err != nil {
			fmt.Fprintln(os.Stderr, "browser:", err)
			os.Exit(1)
		}
	}
	status, err := b.Open(ctx, address)
	if err != nil || status >= 400 {
		fmt.Fprintln(os.Stderr, "browser:", status, err)
		os.Exit(1)
	}
}

// foreign sends to the callback a response with the code and state of another login, and one without parameters.
func foreign(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	for _, query := range []string{"?code=stolen&state=not-yours", "?code=stolen", "?error=access_denied&state=x"} {
		status, err := get(ctx, u.Query().Get("redirect_uri")+query)
		if err != nil {
			return err
		}
		if status < 400 || status > 499 {
			return fmt.Errorf("the callback took %s: %d", query, status)
		}
	}
	return nil
}

func get(ctx context.Context, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

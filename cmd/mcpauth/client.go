package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/mcpclient"
)

// loginClient returns the client that logs in and renews tokens. The first call opens the credential store.
func (p *program) loginClient() (*flow.Client, error) {
	if c := p.flowClient.Load(); c != nil {
		return c, nil
	}
	store, err := p.selectedStore()
	if err != nil {
		return nil, err
	}
	hc, err := p.httpClient()
	if err != nil {
		return nil, err
	}
	c := &flow.Client{Store: store, HTTP: hc, Report: loginDialogue{program: p}.printEvent, Version: p.version, Guard: p.checkApproved,
		Environ: func() []string { return p.childEnvironment(os.Environ(), nil) }}
	p.flowClient.Store(c)
	p.out.logins.Store(c)
	return c, nil
}

// httpClient returns the HTTP client that all requests of this run share.
func (p *program) httpClient() (*http.Client, error) {
	if p.sharedHTTP != nil {
		return p.sharedHTTP, nil
	}
	o := httpx.Options{CAFile: p.global.caFile, UserAgent: "mcpauth/" + p.version}
	if p.out.verbose && !p.out.quiet {
		o.Trace = stderrWriter{p.out}
	}
	if cache, _, err := p.cacheDirs(); err == nil {
		o.RootMemory = filepath.Join(cache, "roots")
	}
	hc, err := httpx.New(o)
	if err != nil {
		return nil, &configError{message: "--cacert: " + err.Error()}
	}
	hc.Transport = recordingTransport{hc.Transport, p}
	p.sharedHTTP = hc
	return hc, nil
}

// recordingTransport is a RoundTripper that records that a request was sent. No request is sent if the proxy of the environment is unusable.
type recordingTransport struct {
	http.RoundTripper
	p *program
}

func (n recordingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := httpx.ProxyFor(r); err != nil {
		return nil, err
	}
	n.p.requestSent.Store(true)
	return n.RoundTripper.RoundTrip(r)
}

func keystoreKinds() []string {
	return []string{keystore.Auto, keystore.Keychain, keystore.File, keystore.Postgres}
}

// selectedStore opens the credential store that --keystore or MCPAUTH_KEYSTORE selects. selectedStore does not read or write credentials.
func (p *program) selectedStore() (*keystore.Store, error) {
	kind := p.global.keystore
	if kind == "" {
		kind = p.getenv("MCPAUTH_KEYSTORE")
		if err := oneOf("MCPAUTH_KEYSTORE", kind, keystoreKinds()...); err != nil {
			return nil, &configError{message: err.Error()}
		}
	}
	return p.openStore(kind)
}

func (p *program) openStore(kind string) (*keystore.Store, error) {
	state, err := p.stateDir()
	if err != nil {
		return nil, err
	}
	dir, err := p.dataDir()
	if err != nil {
		return nil, err
	}
	keyFile := p.getenv("MCPAUTH_KEYSTORE_KEY_FILE")
	if keyFile != "" {
		if keyFile, err = filepath.Abs(keyFile); err == nil {
			err = checkLinks(keyFile, "MCPAUTH_KEYSTORE_KEY_FILE to a path")
		}
		if err != nil {
			return nil, err
		}
	}
	o := keystore.Options{Backend: kind, StateDir: state, Dir: dir, KeyFile: keyFile,
		Timeout: keychainLimit(p.out.errTerminal || callback.CanOpen(), p.getenv("CI")), Notice: func(s string) { p.out.printNote("%s", s) }}
	if kind == keystore.Postgres {
		home, name := p.homeFolder() // the driver reads .pgpass and .postgresql there
		if home == "" && p.getenv(name) != "" {
			return nil, &configError{message: name + " is a relative path, and the database driver would read files there", hint: "set " + name + " to an absolute path"}
		}
		if _, err := checkFolderOwner(home, name); err != nil {
			return nil, err
		}
		if keyFile == "" {
			return nil, &configError{message: "the postgres store needs MCPAUTH_KEYSTORE_KEY_FILE, an age identity file to which the records are encrypted",
				hint: "create one and copy it to every machine: age-keygen -o FILE"}
		}
		o.URL = p.getenv("MCPAUTH_KEYSTORE_URL") // may contain a password
		p.hideSecrets(o.URL, p.getenv("PGPASSWORD"), p.getenv("PGSSLPASSWORD"))
	}
	return keystore.Open(o)
}

// keychainLimit returns the time limit of a keychain operation: -1 (no limit) if the user may have to answer an unlock dialog.
func keychainLimit(terminalOrDesktop bool, ci string) time.Duration {
	if terminalOrDesktop && (ci == "" || ci == "false") {
		return -1
	}
	return 0 // the keystore's default
}

// chooseBrowser chooses the program that opens the authorization URL: a command, or "" for the default browser of the system. ok is false
// if no browser may be opened or the system has no browser. The flag has precedence over the variable BROWSER, and BROWSER has precedence
// over CI.
func chooseBrowser(flag string, never bool, getenv func(string) string, canOpen func() bool) (command string, ok bool) {
	command = flag
	if command == "" {
		command = getenv("BROWSER")
	}
	ci := getenv("CI")
	switch {
	case never || command == "none":
		return "", false
	case command == "":
		return "", (ci == "" || ci == "false") && canOpen()
	}
	return command, true
}

// chooseBrowser chooses no browser if root runs mcpauth with another user's home folder, because files in this folder choose the program that
// xdg-open starts.
func (p *program) chooseBrowser(flag string, never bool) (command string, ok bool) {
	home, _ := p.homeFolder()
	return chooseBrowser(flag, never || config.NotRoots(home) != "", p.getenv, callback.CanOpen)
}

// loginDialogue describes how a login communicates with the user.
type loginDialogue struct {
	*program
	browserless bool // no browser is opened, so the user must open the URL
	pasting     bool // the user may paste the callback URL on standard input
	deviceLine  bool // a device code is also printed on stdout as a line of JSON
}

// setDialogue sets how a login of the client c communicates with the user. If ok is true, the login opens its URL with command.
func (p *program) setDialogue(c *flow.Client, d loginDialogue, command string, ok bool) {
	d.program, d.browserless = p, !ok
	c.Report, c.Open = d.printEvent, nil
	if ok {
		c.Open = func(ctx context.Context, address string) error {
			return callback.Open(ctx, command, address, p.childEnvironment(os.Environ(), nil)...)
		}
	}
}

// printEvent prints an event of a login. The authorization URL stands alone on its line, so that users can copy it. If no browser opens,
// the URL is printed even with --quiet.
func (p loginDialogue) printEvent(e flow.Event) {
	switch e.Kind {
	case flow.EventAuthorize:
		p.out.printNote("open this address in a browser to log in:")
		if p.browserless || !p.out.quiet {
			p.out.printLine(foldLine(e.URL))
		}
		if p.pasting {
			p.out.printNote("if the last page does not load, paste its address here")
		}
		if e.Port != 0 && (p.browserless || p.getenv("SSH_CONNECTION") != "") {
			p.out.printNote("hint: the browser must reach port %d of this machine; if it runs on another machine: %s", e.Port, forwardCommand(e.Port, p.getenv))
		}
	case flow.EventDevice:
		// The device code is printed even with --quiet. The message names the issuer, because the code does not show which server issued
		// the code.
		p.out.printLine("to log in at " + foldLine(e.Issuer) + ", open this address on any device and enter the code " + foldLine(e.Code) + ":")
		p.out.printLine(foldLine(e.URL))
		for _, address := range []string{e.URL, e.Typed} { // a program that reads stdout may show either address
			if !sameOrigin(address, e.Issuer) {
				p.out.printLine(paint(p.out.errColour, yellow, "warning:") + " " + foldLine(address) + " is not on " + foldLine(e.Issuer) + "; enter the code only if you know the page")
				break
			}
		}
		if p.deviceLine {
			_ = p.out.writeUnmasked(deviceCode{e.Typed, e.URL, e.Code, e.Expires.UTC().Truncate(time.Second)}, "") // a write error is ignored, because stderr has the code too
		}
	case flow.EventWarning:
		p.out.printWarning("%s", e.Message)
	default:
		p.out.printNote("%s", e.Message)
	}
}

func sameOrigin(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && httpx.SameOrigin(u, v)
}

// forwardCommand returns an ssh command that forwards the callback port to this machine. The user runs the command on the machine that has
// the browser. If the user logged in to this machine with ssh, the command contains the host and port of that connection.
func forwardCommand(port int, getenv func(string) string) string {
	user, host, sshd := getenv("USER"), "", ""
	if c := strings.Fields(getenv("SSH_CONNECTION")); len(c) == 4 { // client address and port, server address and port
		host, sshd = c[2], c[3]
	}
	if host == "" {
		host, _ = os.Hostname()
	}
	target := shellWord(cmp.Or(user, "user") + "@" + cmp.Or(host, "this-host"))
	if sshd != "" && sshd != "22" {
		target = "-p " + shellWord(sshd) + " " + target
	}
	return fmt.Sprintf("ssh -N -L %d:127.0.0.1:%d %s", port, port, target)
}

// deviceCode is the first line that login --json prints if the login uses a device code. RFC 8628 §3.2 defines the names of the members.
type deviceCode struct {
	Address  string    `json:"verification_uri"`
	Complete string    `json:"verification_uri_complete"` // same as verification_uri if the server gave none
	Code     string    `json:"user_code"`
	Expires  time.Time `json:"expires_at"`
}

// mcpClient returns the client for calls to one server. If the server redirected the login to another URL, the client uses that URL.
// authorize may be nil, for example if the header of t contains a token.
func (p *program) mcpClient(ctx context.Context, t flow.Target, authorize *flow.Handler) (*mcpclient.Client, error) {
	hc, err := p.httpClient()
	if err != nil {
		return nil, err
	}
	c, stored := p.flowClient.Load(), flow.Status{}
	if c == nil { // a static token needs no store
		c = &flow.Client{HTTP: hc}
	} else if st, err := c.Status(ctx, t); err == nil { // an error of the store is reported later, when the token is needed
		stored = st
	}
	if hc, err = c.ServerHTTP(t, stored); err != nil {
		return nil, err
	}
	if stored.AssertionVariable != "" {
		p.hideSecrets(p.getenv(stored.AssertionVariable))
	}
	c.LoginSecrets(t).AddShown(p.userLine.words...)
	m := &mcpclient.Client{URL: cmp.Or(stored.Moved, t.URL), Header: t.Header, HTTP: hc, Version: p.version, CacheURL: t.URL, CacheKey: t.Profile,
		Secrets: c.LoginSecrets(t), Trace: mcpclient.TraceFrom(p.getenv), Warn: func(s string) { p.out.printWarning("%s", s) }}
	if t.CertFile != "" {
		m.Certificate = realPath(t.CertFile)
	}
	if authorize != nil {
		m.URL, m.Auth = authorize.Endpoint(ctx), authorize
	}
	m.CacheDir, m.TaskDir, _ = p.cacheDirs()
	if p.out.errTerminal || p.out.verbose {
		m.Progress = func(g mcpclient.Progress) { p.out.showProgress(g.Progress, g.Total, g.Message) }
	}
	if p.out.verbose {
		m.Log = func(level, logger, text string) { p.out.printNotification("log: %s %s: %s", level, logger, text) }
	}
	return m, nil
}

// withServer calls work with a client for one server. The client uses the token in MCPAUTH_ACCESS_TOKEN, or else the stored login.
func (p *program) withServer(ctx context.Context, word string, o flow.HandlerOptions, work func(*mcpclient.Client, server) error) error {
	s, m, err := p.clientFor(ctx, word, o)
	if err != nil {
		return err
	}
	defer m.Close()
	if err = work(m, s); err == nil {
		err = p.out.closeStdout() // stdout is closed before m.Close sends the requests that end the session
	}
	return errorAt(s, err)
}

// clientFor returns a client for one server. The client uses the token in MCPAUTH_ACCESS_TOKEN, or else the stored login.
func (p *program) clientFor(ctx context.Context, word string, o flow.HandlerOptions) (server, *mcpclient.Client, error) {
	if p.getenv(accessTokenVariable) == "" {
		return p.clientForLogin(ctx, word, o)
	}
	t, err := p.staticTarget(word)
	s := server{word: word, staticToken: true, target: t}
	if err != nil {
		return s, nil, errorAt(s, err)
	}
	m, err := p.mcpClient(ctx, t, nil)
	return s, m, errorAt(s, err)
}

// clientForLogin returns a client that uses the stored login of a server.
func (p *program) clientForLogin(ctx context.Context, word string, o flow.HandlerOptions) (server, *mcpclient.Client, error) {
	s, err := p.resolveServer(ctx, word, needAll)
	if err != nil {
		return s, nil, err
	}
	c, err := p.loginClient()
	if err != nil {
		return s, nil, errorAt(s, err)
	}
	command, ok := p.chooseBrowser("", false)
	ok = ok && !s.noLogin && s.noToken == nil
	p.setDialogue(c, loginDialogue{}, command, ok)
	o.Reauth, err = p.reauthMode(o.Reauth, ok)
	if err != nil {
		return s, nil, errorAt(s, err)
	}
	o.LoginTimeout = p.timeLimit("") * 9 / 10 // the wait for the browser times out first, so that the error says that the browser sent no answer
	m, err := p.mcpClient(ctx, s.target, c.Handler(s.target, o))
	return s, m, errorAt(s, err)
}

// reauthMode returns the value of --reauth or MCPAUTH_REAUTH. The default is browser. If no browser may be opened, reauthMode returns
// refresh instead of browser.
func (p *program) reauthMode(flag flow.Reauth, browser bool) (flow.Reauth, error) {
	allowed := []flow.Reauth{flow.ReauthBrowser, flow.ReauthRefresh, flow.ReauthNever}
	if err := oneOf("--reauth", flag, allowed...); err != nil {
		return "", err
	}
	if flag == "" {
		flag = flow.Reauth(p.getenv("MCPAUTH_REAUTH"))
		if err := oneOf("MCPAUTH_REAUTH", flag, allowed...); err != nil {
			return "", &configError{message: err.Error()}
		}
	}
	if flag == "" {
		flag = flow.ReauthBrowser
	}
	if flag == flow.ReauthBrowser && !browser {
		flag = flow.ReauthRefresh
	}
	return flag, nil
}

// stderrWriter writes the output of --verbose to stderr. Each call of Write gets whole lines.
type stderrWriter struct{ o *output }

func (l stderrWriter) Write(b []byte) (int, error) {
	if l.o.lasting.Load() {
		show, last := l.o.notified.add(len(b))
		if !show {
			return len(b), nil
		}
		if last {
			defer l.o.printDetail(furtherDetails)
		}
	}
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.o.clearBar()
	return l.o.stderr.Write(b)
}

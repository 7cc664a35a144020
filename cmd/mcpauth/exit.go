// This file is the table: what every error means for a script (exit code, error.code) and for a person (what to type next). It is the
// only place with exit numbers, and the only one that gives advice; exit_test.go fails when an exported error is missing here.

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"runtime"
	"strings"
	"syscall"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/pkg/callback"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/mcpclient"
	"mcpauth/pkg/token"
)

// The exit codes of CLI.md.
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2
	exitTool        = 3
	exitAuth        = 4
	exitNetwork     = 5
	exitKeystore    = 6
	exitSecurity    = 7
	exitInterrupted = 130
)

// rule is one row: the first that matches decides.
type rule struct {
	match func(error) bool
	exit  int
	code  string
	hint  func(advice) string // nil: nothing to advise
}

// advice is what a hint may be made of.
type advice struct {
	server string // the SERVER as the user typed it, quoted for a shell
	static bool   // MCPAUTH_ACCESS_TOKEN is in use
	err    error
}

func table() []rule {
	return []rule{
		// What the user typed. First, because a usage error may carry the reason of another package.
		{as[*usageError], exitUsage, "usage", usageHint},
		{as[*configError], exitUsage, "config", usageHint},
		{as[*config.Error], exitUsage, "config", nil},
		{is(config.ErrUnknown), exitUsage, "usage", nil},
		{is(flow.ErrOptions), exitUsage, "usage", say("mcpauth login --help")},
		{is(callback.ErrBareCode), exitUsage, "usage", nil},
		{as[*mcpclient.ArgumentError], exitUsage, "usage", argumentHint},
		{as[*mcpclient.LineError], exitUsage, "usage", nil},

		// What the tool said.
		{as[*toolError], exitTool, "tool_error", nil},
		{as[*mcpclient.RPCError], exitTool, "rpc_error", nil},
		{as[*batchError], exitTool, "tool_error", nil},

		// What was refused for security.
		{is(discovery.ErrPKCE), exitSecurity, "security", say("if you trust this server all the same: mcpauth login SERVER --assume-pkce-s256")},
		{is(discovery.ErrNotNamed), exitSecurity, "security", say("mcpauth discover SERVER shows which one there is; if you know that it changed: mcpauth login SERVER --accept-new-issuer")},
		{is(discovery.ErrIssuer, discovery.ErrResource, callback.ErrIssuer, callback.ErrState, token.ErrDowngrade), exitSecurity, "security", nil},
		{is(flow.ErrIssuerChanged), exitSecurity, "security", say("if you know that the server moved: mcpauth login SERVER --accept-new-issuer")},
		{is(flow.ErrAudience), exitSecurity, "security", nil},
		{as[*httpx.AddressError], exitSecurity, "security", nil},

		// What discover found out: a login that could not be authorized is a failed discovery there, with the same advice.
		{both(as[*unworkableError], is(dcr.ErrNoClient, flow.ErrUnsupported)), exitNetwork, "discovery", innerHint},

		// The credential store.
		{is(keystore.ErrLocked), exitKeystore, "keystore", func(advice) string { return unlockHint(runtime.GOOS) }},
		{is(keystore.ErrDenied), exitKeystore, "keystore", say("allow mcpauth to use the keychain, or keep credentials in files: --keystore file")},
		{is(keystore.ErrTimeout, keystore.ErrUnavailable), exitKeystore, "keystore", say("where no keychain can be had, keep credentials in files: --keystore file")},
		{is(keystore.ErrElsewhere), exitKeystore, "keystore", say("use the store that has the login: --keystore auto; or log out of it there: mcpauth logout SERVER --keystore auto")},
		{is(keystore.ErrBusy), exitKeystore, "keystore", say("another mcpauth is at work on this login: try again when it is done")},
		{is(keystore.ErrNewer), exitKeystore, "keystore", say("a newer mcpauth wrote it: use that one")},
		{is(keystore.ErrCorrupt, flow.ErrCredential), exitKeystore, "keystore", say("begin anew: mcpauth logout SERVER && mcpauth login SERVER")},
		{is(keystore.ErrUnwritable, keystore.ErrInsecure), exitKeystore, "keystore", say("the folders are chosen by MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR")},

		// Authorization.
		{as[*flow.ScopeError], exitAuth, "insufficient_scope", scopeHint},
		{is(flow.ErrTokenRefused), exitAuth, "auth_failed", say("mcpauth discover SERVER shows what is wrong; if nothing is, ask those who run the server")},
		{is(flow.ErrForbidden), exitAuth, "access_denied", say("this account may not do it; another one: mcpauth login SERVER --name OTHER")},
		{is(flow.ErrMaybeSpent, flow.ErrGrantRejected), exitAuth, "invalid_grant", say("mcpauth login SERVER")},
		{is(flow.ErrClientRejected), exitAuth, "auth_failed", say("register again: mcpauth login SERVER --new-client; a client of your own: check --client-id and its secret")},
		{is(flow.ErrNoAnswer), exitAuth, "auth_failed", say("mcpauth login SERVER --timeout 10m; after an error page in the browser: mcpauth login SERVER --new-client")},
		{is(callback.ErrNoBrowser), exitAuth, "login_required", loginHint},
		{is(flow.ErrNoPending), exitAuth, "login_required", say("mcpauth login SERVER --print-url")},
		{is(flow.ErrUnsupported), exitAuth, "auth_failed", nil},
		{is(flow.ErrBoundToken), exitAuth, "auth_failed", say("mcpauth call SERVER … uses it; a bearer token instead: mcpauth login SERVER --dpop never")},
		{is(dcr.ErrStray), exitNetwork, "protocol", nil},
		{is(dcr.ErrNoClient), exitAuth, "auth_failed", clientHint},
		{both(as[*dcr.Error], serverFailed), exitNetwork, "server", nil},
		{both(as[*dcr.Error], status(403)), exitAuth, "auth_failed", allowedHint},
		{as[*dcr.Error], exitAuth, "auth_failed", clientHint},
		{both(as[*callback.AuthorizationError], oauthCode("access_denied")), exitAuth, "access_denied", say("mcpauth login SERVER")},
		{both(as[*callback.AuthorizationError], oauthCode("server_error", "temporarily_unavailable")), exitNetwork, "server", nil},
		{as[*callback.AuthorizationError], exitAuth, "auth_failed", oauthHint},
		{both(as[*token.Error], oauthCode("invalid_grant")), exitAuth, "invalid_grant", say("mcpauth login SERVER")},
		{both(as[*token.Error], oauthCode("access_denied")), exitAuth, "access_denied", say("mcpauth login SERVER")},
		{both(as[*token.Error], serverFailed), exitNetwork, "server", nil},
		{as[*token.Error], exitAuth, "auth_failed", oauthHint},
		{both(as[*mcpclient.StatusError], status(401)), exitAuth, "login_required", loginHint},
		{both(as[*mcpclient.StatusError], status(403)), exitAuth, "access_denied", nil},
		{is(flow.ErrLoginRequired, flow.ErrNoRefreshToken, keystore.ErrNotFound), exitAuth, "login_required", loginHint},

		// Network and servers.
		{is(context.DeadlineExceeded), exitNetwork, "timeout", say("allow more time: --timeout 5m")},
		{timedOut, exitNetwork, "timeout", nil},
		{both(as[*mcpclient.StatusError], serverFailed), exitNetwork, "server", nil},
		{as[*mcpclient.StatusError], exitNetwork, "protocol", nil},
		{is(token.ErrMalformed, callback.ErrMalformed, httpx.ErrTooLarge), exitNetwork, "protocol", nil},
		{as[*protocolError], exitNetwork, "protocol", say("--output json prints the whole answer")},
		{as[*tls.CertificateVerificationError], exitNetwork, "network", say("certificates of your own authority: --cacert FILE")},
		{unreachable, exitNetwork, "network", nil},
		{as[*discovery.Error], exitNetwork, "discovery", nil},
		{is(callback.ErrPortInUse), exitUsage, "usage", say("another port: --callback-port N")},

		{as[*keystore.Error], exitKeystore, "keystore", nil},

		// Files that flags and configuration name.
		{as[*fs.PathError], exitUsage, "config", nil},
		{as[*flow.StageError], exitNetwork, "protocol", nil},
	}
}

// explain finds the row of an error.
func explain(err error) rule {
	for _, r := range table() {
		if r.match(err) {
			return r
		}
	}
	return rule{exit: exitInternal, code: "internal", hint: say("this is a bug of mcpauth; --verbose shows what happened")}
}

// fail reports an error and returns the exit code; nil is none.
func (p *program) fail(ctx context.Context, err error) int {
	var printed *printedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &printed):
		return printed.code
	case errors.Is(ctx.Err(), context.Canceled):
		p.out.failure("interrupted", "interrupted", "", exitInterrupted)
		return exitInterrupted
	}
	r := explain(err)
	p.out.failure(r.code, err.Error(), p.hint(r, err), r.exit)
	return r.exit
}

// hint is what a row advises for an error.
func (p *program) hint(r rule, err error) string {
	if r.hint == nil {
		return ""
	}
	return r.hint(advice{server: p.hintWord(), static: p.static, err: err})
}

// hintWord is the SERVER that hints name.
func (p *program) hintWord() string {
	if p.word == "" {
		return "SERVER"
	}
	return shellWord(p.word)
}

// failure writes an error: a line and its hint, or one line of JSON.
func (o *output) failure(code, message, hint string, exit int) {
	message, hint = harmless(message), harmless(hint)
	if !o.json {
		o.say(paint(o.errColour, red, "mcpauth:") + " " + message)
		if hint != "" {
			o.say(paint(o.errColour, bold, "hint:") + " " + hint)
		}
		return
	}
	o.say(`{"error":` + string(errorJSON(code, message, hint, exit)) + `}`)
}

// errorJSON is an error as scripts get it.
func errorJSON(code, message, hint string, exit int) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		Hint     string `json:"hint"`
		ExitCode int    `json:"exit_code"`
	}{code, harmless(message), harmless(hint), exit})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// is matches any of these sentinels.
func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

// as matches an error type.
func as[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func both(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) && b(err) }
}

// oauthCode matches the OAuth errors of these codes, from the token endpoint or the browser.
func oauthCode(codes ...string) func(error) bool {
	return func(err error) bool {
		var t *token.Error
		var a *callback.AuthorizationError
		got := ""
		switch {
		case errors.As(err, &t):
			got = t.Code
		case errors.As(err, &a):
			got = a.Code
		}
		for _, c := range codes {
			if got == c {
				return true
			}
		}
		return false
	}
}

// httpStatus is the status of the answer that an error tells of, 0 if none.
func httpStatus(err error) int {
	var t *token.Error
	var d *dcr.Error
	var m *mcpclient.StatusError
	switch {
	case errors.As(err, &t):
		return t.StatusCode
	case errors.As(err, &d):
		return d.StatusCode
	case errors.As(err, &m):
		return m.StatusCode
	}
	return 0
}

func status(code int) func(error) bool {
	return func(err error) bool { return httpStatus(err) == code }
}

// serverFailed matches the answers that say nothing about the request: 5xx and too many requests.
func serverFailed(err error) bool {
	return httpStatus(err) >= 500 || httpStatus(err) == 429 || oauthCode("server_error", "temporarily_unavailable")(err)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// unreachable matches the failures of the network itself.
func unreachable(err error) bool {
	return as[*net.OpError](err) || as[*net.DNSError](err) || as[*url.Error](err) || as[tls.RecordHeaderError](err) ||
		is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, net.ErrClosed)(err)
}

// say is a hint in which SERVER stands for the user's own word.
func say(hint string) func(advice) string {
	return func(a advice) string { return strings.ReplaceAll(hint, "SERVER", a.server) }
}

func loginHint(a advice) string {
	if a.static {
		return "the server rejects the token in " + accessTokenVariable + ": put a fresh one there"
	}
	return "mcpauth login " + a.server
}

func usageHint(a advice) string {
	var u *usageError
	var c *configError
	switch {
	case errors.As(a.err, &u):
		return u.hint
	case errors.As(a.err, &c):
		return c.hint
	}
	return ""
}

func argumentHint(a advice) string {
	var e *mcpclient.ArgumentError
	switch {
	case !errors.As(a.err, &e):
		return ""
	case e.Nearest != "":
		return "did you mean " + quote(e.Nearest) + "?"
	case e.Argument == "":
		return "mcpauth tools " + a.server + " lists the tools"
	}
	return fmt.Sprintf("mcpauth tools %s %s lists its arguments", a.server, shellWord(harmless(e.Tool)))
}

func scopeHint(a advice) string {
	var e *flow.ScopeError
	if !errors.As(a.err, &e) {
		return ""
	}
	if e.Granted {
		return "the server granted it and still refuses: ask those who run it"
	}
	return fmt.Sprintf("mcpauth login %s --scope %s", a.server, shellWord(harmless(strings.Join(e.Scopes, " "))))
}

// innerHint is what login would advise.
func innerHint(a advice) string {
	var e *unworkableError
	if !errors.As(a.err, &e) {
		return ""
	}
	a.err = e.err
	if r := explain(e.err); r.hint != nil {
		return r.hint(a)
	}
	return ""
}

func clientHint(a advice) string {
	return say("register a client with the server's operator, then: mcpauth login SERVER --client-id ID (with --client-secret-env VAR where it has a secret), " +
		"or --client-metadata-url URL")(a)
}

// allowedHint is for servers that register only clients they have on a list (Figma): nothing is wrong with the user's command.
func allowedHint(a advice) string {
	return "the server registers only clients it knows, and mcpauth is none of them: " + clientHint(a) +
		say("; mcpauth login SERVER --client-name NAME where the operator has put a name on the list for you")(a)
}

// oauthHint knows the flag for the OAuth errors that a flag can cure.
func oauthHint(a advice) string {
	switch {
	case oauthCode("invalid_target")(a.err) || strings.Contains(a.err.Error(), "AADSTS9010"): // AADSTS901002, AADSTS9010010
		return say("the server refuses the resource parameter: mcpauth login SERVER --no-resource, or --resource URI")(a)
	case oauthCode("invalid_scope")(a.err):
		return say("choose scopes the server knows: mcpauth login SERVER --scope S")(a)
	case oauthCode("invalid_client", "unauthorized_client")(a.err):
		return say("mcpauth login SERVER --new-client; a client of your own: check --client-id and its secret")(a)
	}
	return ""
}

// unlockHint is how a person opens the keychain of that system.
func unlockHint(goos string) string {
	switch goos {
	case "darwin":
		return "security unlock-keychain ~/Library/Keychains/login.keychain-db"
	case "windows":
		return "sign in to Windows once more, or keep credentials in files: --keystore file"
	}
	return "unlock the keyring (log in to the desktop, or gnome-keyring-daemon --unlock), or keep credentials in files: --keystore file"
}

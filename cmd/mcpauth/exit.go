package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

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

// The exit codes. docs/reference.md lists them.
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

// rule is one row of the table of errors. If several rows match an error, the first one applies.
type rule struct {
	match func(error) bool
	exit  int
	code  string
	hint  func(advice) string // nil if the message itself says what to do
}

// table maps every error to its exit code, its error.code and a hint. exit_test.go fails if an exported error is missing from the table.
func table() []rule {
	return []rule{
		// The row of *outputError must come before the row of *fs.PathError, because an *outputError may wrap an *fs.PathError.
		{as[*outputError], exitInternal, "output", text("check that stdout and the folder of --save-dir can be written, and that the disk is not full")},

		// Errors in the command line or the configuration.
		{as[*usageError], exitUsage, "usage", with(func(_ advice, e *usageError) string { return e.hint })},
		{as[*configError], exitUsage, "config", with(func(_ advice, e *configError) string { return e.hint })},
		{as[*config.Error], exitUsage, "config", with(fileHint)},
		{is(config.ErrUnknown), exitUsage, "usage", nil},
		{is(flow.ErrOptions), exitUsage, "usage", text("mcpauth login --help")},
		{is(flow.ErrCertificate), exitUsage, "config", text("give a valid certificate and its unencrypted key, both in PEM: --cert FILE --key FILE")},
		{is(callback.ErrBareCode), exitUsage, "usage", nil},
		{as[*mcpclient.LineError], exitUsage, "usage", nil},

		// Errors that the tool or the server reported, and arguments that the tool's schema does not allow.
		{as[*mcpclient.ArgumentError], exitTool, "rpc_error", with(argumentHint)},
		{both(as[*mcpclient.PendingError], is(context.DeadlineExceeded)), exitNetwork, "timeout", with(taskHint)},
		{as[*mcpclient.TaskError], exitTool, "rpc_error", with(noTaskHint)},
		{as[*mcpclient.UnknownError], exitTool, "rpc_error", with(unknownHint)},
		{as[*toolError], exitTool, "tool_error", nil},
		{as[*mcpclient.RPCError], exitTool, "rpc_error", nil},

		// Security checks that failed.
		{is(discovery.ErrPKCE), exitSecurity, "security", login("if you trust this server anyway: ", "--assume-pkce-s256")},
		{is(discovery.ErrNotNamed), exitSecurity, "security", namedHint},
		{is(callback.ErrState), exitSecurity, "security", login("start over: ", "--print-url")},
		{is(flow.ErrIssuerChanged), exitSecurity, "security", login("if you know that the server moved: ", "--accept-new-issuer")},
		{both(is(flow.ErrIdentityProvider), is(token.ErrAudience, token.ErrIDToken, discovery.ErrIssuer, callback.ErrIssuer)), exitSecurity, "security", text(administrator)},
		{is(token.ErrIDToken), exitSecurity, "security", text(administrator)},
		{is(flow.ErrAccount), exitSecurity, "security", login("log out in the browser, or choose the account there (if the server does not name it, --scope openid may help): ")},
		{is(token.ErrAudience), exitSecurity, "security", text("use an assertion that was issued for this authorization server: --assertion-file FILE")},
		{is(token.ErrDowngrade), exitSecurity, "security", login("to accept tokens that are not bound to a key: ", "--dpop", "never")},
		{is(discovery.ErrIssuer, discovery.ErrResource, callback.ErrIssuer), exitSecurity, "security", operator},
		{as[*mcpclient.QuestionError], exitSecurity, "security", operator},
		{as[*httpx.AddressError], exitSecurity, "security", operator},

		// If login would find no usable client or grant, discover exits with 5 and prints the hint that login would print.
		{both(as[*unworkableError], is(dcr.ErrNoClient, flow.ErrUnsupported)), exitNetwork, "discovery", with(innerHint)},

		// The credential store.
		{is(keystore.ErrReadOnly), exitKeystore, "keystore", text("set MCPAUTH_KEYSTORE_URL to the primary server, or to all servers with target_session_attrs=read-write")},
		{is(keystore.ErrNoTable), exitKeystore, "keystore", text("ask the owner of the database to run docs/fleet.sql and to grant SELECT, INSERT, UPDATE and DELETE on the table")},
		{is(keystore.ErrFull), exitKeystore, "keystore", text("give the database server more disk, memory or connections (max_connections)")},
		{is(keystore.ErrTooOld), exitKeystore, "keystore", text("use PostgreSQL 12 or newer")},
		{is(keystore.ErrPooled), exitKeystore, "keystore", text("set MCPAUTH_KEYSTORE_URL to the database itself, or to a pooler in session mode")},
		{both(is(keystore.ErrDenied), inPostgres), exitKeystore, "keystore", text("check the user, password and privileges (MCPAUTH_KEYSTORE_URL, PGUSER, PGPASSWORD)")},
		{both(is(keystore.ErrTimeout, keystore.ErrUnavailable), inPostgres), exitKeystore, "keystore", text("check that the database is up, that MCPAUTH_KEYSTORE_URL names it, and that PGSSLROOTCERT names the authority of its certificate, and repeat the command")},
		{is(keystore.ErrKeyFile), exitKeystore, "keystore", text("set MCPAUTH_KEYSTORE_KEY_FILE to the age identity file to which the records are encrypted, the same one on all machines")},
		{is(keystore.ErrLocked), exitKeystore, "keystore", func(advice) string { return unlockHint(runtime.GOOS) }},
		{is(keystore.ErrDenied), exitKeystore, "keystore", login("allow mcpauth to use the keychain, or store credentials in files: ", "--keystore", "file")},
		{is(keystore.ErrTimeout, keystore.ErrUnavailable), exitKeystore, "keystore", login("if there is no usable keychain, store credentials in files: ", "--keystore", "file")},
		{is(keystore.ErrElsewhere), exitKeystore, "keystore", elsewhereHint},
		{is(keystore.ErrBusy), exitKeystore, "keystore", text("another mcpauth is working on this login: try again when it has finished")},
		{is(keystore.ErrNewer), exitKeystore, "keystore", text("a newer mcpauth wrote it: use that version")},
		{both(is(keystore.ErrCorrupt), inPostgres), exitKeystore, "keystore", text("delete this row of mcpauth_credentials in the database, then log in again")},
		{is(keystore.ErrCorrupt, flow.ErrCredential), exitKeystore, "keystore", anewHint},
		{is(keystore.ErrUnwritable, keystore.ErrInsecure), exitKeystore, "keystore", text("MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR choose the folders")},

		// Authorization.
		{both(is(flow.ErrIdentityProvider), is(flow.ErrClientRejected)), exitAuth, "auth_failed", text(administrator + ": it refuses the client of --idp-client-id")},
		{both(is(flow.ErrIdentityProvider), both(as[*token.Error], oauthCode("access_denied", "invalid_client", "unauthorized_client", "unsupported_grant_type"))),
			exitAuth, "auth_failed", text(administrator + ": the client of --idp-client-id must be allowed to exchange tokens for this server")},
		{as[*flow.ScopeError], exitAuth, "insufficient_scope", with(scopeHint)},
		{is(flow.ErrTokenRefused), exitAuth, "auth_failed", operator},
		{is(flow.ErrAssertionExpired), exitAuth, "auth_failed", text("obtain a new assertion from the platform and repeat the command")},
		{is(flow.ErrForbidden), exitAuth, "access_denied", login("this account lacks permission; log in with another one: ", "--name", "OTHER")},
		{is(flow.ErrMaybeSpent, flow.ErrGrantRejected), exitAuth, "invalid_grant", grantHint},
		{is(flow.ErrClientRejected), exitAuth, "auth_failed", rejectedClientHint},
		{is(flow.ErrNoAnswer), exitAuth, "auth_failed", noAnswerHint},
		{is(callback.ErrNoBrowser), exitAuth, "login_required", loginHint},
		{is(flow.ErrNoPending), exitAuth, "login_required", login("", "--print-url")},
		{is(flow.ErrUnsupported), exitAuth, "auth_failed", unsupportedHint},
		{is(flow.ErrBoundToken), exitAuth, "auth_failed", boundHint},
		{is(callback.ErrPortInUse), exitAuth, "auth_failed", portHint},
		{is(dcr.ErrDeviation), exitNetwork, "protocol", strictHint},
		{is(dcr.ErrNoClient), exitAuth, "auth_failed", clientHint},
		{both(as[*dcr.Error], serverFailed), exitNetwork, "server", laterHint},
		{both(as[*dcr.Error], status(403)), exitAuth, "auth_failed", allowedHint},
		{as[*dcr.Error], exitAuth, "auth_failed", clientHint},
		{both(as[*callback.AuthorizationError], oauthCode("access_denied")), exitAuth, "access_denied", login("allow the access in the browser: ")},
		{both(as[*callback.AuthorizationError], oauthCode("server_error", "temporarily_unavailable")), exitNetwork, "server", laterHint},
		{as[*callback.AuthorizationError], exitAuth, "auth_failed", oauthHint},
		{both(as[*token.Error], oauthCode("invalid_grant")), exitAuth, "invalid_grant", login("")},
		{both(as[*token.Error], oauthCode("access_denied")), exitAuth, "access_denied", login("allow the access: ")},
		{both(as[*token.Error], serverFailed), exitNetwork, "server", laterHint},
		{as[*token.Error], exitAuth, "auth_failed", oauthHint},
		{both(as[*mcpclient.StatusError], status(401)), exitAuth, "login_required", loginHint},
		{both(as[*mcpclient.StatusError], status(403)), exitAuth, "access_denied", login("if another account has permission: ", "--name", "OTHER")},
		{is(flow.ErrLoginRequired, flow.ErrNoRefreshToken, keystore.ErrNotFound), exitAuth, "login_required", loginHint},

		// Network and servers.
		{is(context.DeadlineExceeded), exitNetwork, "timeout", timeHint},
		{timedOut, exitNetwork, "timeout", laterHint}, // one request timed out; --timeout does not change the limit of a request
		{both(as[*mcpclient.StatusError], serverFailed), exitNetwork, "server", laterHint},
		{as[*mcpclient.StatusError], exitNetwork, "protocol", discoverHint},
		{is(token.ErrMalformed, callback.ErrMalformed, httpx.ErrTooLarge), exitNetwork, "protocol", operator},
		{as[*protocolError], exitNetwork, "protocol", text("add --output json, which prints the whole result")},
		{as[*tls.CertificateVerificationError], exitNetwork, "network", text("if your own certificate authority signed it, add --cacert FILE")},
		{certificateWanted, exitNetwork, "network", login("if the server requires a client certificate (with --issuer URL, if the authorization server requires it): ", "--cert", "FILE", "--key", "FILE")},
		{unreachable, exitNetwork, "network", discoverHint},
		{is(discovery.ErrUnnamed), exitNetwork, "discovery", login("ask the server's operator for the address of its authorization server, then: ", "--issuer", "URL")},
		{is(discovery.ErrNonInteractiveOnly), exitNetwork, "discovery", login("", "--grant", "client_credentials", "--client-id", "ID", "--client-secret-env", "VAR")},
		{is(discovery.ErrMoved), exitNetwork, "discovery", movedHint},
		{both(is(flow.ErrIdentityProvider), as[*discovery.Error]), exitNetwork, "discovery", text("check the address of --idp-issuer; its metadata must be at a well-known address there")},
		{as[*discovery.Error], exitNetwork, "discovery", strictHint},

		{as[*keystore.Error], exitKeystore, "keystore", login("if the problem remains, store credentials in files: ", "--keystore", "file")},

		// Files whose names come from flags or from the configuration.
		{as[*fs.PathError], exitUsage, "config", text("check the name of the file and its permissions")},
		{as[*flow.StageError], exitNetwork, "protocol", discoverHint},
	}
}

// explain returns the row for an error.
func explain(err error) rule {
	for _, r := range table() {
		if r.match(err) {
			return r
		}
	}
	return rule{exit: exitInternal, code: "internal", hint: text("this is a bug of mcpauth; add --verbose to see what happened")}
}

// fail prints an error and returns the exit code. err may be nil.
func (p *program) fail(ctx context.Context, err error) int {
	if printed, ok := errors.AsType[*printedError](err); ok {
		return printed.code
	}
	switch {
	case err == nil:
		return exitDone
	case as[*outputError](err) && errors.Is(err, syscall.EPIPE):
		return exitInternal // the reader closed stdout on purpose, as head does
	case errors.Is(ctx.Err(), context.Canceled):
		p.out.failure("interrupted", "interrupted", with(taskHint)(p.advice(err)), exitInterrupted)
		return exitInterrupted
	}
	r := explain(err)
	if r.exit == exitUsage && p.sent.Load() {
		// Exit code 2 means that no request was sent. If a configuration error, such as a missing key file, occurs after a request, the
		// exit code is 4.
		r.exit, r.code = exitAuth, "auth_failed"
	}
	p.out.failure(r.code, p.message(err), p.hint(r, err), r.exit)
	return r.exit
}

// message returns the text of an error. If the time limit was exceeded, the text names the limit.
func (p *program) message(err error) string {
	before, after, ok := strings.Cut(err.Error(), context.DeadlineExceeded.Error())
	if !ok {
		return before
	}
	return before + "not done within the time limit of " + inWords(p.typed.limit) + strings.ReplaceAll(after, ": "+context.DeadlineExceeded.Error(), "")
}

// hint returns the hint of a row for an error.
func (p *program) hint(r rule, err error) string {
	if r.hint == nil {
		return ""
	}
	return r.hint(p.advice(err))
}

func (p *program) advice(err error) advice {
	var s server
	if e, ok := errors.AsType[*serverError](err); ok {
		s = e.server
	}
	return advice{typed: p.typed, server: s.quoted(), static: s.static, err: err}
}

// failure prints an error and its hint on two lines. With --json, failure prints them as one line of JSON.
func (o *output) failure(code, message, hint string, exit int) {
	if !o.json {
		message, hint = o.secrets.Mask(oneLine(message)), o.secrets.Mask(oneLine(hint))
		o.say(paint(o.errColour, red, "mcpauth:") + " " + message)
		if hint != "" {
			o.say(paint(o.errColour, bold, "hint:") + " " + hint)
		}
		return
	}
	o.say(`{"error":` + string(o.errorJSON(code, message, hint, exit)) + `}`)
}

// errorJSON returns an error as a JSON object, without secrets.
func (o *output) errorJSON(code, message, hint string, exit int) []byte {
	data, _ := encode(struct { // never fails for strings and numbers
		Code     string `json:"code"`
		Message  string `json:"message"`
		Hint     string `json:"hint"`
		ExitCode int    `json:"exit_code"`
	}{code, o.secrets.Mask(oneLine(message)), o.secrets.Mask(oneLine(hint)), exit}, "")
	return bytes.TrimSuffix(data, []byte("\n"))
}

// is returns a function that reports whether an error is one of targets.
func is(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// as reports whether an error has the type T.
func as[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func both(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) && b(err) }
}

// response contains the parts of an error response that select a row of the table.
type response struct {
	status            int
	retryAfter        time.Duration // from the Retry-After header; 0: none
	code, description string        // of an OAuth error (RFC 6749 §5.2, §4.1.2.1)
}

// responseOf returns the response that caused an error. The result is empty if no response caused the error.
func responseOf(err error) response {
	if e, ok := errors.AsType[*token.Error](err); ok {
		return response{e.StatusCode, e.RetryAfter, e.Code, e.Description}
	}
	if e, ok := errors.AsType[*callback.AuthorizationError](err); ok {
		return response{code: e.Code, description: e.Description}
	}
	if e, ok := errors.AsType[*dcr.Error](err); ok {
		return response{status: e.StatusCode, retryAfter: e.RetryAfter}
	}
	if e, ok := errors.AsType[*mcpclient.StatusError](err); ok {
		return response{status: e.StatusCode, retryAfter: e.RetryAfter}
	}
	return response{}
}

// oauthCode matches OAuth errors with one of these codes.
func oauthCode(codes ...string) func(error) bool {
	return func(err error) bool { return slices.Contains(codes, responseOf(err).code) }
}

func status(code int) func(error) bool {
	return func(err error) bool { return responseOf(err).status == code }
}

// serverFailed matches temporary failures of a server, such as 5xx and 429 (too many requests).
func serverFailed(err error) bool {
	status := responseOf(err).status
	return status >= 500 || status == http.StatusTooManyRequests || oauthCode("server_error", "temporarily_unavailable")(err)
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// certificateWanted matches the TLS alerts of a server that requires a client certificate or rejects it (RFC 8446 §6.2).
func certificateWanted(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error" && strings.Contains(e.Err.Error(), "certificate")
}

// unreachable matches failures of the network.
func unreachable(err error) bool {
	return as[*net.OpError](err) || as[*net.DNSError](err) || as[*url.Error](err) || as[tls.RecordHeaderError](err) ||
		is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, net.ErrClosed)(err)
}

// inPostgres reports whether the store that failed is PostgreSQL.
func inPostgres(err error) bool {
	e, ok := errors.AsType[*keystore.Error](err)
	return ok && e.Backend == keystore.Postgres
}

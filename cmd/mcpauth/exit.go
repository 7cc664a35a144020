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

// errorRow is one row of the table of errors. If several rows match an error, the first one applies.
type errorRow struct {
	match func(error) bool
	exit  int
	code  string
	hint  func(hintInput) string // nil if the message itself says what to do
}

// errorTable maps every error to an exit code, an error.code and a hint. exit_test.go fails if an exported error is missing.
func errorTable() []errorRow {
	return []errorRow{
		// The row of *outputError must come before the row of *fs.PathError, because an *outputError may wrap an *fs.PathError.
		{isA[*outputError], exitInternal, "output", outputHint},

		// Errors in the command line or the configuration.
		{isA[*usageError], exitUsage, "usage", hintFrom(func(_ hintInput, e *usageError) string { return e.hint })},
		{isA[*configError], exitUsage, "config", hintFrom(func(_ hintInput, e *configError) string { return e.hint })},
		{isA[*httpx.ProxyError], exitUsage, "config", fixedHint("correct it, or unset it to use no proxy")},
		{isA[*config.Error], exitUsage, "config", hintFrom(fileHint)},
		{isAny(config.ErrUnknown), exitUsage, "usage", nil},
		{isAny(flow.ErrOtherSettings), exitUsage, "usage", suggestLogin("leave this setting out to finish the pending login without it, or begin a login with it: ", "--print-url")},
		{isAny(flow.ErrOptions), exitUsage, "usage", fixedHint("mcpauth login --help")},
		{isAny(flow.ErrCertificate), exitUsage, "config", fixedHint("give a valid certificate and its unencrypted key, both in PEM: --cert FILE --key FILE")},
		{isAny(callback.ErrBareCode), exitUsage, "usage", nil},
		{isA[*mcpclient.LineError], exitUsage, "usage", nil},

		// Errors that the tool or the server reported, and arguments that the tool's schema does not allow.
		{isA[*mcpclient.ArgumentError], exitTool, "rpc_error", hintFrom(argumentHint)},
		{both(isA[*mcpclient.PendingError], isAny(context.DeadlineExceeded)), exitNetwork, "timeout", hintFrom(taskHint)},
		{isA[*mcpclient.TaskError], exitTool, "rpc_error", hintFrom(noTaskHint)},
		{isA[*mcpclient.UnknownError], exitTool, "rpc_error", hintFrom(unknownHint)},
		{isA[*toolError], exitTool, "tool_error", nil},
		{isA[*mcpclient.RPCError], exitTool, "rpc_error", nil},

		// Security checks that failed.
		{isAny(discovery.ErrPKCE), exitSecurity, "security", suggestLogin("if you trust this server anyway: ", "--assume-pkce-s256")},
		{isAny(discovery.ErrNotNamed), exitSecurity, "security", namedHint},
		{isAny(discovery.ErrSibling), exitSecurity, "security", movedHint},
		{isAny(callback.ErrState), exitSecurity, "security", suggestLogin("start over: ", "--print-url")},
		{isAny(flow.ErrIssuerChanged), exitSecurity, "security", suggestLogin("if you know that the server moved: ", "--accept-new-issuer")},
		{isA[*token.UnnamedIssuerError], exitSecurity, "security", suggestLogin("if you know that this token endpoint belongs to this authorization server, name the authorization server: ", "--issuer", "URL")},
		{both(isAny(flow.ErrIdentityProvider), isAny(token.ErrAudience, token.ErrIDToken, discovery.ErrIssuer, callback.ErrIssuer)), exitSecurity, "security", fixedHint(administrator)},
		{isAny(token.ErrIDToken), exitSecurity, "security", fixedHint(administrator)},
		{isAny(flow.ErrMoved), exitSecurity, "security", fixedHint("start the command again: it then uses the new address")},
		{isAny(token.ErrSecretRepeated), exitSecurity, "security", suggestLogin(publicText, "--issuer", "URL")},
		{isAny(flow.ErrAccount), exitSecurity, "security", suggestLogin("log out in the browser, or choose the account there (if the server does not name it, --scope openid may help): ")},
		{isAny(token.ErrAudience), exitSecurity, "security", fixedHint("use an assertion that was issued for this authorization server: --assertion-file FILE")},
		{isAny(token.ErrDowngrade), exitSecurity, "security", suggestLogin("to accept tokens that are not bound to a key: ", "--dpop", "never")},
		{isAny(flow.ErrWiderResource), exitSecurity, "security", suggestLogin("if you trust every server that gets tokens for this resource: ")},
		{isAny(flow.ErrAuthParam), exitSecurity, "security", suggestLogin("the login's value comes from --auth-param of this or an earlier login; if you know that the value in the URL is right, repeat it: ", "--auth-param", "NAME=VALUE")},
		{isAny(discovery.ErrIssuer, discovery.ErrResource, callback.ErrIssuer), exitSecurity, "security", operatorHint},
		{isA[*mcpclient.QuestionError], exitSecurity, "security", operatorHint},
		{isA[*httpx.AddressError], exitSecurity, "security", hintFrom(addressHint)},

		// If login would find no usable client or grant, discover exits with 5 and prints the hint that login would print.
		{both(isA[*unworkableError], isAny(dcr.ErrNoClient, flow.ErrUnsupported)), exitNetwork, "discovery", hintFrom(innerHint)},

		// The credential store.
		{isAny(keystore.ErrReadOnly), exitKeystore, "keystore", fixedHint("set MCPAUTH_KEYSTORE_URL to the primary server, or to all servers with target_session_attrs=read-write")},
		{isAny(keystore.ErrNoTable), exitKeystore, "keystore", fixedHint("ask the owner of the database to run docs/fleet.sql and to grant SELECT, INSERT, UPDATE and DELETE on the table")},
		{isAny(keystore.ErrFull), exitKeystore, "keystore", fixedHint("give the database server more disk, memory or connections (max_connections)")},
		{isAny(keystore.ErrTooOld), exitKeystore, "keystore", fixedHint("use PostgreSQL 12 or newer")},
		{isAny(keystore.ErrPooled), exitKeystore, "keystore", fixedHint("set MCPAUTH_KEYSTORE_URL to the database itself, or to a pooler in session mode")},
		{isAny(keystore.ErrParameter), exitKeystore, "keystore", fixedHint("remove the other parameters from MCPAUTH_KEYSTORE_URL or the service file, or write options=-c NAME=VALUE for a setting")},
		{isAny(keystore.ErrSearchPath), exitKeystore, "keystore", fixedHint("leave pg_catalog out of the search_path; the setting can be in MCPAUTH_KEYSTORE_URL, or belong to the user or the database")},
		{both(isAny(keystore.ErrDenied), inPostgres), exitKeystore, "keystore", fixedHint("check the user, password and privileges (MCPAUTH_KEYSTORE_URL, PGUSER, PGPASSWORD)")},
		{both(isAny(keystore.ErrTimeout, keystore.ErrUnavailable), inPostgres), exitKeystore, "keystore", fixedHint("check that the database is up, that MCPAUTH_KEYSTORE_URL names it, and that PGSSLROOTCERT names the authority of its certificate, and repeat the command")},
		{isAny(keystore.ErrKeyFile), exitKeystore, "keystore", fixedHint("set MCPAUTH_KEYSTORE_KEY_FILE to the age identity file to which the records are encrypted, the same one on all machines")},
		{isAny(keystore.ErrForeignBus), exitKeystore, "keystore", suggestLogin("unset the variable DBUS_SESSION_BUS_ADDRESS, or store credentials in files: ", "--keystore", "file")},
		{isAny(keystore.ErrLocked), exitKeystore, "keystore", func(hintInput) string { return unlockHint(runtime.GOOS) }},
		{isAny(keystore.ErrDenied), exitKeystore, "keystore", suggestLogin("allow mcpauth to use the keychain, or store credentials in files: ", "--keystore", "file")},
		{isAny(keystore.ErrTimeout, keystore.ErrUnavailable), exitKeystore, "keystore", suggestLogin("if there is no usable keychain, store credentials in files: ", "--keystore", "file")},
		{isAny(keystore.ErrElsewhere), exitKeystore, "keystore", elsewhereHint},
		{isAny(keystore.ErrBusy), exitKeystore, "keystore", fixedHint("another mcpauth is working on this login: try again when it has finished")},
		{isAny(keystore.ErrNewer), exitKeystore, "keystore", fixedHint("a newer mcpauth wrote it: use that version")},
		{both(isAny(keystore.ErrCorrupt), inPostgres), exitKeystore, "keystore", fixedHint("delete this row of mcpauth_credentials in the database, then log in again")},
		{both(isAny(keystore.ErrCorrupt), inFile), exitKeystore, "keystore", damagedFileHint},
		{isAny(keystore.ErrCorrupt, flow.ErrCredential), exitKeystore, "keystore", anewHint},
		{isAny(keystore.ErrMode), exitKeystore, "keystore", hintFrom(modeHint)},
		{isAny(keystore.ErrUnwritable, keystore.ErrInsecure), exitKeystore, "keystore", fixedHint(folderVariables)},

		// Authorization.
		{both(isAny(flow.ErrIdentityProvider), isAny(flow.ErrClientRejected)), exitAuth, "auth_failed", fixedHint(administrator + ": it refuses the client of --idp-client-id")},
		{both(isAny(flow.ErrIdentityProvider), both(isA[*token.Error], oauthCode("access_denied", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_target"))),
			exitAuth, "auth_failed", fixedHint(administrator + ": the client of --idp-client-id must be allowed to exchange tokens for this server")},
		{isA[*flow.ScopeError], exitAuth, "insufficient_scope", hintFrom(scopeHint)},
		{isAny(flow.ErrTokenRefused), exitAuth, "auth_failed", operatorHint},
		{isAny(flow.ErrAssertionExpired), exitAuth, "auth_failed", fixedHint("obtain a new assertion from the platform and repeat the command")},
		{isAny(flow.ErrManyScopes, flow.ErrLongScopes), exitNetwork, "protocol", suggestLogin("name only the scopes that you need: ", "--scope", "SCOPE")},
		{isAny(flow.ErrForbidden), exitAuth, "access_denied", suggestLogin("this account lacks permission; log in with another one: ", "--name", "OTHER")},
		{isAny(flow.ErrMaybeSpent, flow.ErrGrantRejected), exitAuth, "invalid_grant", grantHint},
		{isAny(flow.ErrClientRejected), exitAuth, "auth_failed", rejectedClientHint},
		{isAny(flow.ErrNoAnswer), exitAuth, "auth_failed", noAnswerHint},
		{isAny(callback.ErrNoBrowser), exitAuth, "login_required", loginHint},
		{isAny(flow.ErrNoPending), exitAuth, "login_required", suggestLogin("", "--print-url")},
		{isAny(flow.ErrUnsupported), exitAuth, "auth_failed", unsupportedHint},
		{isAny(flow.ErrBoundToken), exitAuth, "auth_failed", boundHint},
		{isAny(callback.ErrPortInUse), exitAuth, "auth_failed", portHint},
		{isAny(dcr.ErrDeviation), exitNetwork, "protocol", strictHint},
		{isAny(dcr.ErrNoClient), exitAuth, "auth_failed", clientHint},
		{both(isA[*dcr.Error], serverFailed), exitNetwork, "server", laterHint},
		{both(isA[*dcr.Error], hasStatus(403)), exitAuth, "auth_failed", allowedHint},
		{isA[*dcr.Error], exitAuth, "auth_failed", clientHint},
		{both(isA[*callback.AuthorizationError], oauthCode("access_denied")), exitAuth, "access_denied", suggestLogin("allow the access in the browser: ")},
		{both(isA[*callback.AuthorizationError], oauthCode("server_error", "temporarily_unavailable")), exitNetwork, "server", laterHint},
		{isA[*callback.AuthorizationError], exitAuth, "auth_failed", oauthHint},
		{both(isA[*token.Error], oauthCode("invalid_grant")), exitAuth, "invalid_grant", suggestLogin("")},
		{both(isA[*token.Error], oauthCode("access_denied")), exitAuth, "access_denied", suggestLogin("allow the access: ")},
		{both(isA[*token.Error], serverFailed), exitNetwork, "server", laterHint},
		{isA[*token.Error], exitAuth, "auth_failed", oauthHint},
		{both(isA[*mcpclient.StatusError], hasStatus(401)), exitAuth, "login_required", loginHint},
		{both(isA[*mcpclient.StatusError], hasStatus(403)), exitAuth, "access_denied", suggestLogin("if another account has permission: ", "--name", "OTHER")},
		{isAny(flow.ErrLoginRequired, flow.ErrNoRefreshToken, keystore.ErrNotFound), exitAuth, "login_required", loginHint},

		// Network and servers.
		{isAny(context.DeadlineExceeded), exitNetwork, "timeout", timeHint},
		{timedOut, exitNetwork, "timeout", laterHint}, // one request timed out; --timeout does not change the limit of a request
		{both(isA[*mcpclient.StatusError], serverFailed), exitNetwork, "server", laterHint},
		{both(isA[*mcpclient.StatusError], func(err error) bool { return redirectTarget(err) != "" }), exitNetwork, "protocol", movedHint},
		{isA[*mcpclient.StatusError], exitNetwork, "protocol", discoverHint},
		{isAny(token.ErrMalformed, callback.ErrMalformed, httpx.ErrTooLarge), exitNetwork, "protocol", operatorHint},
		{isA[*protocolError], exitNetwork, "protocol", hintFrom(resultHint)},
		{isA[*tls.CertificateVerificationError], exitNetwork, "network", fixedHint("if your own certificate authority signed it, add --cacert FILE")},
		{certificateWanted, exitNetwork, "network", certificateHint},
		{networkFailed, exitNetwork, "network", func(a hintInput) string { return a.careful(discoverHint(a)) }},
		{isAny(discovery.ErrOpen), exitNetwork, "discovery", func(a hintInput) string { return "no login is needed: " + a.command("tools") + " lists the tools" }},
		{isAny(discovery.ErrUnnamed), exitNetwork, "discovery", suggestLogin("ask the server's operator for the address of its authorization server, then: ", "--issuer", "URL")},
		{isAny(discovery.ErrNonInteractiveOnly), exitNetwork, "discovery", suggestLogin("", "--grant", "client_credentials", "--client-id", "ID", "--client-secret-env", "VAR")},
		{isAny(discovery.ErrMoved), exitNetwork, "discovery", movedHint},
		{both(isAny(flow.ErrIdentityProvider), isA[*discovery.Error]), exitNetwork, "discovery", fixedHint("check the address of --idp-issuer; its metadata must be at a well-known address there")},
		{isA[*discovery.Error], exitNetwork, "discovery", strictHint},

		{isA[*keystore.Error], exitKeystore, "keystore", suggestLogin("if the problem remains, store credentials in files: ", "--keystore", "file")},

		// Files whose names come from flags or from the configuration.
		{isA[*fs.PathError], exitUsage, "config", fixedHint("check the name of the file and its permissions")},
		{isA[*flow.StageError], exitNetwork, "protocol", discoverHint},
	}
}

// rowFor returns the first row that matches an error.
func rowFor(err error) errorRow {
	for _, r := range errorTable() {
		if r.match(err) {
			return r
		}
	}
	return errorRow{exit: exitInternal, code: "internal", hint: fixedHint("this is a bug of mcpauth; add --verbose to see what happened")}
}

// printError prints an error and returns the exit code. If err is nil, printError prints nothing.
func (p *program) printError(ctx context.Context, err error) int {
	if printed, ok := errors.AsType[*printedError](err); ok {
		return printed.code
	}
	switch {
	case err == nil:
		return exitDone
	case isA[*outputError](err) && errors.Is(err, syscall.EPIPE):
		return exitInternal // the reader closed stdout on purpose, as head does
	case errors.Is(ctx.Err(), context.Canceled):
		p.out.writeError("interrupted", "interrupted", hintFrom(taskHint)(p.hintInput(err)), exitInterrupted)
		return exitInterrupted
	}
	r := p.effectiveRow(err)
	p.out.writeError(r.code, p.errorText(err), p.hintFor(r, err), r.exit)
	return r.exit
}

// effectiveRow returns the row of an error. Exit code 2 means that no request was sent. If a request was sent before a
// configuration error, such as a missing key file, the exit code is 4.
func (p *program) effectiveRow(err error) errorRow {
	r := rowFor(err)
	if r.exit == exitUsage && p.requestSent.Load() {
		r.exit, r.code = exitAuth, "auth_failed"
	}
	return r
}

// errorText returns the text of an error. If the time limit of the command or of a request was exceeded, the text says so once, in place of Go's
// text. A server's text stays unchanged, unless Go's text stands between colons in it.
func (p *program) errorText(err error) string {
	text, late := err.Error(), context.DeadlineExceeded.Error()
	if !errors.Is(err, context.DeadlineExceeded) {
		return text
	}
	parts := strings.Split(text, ": ")
	if i := slices.Index(parts, late); i >= 0 {
		rest := slices.DeleteFunc(parts[i+1:], func(s string) bool { return s == late })
		parts[i] = "not done within the time limit of " + inWords(p.userLine.limit)
		if p.hasTimeLeft() {
			parts[i] = "no response in time"
		}
		parts = parts[:i+1+len(rest)]
	}
	return strings.Join(parts, ": ")
}

// hasTimeLeft reports whether the time limit of the command has not been reached. Some requests have a shorter limit of their own.
func (p *program) hasTimeLeft() bool { return time.Now().Before(p.limitEnd) }

// hintFor returns the hint for an error that r matches, or "" if r has no hint.
func (p *program) hintFor(r errorRow, err error) string {
	if r.hint == nil {
		return ""
	}
	return p.hintInput(err).hintOf(r)
}

func (p *program) hintInput(err error) hintInput {
	var s server
	if e, ok := errors.AsType[*serverError](err); ok {
		s = e.server
	}
	a := hintInput{typed: p.userLine, timeLeft: p.hasTimeLeft(), sent: p.requestSent.Load(), server: s.shellArgument(), staticToken: s.staticToken, err: err}
	if s.unfinished {
		a = a.aboutUnfinished(s.target)
	}
	if e, ok := errors.AsType[*configError](s.noToken); ok {
		a.login = e.hint
		if s.target.Header.Get("Authorization") == "" {
			a.login += ", then: " + a.loginLine()
		}
	}
	return a
}

// writeError prints an error on one line and its hint on the next. With --json, writeError prints both as one line of JSON.
func (o *output) writeError(code, message, hint string, exit int) {
	if !o.json {
		o.printLine(paint(o.errColour, red, "mcpauth:") + " " + o.cleanMessage(message))
		if hint = o.withoutSecret(hint); hint != "" {
			o.printLine(paint(o.errColour, bold, "hint:") + " " + oneLine(hint))
		}
		return
	}
	o.printLine(`{"error":` + string(o.errorJSON(code, message, hint, exit)) + `}`)
}

// withoutSecret returns the hint, or a text in its place if the hint contains a secret. A hint is not masked, because the user may paste it.
func (o *output) withoutSecret(hint string) string {
	if o.mask(hint) != hint {
		return "not shown, because it would contain a secret"
	}
	return hint
}

// errorJSON returns an error as a JSON object.
func (o *output) errorJSON(code, message, hint string, exit int) []byte {
	data, _ := encodeJSON(struct { // never fails for strings and numbers
		Code     string `json:"code"`
		Message  string `json:"message"`
		Hint     string `json:"hint"`
		ExitCode int    `json:"exit_code"`
	}{code, inert(o.mask(oneLine(message))), oneLine(o.withoutSecret(hint)), exit}, "")
	return bytes.TrimSuffix(data, []byte("\n"))
}

// isAny returns a function that reports whether an error is one of targets, as errors.Is does.
func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// isA reports whether an error or an error that it wraps has the type T.
func isA[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func both(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) && b(err) }
}

// errorResponse contains the parts of a server's error response on which the exit code and the hint depend.
type errorResponse struct {
	status            int
	retryAfter        time.Duration // from the Retry-After header; 0: none
	code, description string        // of an OAuth error (RFC 6749 §5.2, §4.1.2.1)
}

// responseOf returns the response that caused an error. If no response caused the error, the result is empty.
func responseOf(err error) errorResponse {
	if e, ok := errors.AsType[*token.Error](err); ok {
		return errorResponse{e.StatusCode, e.RetryAfter, e.Code, e.Description}
	}
	if e, ok := errors.AsType[*callback.AuthorizationError](err); ok {
		return errorResponse{code: e.Code, description: e.Description}
	}
	if e, ok := errors.AsType[*dcr.Error](err); ok {
		return errorResponse{status: e.StatusCode, retryAfter: e.RetryAfter}
	}
	if e, ok := errors.AsType[*mcpclient.StatusError](err); ok {
		return errorResponse{status: e.StatusCode, retryAfter: e.RetryAfter}
	}
	return errorResponse{}
}

// oauthCode returns a function that reports whether an error is an OAuth error with one of these codes.
func oauthCode(codes ...string) func(error) bool {
	return func(err error) bool { return slices.Contains(codes, responseOf(err).code) }
}

func hasStatus(code int) func(error) bool {
	return func(err error) bool { return responseOf(err).status == code }
}

// serverFailed reports whether an error is a temporary failure of a server, such as 5xx or 429 (too many requests).
func serverFailed(err error) bool {
	status := responseOf(err).status
	return status >= 500 || status == http.StatusTooManyRequests || oauthCode("server_error", "temporarily_unavailable")(err)
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// certificateWanted reports whether the server demanded or rejected a client certificate with a TLS alert (RFC 8446 §6.2).
func certificateWanted(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error" && strings.Contains(e.Err.Error(), "certificate")
}

func networkFailed(err error) bool {
	return isA[*net.OpError](err) || isA[*net.DNSError](err) || isA[*url.Error](err) || isA[tls.RecordHeaderError](err) ||
		isAny(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, net.ErrClosed)(err)
}

// inPostgres reports whether an error comes from the postgres store.
func inPostgres(err error) bool {
	e, ok := errors.AsType[*keystore.Error](err)
	return ok && e.Backend == keystore.Postgres
}

// damagedFile returns the file that contains a damaged note or record, or "". mcpauth logout cannot delete a note, nor a record whose name cannot
// be read.
func damagedFile(err error) string {
	e, ok := errors.AsType[*keystore.Error](err)
	if ok && e.Op != "note" && e.Backend != keystore.File {
		return ""
	}
	if !ok {
		return ""
	}
	return e.Path
}

func inFile(err error) bool { return damagedFile(err) != "" }

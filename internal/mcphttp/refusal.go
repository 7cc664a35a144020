package mcphttp

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"mcpauth/internal/jsonscan"
)

// sessionTexts are the texts with which MCP libraries refuse a request of an unknown session, or a request without a session. All are in
// small letters. outcome_test.go names the libraries. A text counts only as a whole: the error of a tool that has run may contain the
// word "session" too.
var sessionTexts = []string{
	"bad request: mcp-session-id header is required",
	"bad request: server not initialized",
	"bad request: no valid session id provided",
	"bad request: session id required",
	"bad request: session id is required",
	"bad request: missing session id",
	"bad request: session not initialized",
	"bad request: missing mcp-session-id header",
	"bad request: the mcp-session-id header is not supported in stateless mode",
	"bad request: a new session can only be created by an initialize request. include a valid mcp-session-id header for non-initialize requests.",
	"a valid session id is required for non-initialize requests.",
	"session id required in mcp-session-id header",
	"missing session id",
	"invalid session id",
}

// lostTexts are the texts that libraries send with status 404 instead.
var lostTexts = []string{
	"session not found",
	"session not found or has expired.",
	"session terminated",
	"invalid session id",
	"not found: session not found",
	"not found: invalid or expired session id",
	"not found: session has been terminated",
}

// lostText401 is the text that the Rust SDK sent with status 401 until 2026.
const lostText401 = "unauthorized: session not found"

// versionTexts are the texts with which libraries refuse a protocol version before the code -32022 was defined. V stands for one version or a
// list of versions.
var versionTexts = []string{
	"bad request: unsupported protocol version (supported versions: V)",
	"bad request: unsupported protocol version: V (supported versions: V)",
	"bad request: unsupported protocol version: V. supported versions: V",
	"bad request: unsupported protocol version: V. supported: V",
	"bad request: unsupported mcp-protocol-version: V",
	"bad request: the mcp-protocol-version header value 'V' is not supported.",
	`bad request: protocol version "V" is only supported on stateless http servers (set streamablehttpoptions.stateless = true)`,
}

// versionList matches one version or a list of versions. It is compiled when it is first used, because most runs do not need it.
var versionList = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\d{4}-\d\d-\d\d(, ?\d{4}-\d\d-\d\d)*`) })

// foldText returns a text in small letters with single blanks.
func foldText(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// refusal is the part of a response that may prove that a request was not carried out.
type refusal struct {
	status       int
	answer       Message // the JSON-RPC error, zero if there is none
	code, text   string  // the error code and the server's error text, see httpx.Refusal
	inSession    bool    // the request belonged to a session of an earlier revision
	hasSessionID bool    // the request had the header Mcp-Session-Id
}

// proof returns the reason why the request was certainly not carried out. If the request may have been carried out, proof returns NoReason.
// proof accepts only the responses listed here, because a call that is carried out twice may do harm. byText is true if only the server's
// text is the proof. An error with the id of the request may be that of a tool that has run.
func (r refusal) proof() (reason Reason, byText bool) {
	code, text := r.answer.Code(), foldText(r.text)
	ofTool, ofRequest := r.answer.ID != nil, code == CodeMethodNotFound || code == codeInvalidParams
	switch {
	case r.hasSessionID && r.status == http.StatusUnauthorized && text == lostText401:
		return UnknownSession, true
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return Unauthorized, false
	case code == CodeHeaderMismatch && !r.inSession: // earlier revisions do not define the code, so that a tool may use it
		return HeaderMismatch, false
	case code == CodeUnsupportedVersion && (!r.inSession || r.status == http.StatusBadRequest && supportedVersions(r.answer) != ""):
		return UnsupportedVersion, false
	case r.hasSessionID && r.status == http.StatusNotFound && slices.Contains(lostTexts, text):
		return UnknownSession, ofTool
	case ofTool:
		return NoReason, false
	case r.hasSessionID && r.status == http.StatusNotFound && !ofRequest:
		return UnknownSession, false
	case r.inSession && r.status == http.StatusBadRequest && slices.Contains(sessionTexts, text):
		return UnknownSession, true // some servers send this instead of 404, or because they now require a session
	case r.status == http.StatusBadRequest && slices.Contains(versionTexts, versionList().ReplaceAllString(text, "V")):
		return UnsupportedVersion, true // 2025-11-25 requires status 400 and defines no error code
	}
	return NoReason, false
}

// guess returns the reason that the status and the words of the response suggest. The request may have been carried out.
func (r refusal) guess() Reason {
	text, code := strings.ToLower(r.code+" "+r.text), r.answer.Code()
	about := func(s string) bool { return strings.Contains(text, s) }
	ofRequest := code == CodeMethodNotFound || code == codeInvalidParams
	switch {
	case r.status == http.StatusBadRequest && about("unsupported") && about("protocol") && about("version"):
		return UnsupportedVersion
	case r.hasSessionID && r.status == http.StatusNotFound && (!ofRequest || about("session")),
		r.inSession && r.status == http.StatusBadRequest && !ofRequest && (about("session") || about("not initialized")):
		return UnknownSession
	}
	return NoReason
}

// supportedVersions returns the list of versions in an error with CodeUnsupportedVersion, as JSON.
func supportedVersions(answer Message) string {
	return string(jsonscan.Member(jsonscan.Member(answer.Error, "data"), "supported"))
}

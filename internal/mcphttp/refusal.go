package mcphttp

import (
	"bytes"
	"encoding/json"
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
	"invalid or missing session id",
	"no transport found for sessionid",
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

// maxKnownText limits the size of a text that can prove something, in bytes. Each of the known texts is much shorter.
const maxKnownText = 4 << 10

// foldText returns a text in small letters with single blanks. If the text is longer than maxKnownText, foldText returns "", because the list
// of the words of a text takes many times its size in memory.
func foldText(s string) string {
	if len(s) > maxKnownText {
		return ""
	}
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// trimText removes white space and a byte order mark around a text.
func trimText(text string) []byte {
	return []byte(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff")))
}

// findAnswer returns the JSON-RPC response with this id in the body of a response with an error status. If there is none, and an error may
// have no id, findAnswer returns an error without an id.
func findAnswer(body []byte, id json.RawMessage, errorWithoutID bool) Message {
	var other Message
	for m := range parseMessages(body) {
		switch {
		case !m.IsResponse():
		case SameID(m.ID, id):
			return m
		case errorWithoutID && other.Raw == nil && m.isErrorWithoutID():
			other = m
		}
	}
	return other
}

// isOwnError reports whether a body is nothing but its answer, which is an error with the id of the request.
func isOwnError(answer Message, body []byte) bool {
	return answer.ID != nil && answer.Result == nil && len(answer.Raw) == len(body)
}

// mayAnswer reports whether the body of a response may be or contain an answer to the request with this id, in any form, even if it is not
// valid JSON-RPC. A server that has carried out the request may send such a body.
func mayAnswer(body []byte, id json.RawMessage) bool {
	if !jsonscan.Valid(body) {
		return bytes.Contains(body, []byte(`"jsonrpc"`))
	}
	if hasAnswer(body, id) {
		return true
	}
	for element := range jsonscan.Elements(body) {
		if hasAnswer(element, id) {
			return true
		}
	}
	return false
}

// hasAnswer reports whether a JSON object has the id of the request or a result. Every number counts as the id, because a server can write 7
// as 7.0. A string does not, because some libraries refuse a session with an id such as "server-error".
func hasAnswer(object []byte, id json.RawMessage) bool {
	for name, value := range jsonscan.Members(object) {
		switch kind := jsonscan.Type(value); {
		case name == "id" && (SameID(value, id) || kind == "integer" || kind == "number"),
			name == "result" && kind != "null":
			return true
		}
	}
	return false
}

// refusal is the part of a response that may prove that a request was not carried out.
type refusal struct {
	status       int
	answer       Message // the JSON-RPC response, zero if there is none
	unclear      bool    // the response may contain the answer of a tool that has run, see Outcome.unclear
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
	if ofTool { // a text beside the error does not count
		text = foldText(jsonscan.Unquote(jsonscan.Member(r.answer.Error, "message")))
	}
	switch {
	case r.hasSessionID && r.status == http.StatusUnauthorized && text == lostText401 && !r.unclear:
		return UnknownSession, true
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return Unauthorized, false
	case r.unclear:
		return NoReason, false
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
	case r.answer.Result != nil:
		return NoReason
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

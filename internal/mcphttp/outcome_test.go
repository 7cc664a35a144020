package mcphttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcpauth/internal/jsonscan"
)

// Only 401, 403, a header mismatch, an unsupported version and an unknown session prove that a request was not carried out. Any other
// outcome is final, unless the caller knows that a second request does no harm. A word in a text, such as session, proves nothing, because
// the text may be that of a tool that has run.
func TestWhatMayBeSentAgain(t *testing.T) {
	legacy := &Session{Version: "2025-11-25", ID: "s"}
	stateless := &Session{Version: "2025-11-25"}
	modern := &Session{}
	withID := func(id, code, message string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":` + code + `,"message":"` + message + `"}}`
	}
	rpc := func(code, message string) string { return withID("1", code, message) }
	null := func(code, message string) string { return withID("null", code, message) }
	for _, tt := range []struct {
		name      string
		session   *Session
		status    int
		body      string
		want      Kind
		reason    Reason
		once      Step // for a call
		safe      Step // for a call that may be carried out twice
		afterward Step // for the same response to the repeated call
	}{
		{"a result", modern, 200, `{"jsonrpc":"2.0","id":1,"result":{}}`, Answered, NoReason, Deliver, Deliver, Deliver},
		{"an error of the tool's arguments", modern, 400, rpc("-32602", "invalid params"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"401", modern, 401, "", Refused, Unauthorized, Deliver, Deliver, Deliver},
		{"403", legacy, 403, "", Refused, Unauthorized, Deliver, Deliver, Deliver},
		{"header mismatch", modern, 400, rpc("-32020", "header mismatch"), Refused, HeaderMismatch, Refetch, Refetch, Deliver},
		{"header mismatch, in a revision without this code", legacy, 400, rpc("-32020", "charged, then failed"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"unsupported version", modern, 400, rpc("-32022", "unsupported"), Refused, UnsupportedVersion, Switch, Switch, Deliver},
		{"unsupported version, the server was updated", legacy, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}}`, Refused, UnsupportedVersion, Switch, Switch, Deliver},
		{"that code in a revision without this code", legacy, 400, rpc("-32022", "charged, then failed"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"that code and data in a result", legacy, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}}`, Answered, NoReason, Deliver, Deliver, Deliver},
		{"those words with another status", modern, 500, "unsupported protocol version", Lost, NoReason, Deliver, Again, Again},
		{"those words in other words", modern, 400, "charged; the receipt failed: remote error: tls: unsupported protocol version", Answered, NoReason, Deliver, Switch, Deliver},
		{"those words in the call's own error", modern, 400, rpc("-32000", "charged; tls: unsupported protocol version"), Answered, NoReason, Deliver, Switch, Deliver},
		{"the SDK's own text in the call's own error", modern, 400, rpc("-32000", "Bad Request: Unsupported protocol version: 2026-07-28 (supported versions: 2025-11-25)"), Answered, NoReason, Deliver, Switch, Deliver},
		{"the SDK's own text and more", modern, 400, "Bad Request: Unsupported protocol version: 2026-07-28 (supported versions: 2025-11-25); charged", Answered, NoReason, Deliver, Switch, Deliver},
		{"unknown session", legacy, 404, "", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, a page", legacy, 404, "<html><title>Gone</title>", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, with a code", legacy, 404, null("-32001", "Session not found"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, in the call's own error", legacy, 404, rpc("-32001", "Session not found"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"404 in the call's own error", legacy, 404, rpc("-32000", "receipt not found"), Answered, NoReason, Deliver, Reopen, Deliver},
		{"404 and those words in the call's own error", legacy, 404, rpc("-32000", "checkout session not found"), Answered, NoReason, Deliver, Reopen, Deliver},
		{"unknown session, 400", legacy, 400, null("-32000", "Bad Request: No valid session ID provided"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, 400, in the call's own error", legacy, 400, rpc("-32000", "Bad Request: No valid session ID provided"), Answered, NoReason, Deliver, Reopen, Deliver},
		{"400 and a word in the call's own error", legacy, 400, rpc("-32000", "charged, but writing the receipt failed: checkout session expired"), Answered, NoReason, Deliver, Reopen, Deliver},
		{"400 and a word", legacy, 400, "charged, but writing the receipt failed: checkout session expired", Answered, NoReason, Deliver, Reopen, Deliver},
		{"unknown session, 401", legacy, 401, "Unauthorized: Session not found", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"401 and a word", legacy, 401, "Checkout session not found", Refused, Unauthorized, Deliver, Deliver, Deliver},
		{"401, no session was named", stateless, 401, "Unauthorized: Session not found", Refused, Unauthorized, Deliver, Deliver, Deliver},
		{"a session is needed now", stateless, 400, "Missing session ID", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"not initialized", stateless, 400, null("-32000", "Bad Request: Server not initialized"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"404 without a session", stateless, 404, "", Answered, NoReason, Deliver, Deliver, Deliver},
		{"404 for a method", legacy, 404, rpc("-32601", "method not found"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"404 for a method, without an id", legacy, 404, null("-32601", "method not found"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"the arguments name a session", legacy, 400, rpc("-32602", "session is not a number"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"404 of a gateway", modern, 404, "not found", Answered, NoReason, Deliver, Deliver, Deliver},
		{"400 and -32000", modern, 400, rpc("-32000", "bad request"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"400 and -32000 about a session, without sessions", modern, 400, null("-32000", "Bad Request: Server not initialized"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"429", modern, 429, `{"error":"rate_limited"}`, Answered, NoReason, Deliver, Again, Again},
		{"408", modern, 408, "", Lost, NoReason, Deliver, Again, Again},
		{"500", modern, 500, "", Lost, NoReason, Deliver, Again, Again},
		{"502 of a gateway", legacy, 502, "<html>", Lost, NoReason, Deliver, Again, Again},
		{"500 with the request's own error", modern, 500, rpc("-32603", "internal"), Answered, NoReason, Deliver, Deliver, Deliver},
	} {
		o := Outcome{Status: tt.status}
		text := tt.body
		if m, ok := Parse([]byte(tt.body)); ok {
			o.Answer, text = m, jsonscan.Unquote(jsonscan.Member(m.Error, "message"))
		}
		o.classify("", text, tt.session)
		if o.Kind != tt.want || o.Reason != tt.reason {
			t.Errorf("%s: kind %d, reason %d; expected %d, %d", tt.name, o.Kind, o.Reason, tt.want, tt.reason)
		}
		if got := o.Next(Tried{}, false); got != tt.once {
			t.Errorf("%s: step %d, expected %d", tt.name, got, tt.once)
		}
		if got := o.Next(Tried{}, true); got != tt.safe {
			t.Errorf("%s: step %d if it does no harm, expected %d", tt.name, got, tt.safe)
		}
		if got := o.Next(Tried{Again: 1, Reopen: 1, Refetch: 1, Switch: 2}, true); got != tt.afterward {
			t.Errorf("%s: step %d after that, expected %d", tt.name, got, tt.afterward)
		}
	}
	lost := Outcome{Kind: Lost, Err: errors.New("reset")}
	if lost.Next(Tried{}, false) != Deliver || lost.Next(Tried{Again: 1}, true) != Again || lost.Next(Tried{Again: 2}, true) != Deliver {
		t.Error("a lost request is sent again only if it does no harm, twice at most")
	}
	if notSentOutcome(lost.Err).Next(Tried{}, true) != Deliver {
		t.Error("a request that did not leave this machine is sent again")
	}
}

// Evidence classifies a server by its response to a modern request. Odd reports whether a response of a server that was known to be modern
// must be followed by a probe (2026-07-28, Versioning, and Streamable HTTP, Backward Compatibility).
func TestEvidence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   Evidence
		odd    bool
	}{
		{"a modern result", 200, `{"id":1,"result":{"resultType":"complete"}}`, IsModern, false},
		{"a modern list", 200, `{"id":1,"result":{"tools":[],"ttlMs":0}}`, IsModern, false},
		{"a result without marks", 200, `{"id":1,"result":{"tools":[]}}`, IsLegacy, false},
		{"header mismatch", 400, `{"id":1,"error":{"code":-32020}}`, IsModern, false},
		{"missing capability", 400, `{"id":1,"error":{"code":-32021}}`, IsModern, false},
		{"unknown method with 404", 404, `{"id":1,"error":{"code":-32601}}`, IsModern, false},
		{"unknown method with 200", 200, `{"id":1,"error":{"code":-32601}}`, IsLegacy, false},
		{"earlier versions only", 400, `{"id":1,"error":{"code":-32022,"data":{"supported":["2025-11-25"]}}}`, IsLegacy, false},
		{"later versions only", 400, `{"id":1,"error":{"code":-32022,"data":{"supported":["2027-01-01"]}}}`, IsModern, false},
		{"the version that it refused", 400, `{"id":1,"error":{"code":-32022,"data":{"supported":["2026-07-28","2025-11-25"]}}}`, Supports, false},
		{"it names none", 400, `{"id":1,"error":{"code":-32022}}`, IsModern, false},
		{"not initialized", 400, `{"id":null,"error":{"code":-32000,"message":"Server not initialized"}}`, IsLegacy, true},
		{"invalid arguments", 400, `{"id":1,"error":{"code":-32602}}`, IsLegacy, false},
		{"400, empty", 400, "", IsLegacy, true},
		{"404 of a gateway", 404, "not found", IsLegacy, true},
		{"405", 405, "", IsLegacy, true},
		{"500", 500, "", IsLegacy, false},
		{"501", 501, "", IsLegacy, false},
		{"502", 502, "", NoEvidence, false},
		{"401", 401, "", NoEvidence, false},
		{"403", 403, "", NoEvidence, false},
		{"408", 408, "", NoEvidence, false},
		{"429", 429, "", NoEvidence, false},
		{"no answer", 0, "", NoEvidence, false},
	} {
		o := Outcome{Status: tt.status}
		if m, ok := Parse([]byte(tt.body)); ok {
			o.Answer = m
		}
		o.classify("", tt.body, &Session{})
		if got := o.Evidence(); got != tt.want {
			t.Errorf("%s: %d, expected %d", tt.name, got, tt.want)
		}
		if got := o.Odd(); got != tt.odd {
			t.Errorf("%s: odd is %v", tt.name, got)
		}
	}
}

// refusals are responses with which servers refuse a request before they look for the tool. The names are those of the libraries, with the
// versions that send the response. VERSION is the version of the request.
var refusals = []struct {
	source string
	status int
	kind   string
	body   string
	want   Reason
}{
	{"typescript-sdk 1.10 to 2, kotlin-sdk, cloudflare/agents", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: Mcp-Session-Id header is required"), UnknownSession},
	{"typescript-sdk 1.10 to 2, kotlin-sdk", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: Server not initialized"), UnknownSession},
	{"typescript-sdk 1, examples; mcp-proxy; kotlin-sdk", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: No valid session ID provided"), UnknownSession},
	{"typescript-sdk 2, examples", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: Session ID required"), UnknownSession},
	{"typescript-sdk, kotlin-sdk, cloudflare/agents, mcp-proxy", 404, jsonType, rpcRefusal(-32001, "null", "Session not found"), UnknownSession},
	{"many servers with express and typescript-sdk", 400, jsonType, rpcRefusal(-32000, "null", "Invalid or missing session ID"), UnknownSession},
	{"many servers with express and typescript-sdk", 400, jsonType, `{"error":"No transport found for sessionId"}`, UnknownSession},
	{"python-sdk 1.8 to 1.25", 400, "text/plain; charset=utf-8", "Bad Request: No valid session ID provided", UnknownSession},
	{"python-sdk, also in fastmcp", 400, jsonType, rpcRefusal(-32600, `"server-error"`, "Bad Request: Missing session ID"), UnknownSession},
	{"python-sdk 1.26 and later, also in fastmcp", 404, jsonType, rpcRefusal(-32600, `"server-error"`, "Session not found"), UnknownSession},
	{"python-sdk, swift-sdk", 404, jsonType, rpcRefusal(-32600, "null", "Not Found: Invalid or expired session ID"), UnknownSession},
	{"go-sdk", 404, "text/plain; charset=utf-8", "session not found\n", UnknownSession},
	{"mcp-go 0.30 to 0.43", 400, "text/plain; charset=utf-8", "Invalid session ID\n", UnknownSession},
	{"mcp-go 0.44 and later", 404, "text/plain; charset=utf-8", "Invalid session ID\n", UnknownSession},
	{"mcp-go", 404, "text/plain; charset=utf-8", "Session terminated\n", UnknownSession},
	{"rust-sdk 0.17 and later", 404, "", "Not Found: Session not found", UnknownSession},
	{"rust-sdk 0.17 and later", 400, "", "Bad Request: Session ID is required", UnknownSession},
	{"rust-sdk before 0.17", 401, "", "Unauthorized: Session not found", UnknownSession},
	{"java-sdk", 404, jsonType, `{"jsonRpcError":{"code":-32603,"message":"Session not found: s"},"message":"Session not found: s"}`, UnknownSession},
	{"java-sdk", 400, jsonType, `{"jsonRpcError":{"code":-32601,"message":"Session ID required in mcp-session-id header"},"message":"Session ID required in mcp-session-id header"}`, UnknownSession},
	{"csharp-sdk 1", 404, jsonType, rpcRefusal(-32001, "null", "Session not found"), UnknownSession},
	{"csharp-sdk 2", 404, jsonType, rpcRefusal(-32001, "7", "Session not found"), UnknownSession},
	{"csharp-sdk 0.9 to 1.1", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: A new session can only be created by an initialize request. Include a valid Mcp-Session-Id header for non-initialize requests."), UnknownSession},
	{"csharp-sdk 0.4 to 1", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: The Mcp-Session-Id header is not supported in stateless mode"), UnknownSession},
	{"php-sdk", 400, jsonType, rpcRefusal(-32600, `""`, "A valid session id is REQUIRED for non-initialize requests."), UnknownSession},
	{"php-sdk", 404, jsonType, rpcRefusal(-32600, `""`, "Session not found or has expired."), UnknownSession},
	{"ruby-sdk", 400, jsonType, rpcRefusal(-32600, "null", "Missing session ID"), UnknownSession},
	{"swift-sdk", 400, jsonType, rpcRefusal(-32600, "null", "Bad Request: Session not initialized"), UnknownSession},
	{"swift-sdk", 400, jsonType, rpcRefusal(-32600, "null", "Bad Request: Missing MCP-Session-Id header"), UnknownSession},

	{"typescript-sdk 1.13 to 1.24, kotlin-sdk", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: Unsupported protocol version (supported versions: 2025-06-18, 2025-03-26, 2024-11-05, 2024-10-07)"), UnsupportedVersion},
	{"typescript-sdk 1.25 and later, cloudflare/agents", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: Unsupported protocol version: VERSION (supported versions: 2025-06-18, 2025-03-26)"), UnsupportedVersion},
	{"python-sdk 1.10 and later, also in fastmcp; ruby-sdk", 400, jsonType, rpcRefusal(-32600, `"server-error"`, "Bad Request: Unsupported protocol version: VERSION. Supported versions: 2024-11-05, 2025-03-26"), UnsupportedVersion},
	{"swift-sdk", 400, jsonType, rpcRefusal(-32600, "null", "Bad Request: Unsupported protocol version: VERSION. Supported: 2025-03-26"), UnsupportedVersion},
	{"go-sdk", 400, "text/plain; charset=utf-8", "Bad Request: Unsupported protocol version (supported versions: 2025-11-25,2025-06-18,2025-03-26)\n", UnsupportedVersion},
	{"go-sdk 1.7", 400, "text/plain; charset=utf-8", "Bad Request: protocol version \"VERSION\" is only supported on stateless HTTP servers (set StreamableHTTPOptions.Stateless = true)\n", UnsupportedVersion},
	{"rust-sdk", 400, "", "Bad Request: Unsupported MCP-Protocol-Version: VERSION", UnsupportedVersion},
	{"csharp-sdk 0.9 to 1", 400, jsonType, rpcRefusal(-32000, "null", "Bad Request: The MCP-Protocol-Version header value 'VERSION' is not supported."), UnsupportedVersion},
	{"php-sdk, August 2026", 400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-06-18"]}}}`, UnsupportedVersion},
}

// rpcRefusal returns a JSON-RPC error.
func rpcRefusal(code int, id, message string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, id, code, message)
}

// A call that a server refuses because of its session or version is sent again, once. Letter case and blanks of the response do not matter.
func TestRefusalsOfServers(t *testing.T) {
	for _, tt := range refusals {
		for _, change := range []func(string) string{func(s string) string { return s }, strings.ToUpper, func(s string) string { return strings.ReplaceAll(s, ": ", ":  ") }} {
			text := strings.ReplaceAll(tt.body, "VERSION", "2025-11-25")
			if tt.kind == "" || strings.HasPrefix(tt.kind, "text/") {
				text = change(text)
			}
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) { say(w, tt.kind, tt.status, text) })
			o := s.link().Exchange(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, request(t, call))
			step := map[Reason]Step{UnknownSession: Reopen, UnsupportedVersion: Switch}[tt.want]
			if o.Reason != tt.want || o.Kind != Refused || o.Next(Tried{}, false) != step {
				t.Errorf("%s: %d %s: kind %d, reason %d, step %d", tt.source, tt.status, text, o.Kind, o.Reason, o.Next(Tried{}, false))
			}
			if got := o.Next(Tried{Reopen: 1, Switch: 1}, false); got != Deliver && !strings.Contains(tt.body, "-32022") {
				t.Errorf("%s: step %d after that", tt.source, got)
			}
		}
	}
}

package mcphttp

import (
	"errors"
	"testing"

	"mcpauth/internal/jsonscan"
)

// Only 401, 403, a header mismatch, an unsupported version and an unknown session prove that a request was not carried out. Any other
// outcome is final, unless the caller knows that a second request does no harm.
func TestWhatMayBeSentAgain(t *testing.T) {
	legacy := &Session{Version: "2025-11-25", ID: "s"}
	stateless := &Session{Version: "2025-11-25"}
	modern := &Session{}
	rpc := func(code, message string) string {
		return `{"jsonrpc":"2.0","id":1,"error":{"code":` + code + `,"message":"` + message + `"}}`
	}
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
		{"unsupported version", modern, 400, rpc("-32022", "unsupported"), Refused, UnsupportedVersion, Switch, Switch, Deliver},
		{"unsupported version in words, no code", modern, 400, "Bad Request: Unsupported protocol version (supported versions: 2025-11-25)", Refused, UnsupportedVersion, Switch, Switch, Deliver},
		{"unsupported version, TypeScript", modern, 400, rpc("-32000", "Bad Request: Unsupported protocol version: 2026-07-28"), Refused, UnsupportedVersion, Switch, Switch, Deliver},
		{"those words with another status", modern, 500, "unsupported protocol version", Lost, NoReason, Deliver, Again, Again},
		{"unknown session", legacy, 404, "", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, with a code", legacy, 404, rpc("-32001", "Session not found"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, 400", legacy, 400, rpc("-32000", "Bad Request: No valid session ID provided"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"unknown session, 401", legacy, 401, "Unauthorized: Session not found", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"401, no session was named", stateless, 401, "Unauthorized: Session not found", Refused, Unauthorized, Deliver, Deliver, Deliver},
		{"a session is needed now", stateless, 400, "Missing session", Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"not initialized", stateless, 400, rpc("-32000", "Bad Request: Server not initialized"), Refused, UnknownSession, Reopen, Reopen, Deliver},
		{"404 without a session", stateless, 404, "", Answered, NoReason, Deliver, Deliver, Deliver},
		{"404 for a method", legacy, 404, rpc("-32601", "method not found"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"the arguments name a session", legacy, 400, rpc("-32602", "session is not a number"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"404 of a gateway", modern, 404, "not found", Answered, NoReason, Deliver, Deliver, Deliver},
		{"400 and -32000", modern, 400, rpc("-32000", "bad request"), Answered, NoReason, Deliver, Deliver, Deliver},
		{"400 and -32000 about a session, without sessions", modern, 400, rpc("-32000", "Server not initialized"), Answered, NoReason, Deliver, Deliver, Deliver},
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
		o.classify(text, tt.session)
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
		o.classify(tt.body, &Session{})
		if got := o.Evidence(); got != tt.want {
			t.Errorf("%s: %d, expected %d", tt.name, got, tt.want)
		}
		if got := o.Odd(); got != tt.odd {
			t.Errorf("%s: odd is %v", tt.name, got)
		}
	}
}

package mcphttp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A server runs the tool, and sends the answer with an HTTP error status, as if it had lost the session. The call is not sent again, in
// whatever form the answer is. A response with the id of the call is the answer.
func TestAnswerWithAnErrorStatus(t *testing.T) {
	const lost, unknown = "Session not found", "Bad Request: No valid session ID provided"
	withError := func(id, failure string) string { return `{"jsonrpc":"2.0","id":` + id + `,"error":` + failure + `}` }
	object := func(text string) string { return `{"code":-32000,"message":"` + text + `"}` }
	const paid = `{"jsonrpc":"2.0","id":7,"result":{"isError":true,"content":[]}}`
	for _, tt := range []struct {
		name, kind, body string
		status           int
		answer           string // raw
		again            bool   // a call that may run twice is sent again
	}{
		{"a result", jsonType, paid, 404, paid, false},
		{"a result, 400", jsonType, paid, 400, paid, false},
		{"a result, 429", jsonType, paid, 429, paid, false},
		{"a result, 500", jsonType, paid, 500, paid, false},
		{"a result, the id as text", jsonType, `{"jsonrpc":"2.0","id":"7","result":{}}`, 404, `{"jsonrpc":"2.0","id":"7","result":{}}`, false},
		{"a result in a batch", jsonType, "[" + progress + "," + paid + "]", 404, paid, false},
		{"a result after an error of no request", jsonType, "[" + withError("null", object(lost)) + "," + paid + "]", 404, paid, false},
		{"a result after white space and a BOM", jsonType, "\ufeff\n" + paid + "\n", 404, paid, false},
		{"a result and a text", jsonType, `{"jsonrpc":"2.0","id":7,"result":{},"message":"` + lost + `"}`, 404, `{"jsonrpc":"2.0","id":7,"result":{},"message":"` + lost + `"}`, false},
		{"a result without an id", jsonType, `{"jsonrpc":"2.0","result":{},"message":"` + lost + `"}`, 404, "", true},
		{"a result with another id", jsonType, `{"jsonrpc":"2.0","id":"x","result":{}}`, 404, "", true},
		{"a result with the number in another form", jsonType, `{"jsonrpc":"2.0","id":7.0,"result":{}}`, 404, "", true},
		{"an error with the number in another form", jsonType, withError("7e0", object(lost)), 404, "", true},
		{"an error as text", jsonType, withError("7", `"charged, but the receipt was not found"`), 404, "", true},
		{"an error as text, in the words of a library", jsonType, withError("7", `"`+lost+`"`), 404, "", true},
		{"an error as a list", jsonType, withError("7", `["`+lost+`"]`), 404, "", true},
		{"an error in a batch", jsonType, "[" + withError("7", object("charged")) + "]", 404, withError("7", object("charged")), true},
		{"an error in a batch, in the words of a library", jsonType, "[" + withError("7", object(lost)) + "]", 404, withError("7", object(lost)), true},
		{"an error and a result", jsonType, "[" + withError("7", object(lost)) + "," + paid + "]", 404, withError("7", object(lost)), true},
		{"an error after a BOM", jsonType, "\ufeff" + withError("7", object("charged")), 404, withError("7", object("charged")), true},
		{"an error with two ids", jsonType, `{"jsonrpc":"2.0","id":7,"id":null,"error":` + object(lost) + `}`, 404, `{"jsonrpc":"2.0","id":7,"id":null,"error":` + object(lost) + `}`, true},
		{"an error as text, 400", jsonType, withError("7", `"`+unknown+`"`), 400, "", true},
		{"an error in a batch, 400", jsonType, "[" + withError("7", object(unknown)) + "]", 400, withError("7", object(unknown)), true},
		{"an error after a BOM, 400", jsonType, "\ufeff" + withError("7", object(unknown)), 400, withError("7", object(unknown)), true},
		{"an error with the number in another form, 400", jsonType, withError("7.0", object(unknown)), 400, "", true},
		{"a version in a batch", jsonType, "[" + withError("7", object("Bad Request: Unsupported protocol version: 2025-11-25. Supported versions: 2025-06-18")) + "]", 400,
			withError("7", object("Bad Request: Unsupported protocol version: 2025-11-25. Supported versions: 2025-06-18")), true},
		{"an error and the words of a library beside it", jsonType, `{"jsonrpc":"2.0","id":7,"error":{"code":1},"message":"` + lost + `"}`, 404,
			`{"jsonrpc":"2.0","id":7,"error":{"code":1},"message":"` + lost + `"}`, true},
		{"an event", eventType, "data: " + paid + "\n\n", 404, "", true},
		{"two messages", "text/plain", progress + "\n" + paid, 404, "", true},
		{"a result that is too long", jsonType, `{"jsonrpc":"2.0","result":{"text":"` + strings.Repeat("a", 1<<20) + `"},"id":7}`, 404, "", true},
		{"the words of a library in the call's 401", jsonType, `{"jsonrpc":"2.0","id":7,"result":{},"message":"Unauthorized: ` + lost + `"}`, 401, "", false},
	} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) { say(w, tt.kind, tt.status, tt.body) })
		o := s.link().Exchange(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, request(t, call))
		if step := o.Next(Tried{}, false); step != Deliver || string(o.Answer.Raw) != tt.answer || (o.Err == nil) != (tt.answer != "") {
			t.Errorf("%s: step %d, answer %.200q, %v", tt.name, step, o.Answer.Raw, o.Err)
		}
		if again := o.Next(Tried{}, true) != Deliver; again != tt.again {
			t.Errorf("%s: sent again if that does no harm: %v", tt.name, again)
		}
	}
}

// A response that is cut off proves nothing, because the missing part may be the answer.
func TestErrorThatIsCutOff(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ Message) {
		w.Header().Set("Content-Length", "100")
		say(w, "text/plain", 404, "")
	})
	if o := s.link().Exchange(t.Context(), &Session{Version: "2025-11-25", ID: "s"}, request(t, call)); o.Next(Tried{}, false) != Deliver || o.Err == nil {
		t.Errorf("reason %d, %v", o.Reason, o.Err)
	}
}

// With a 2xx status, an error without an id is the answer only if no response with the id of the call follows. It proves nothing if it comes in
// an event stream, or if the response may contain the answer of a tool that has run.
func TestErrorWithoutAnID(t *testing.T) {
	const refused, own, number = `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"m","data":{"supported":["2025-11-25"]}}}`,
		`{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"m"}}`, `{"jsonrpc":"2.0","id":7.0,"result":{}}`
	const twoIDs = `{"jsonrpc":"2.0","id":7,"id":null,"error":{"code":-32022,"message":"m"}}`
	event := func(messages ...string) string { return "data: " + strings.Join(messages, "\n\ndata: ") + "\n\n" }
	batch := func(messages ...string) string { return "[" + strings.Join(messages, ",") + "]" }
	for _, tt := range []struct {
		name, kind, body string
		cut, open        bool // the response breaks off, or stays open
		answer           string
		step             Step
	}{
		{"alone", jsonType, refused, false, false, refused, Switch},
		{"in an array", jsonType, batch(progress, refused), false, false, refused, Switch},
		{"before a result", jsonType, batch(refused, result), false, false, result, Deliver},
		{"after a result", jsonType, batch(result, refused), false, false, result, Deliver},
		{"before an error", jsonType, batch(refused, own), false, false, own, Deliver},
		{"before a result with the number in another form", jsonType, batch(refused, number), false, false, refused, Deliver},
		{"with a second id", jsonType, twoIDs, false, false, twoIDs, Deliver},
		{"an error of the call before a result", jsonType, batch(own, result), false, false, own, Deliver},
		{"in a stream", eventType, event(refused), false, false, refused, Deliver},
		{"in a stream, before a result", eventType, event(refused, progress, result), false, false, result, Deliver},
		{"in a stream, before an error", eventType, event(refused, own), false, false, own, Switch},
		{"in one event before a result", eventType, event(batch(refused, result)), false, false, result, Deliver},
		{"in one event after a result", eventType, event(batch(result, refused)), false, false, result, Deliver},
		{"an error of the call before a result in one event", eventType, event(batch(own, result)), false, false, own, Deliver},
		{"in a stream that breaks off", eventType, event(refused, progress), true, false, refused, Deliver},
		{"in a stream that stays open", eventType, event(refused, refused), false, true, refused, Deliver},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ Message) {
			if tt.cut {
				w.Header().Set("Content-Length", fmt.Sprint(len(tt.body)+10))
			}
			say(w, tt.kind, 200, tt.body)
			if tt.open {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
		})
		o := s.link().Exchange(t.Context(), &Session{}, request(t, modernCall))
		if step := o.Next(Tried{}, false); string(o.Answer.Raw) != tt.answer || step != tt.step || o.Err != nil || len(s.requests()) != 1 {
			t.Errorf("%s: answer %s, step %d, %v, %d requests", tt.name, o.Answer.Raw, step, o.Err, len(s.requests()))
		}
	}
}

// An error without an id does not answer a request whose id is an empty string.
func TestAbsentID(t *testing.T) {
	if SameID(nil, []byte(`""`)) || SameID([]byte(`""`), nil) || !SameID([]byte(`""`), []byte(`""`)) {
		t.Error("an absent id equals an empty one")
	}
}

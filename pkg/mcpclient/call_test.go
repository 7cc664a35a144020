package mcpclient

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
)

// A server that refuses the headers of a call has changed the tool: its definition is fetched anew and the call repeated, once.
func TestCallHeaderMismatch(t *testing.T) {
	const old = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":3600000,"tools":[{"name":"region","inputSchema":{"type":"object","properties":{"region":{"type":"string"}}}}]}}`
	const refused = `{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"header mismatch"}}`
	for _, tt := range []struct {
		name     string
		stubborn bool // refuses whatever comes
		list     string
		want     []string
	}{
		{"a new definition helps", false, old, []string{"tools/list", "tools/call", "tools/list", "tools/call"}},
		{"it does not", true, old, []string{"tools/list", "tools/call", "tools/list", "tools/call"}},
		{"the definition is the same", true, "", []string{"tools/list", "tools/call", "tools/list"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, modern(hour, nil))
			lists := 0
			s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				body := ""
				switch {
				case rpc == "tools/list":
					if lists++; lists == 1 {
						body = tt.list
					}
				case tt.stubborn:
					body = refused
				}
				if body == "" {
					return false
				}
				data, _ := io.ReadAll(r.Body)
				m, _ := parseMessage(data)
				w.Header().Set("Content-Type", "application/json")
				if rpc == "tools/call" {
					w.WriteHeader(http.StatusBadRequest)
				}
				w.Write(withID(t, body, m.id))
				return true
			})
			r, err := client(t, s).Call(t.Context(), "region", Arguments{Args: []Arg{{Name: "region", Value: "x"}}})
			var rpc *RPCError
			switch {
			case tt.stubborn && (!errors.As(err, &rpc) || rpc.Code != codeHeaderMismatch):
				t.Errorf("expected the server's refusal, got %v", err)
			case !tt.stubborn && (err != nil || r.Content[0].Text != "ok"):
				t.Errorf("got %+v, %v", r, err)
			}
			if calls := s.requests("tools/call"); !tt.stubborn && calls[len(calls)-1].header.Get("Mcp-Param-Region") != "x" {
				t.Errorf("the second call has the headers %v", calls[len(calls)-1].header)
			}
			wantSeen(t, s, tt.want...)
		})
	}
}

// withID answers the request of that id.
func withID(t *testing.T, answer string, id json.RawMessage) []byte {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(answer), &m); err != nil {
		t.Fatal(err)
	}
	m["id"] = id
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What follows an answer: a call is sent again only when the answer proves that it was not carried out.
func TestNext(t *testing.T) {
	call := outcome{session: eraModern, known: eraModern, call: true, sent: true}
	with := func(change func(*outcome)) outcome {
		o := call
		change(&o)
		return o
	}
	lost := with(func(o *outcome) { o.lost = true })
	session := with(func(o *outcome) {
		o.session, o.known, o.held, o.status = eraLegacy, eraLegacy, true, http.StatusNotFound
	})
	for _, tt := range []struct {
		name  string
		o     outcome
		tried tally
		safe  bool
		want  step
	}{
		{"a result", with(func(o *outcome) { o.result = true }), tally{}, false, deliver},
		{"authorization given up", with(func(o *outcome) { o.auth, o.lost = true, true }), tally{}, true, deliver},
		{"lost, and it might do harm", lost, tally{}, false, deliver},
		{"lost, harmless", lost, tally{}, true, again},
		{"lost, harmless, twice", lost, tally{again: 1}, true, again},
		{"lost, harmless, three times", lost, tally{again: 2}, true, deliver},
		{"lost, no call", with(func(o *outcome) { o.lost, o.call = true, false }), tally{}, false, again},
		{"500 to a call", with(func(o *outcome) { o.status = 500 }), tally{}, true, deliver},
		{"408", with(func(o *outcome) { o.status = 408 }), tally{}, false, deliver},
		{"408, harmless", with(func(o *outcome) { o.status = 408 }), tally{}, true, again},
		{"an error of the server", with(func(o *outcome) { o.code, o.status = codeInvalidParams, 400 }), tally{}, false, deliver},
		{"never sent", with(func(o *outcome) { o.sent = false }), tally{}, false, renew},
		{"never sent, twice", with(func(o *outcome) { o.sent = false }), tally{renew: true}, false, deliver},
		{"lost session", session, tally{}, false, renew},
		{"lost session, twice", session, tally{renew: true}, false, deliver},
		{"404 without a session", with(func(o *outcome) { o.session, o.known, o.status = eraLegacy, eraLegacy, http.StatusNotFound }), tally{}, false, deliver},
		{"a legacy server's 400", with(func(o *outcome) { o.known, o.status = eraUnknown, 400 }), tally{}, false, fallBack},
		{"the same after falling back", with(func(o *outcome) { o.known, o.status = eraUnknown, 400 }), tally{fallBack: true}, false, deliver},
		{"403 proves no era", with(func(o *outcome) { o.known, o.status = eraUnknown, 403 }), tally{}, false, deliver},
		{"a modern server's 400 is about the call", with(func(o *outcome) { o.code, o.status = codeInvalidParams, 400 }), tally{}, false, deliver},
		{"a modern server that became a legacy one", with(func(o *outcome) { o.code, o.status = -32000, 400 }), tally{}, false, fallBack},
		{"it names only earlier versions", with(func(o *outcome) { o.code, o.supported = codeUnsupportedVersion, `["2025-11-25"]` }), tally{}, false, fallBack},
		{"it names the version that it refused", with(func(o *outcome) { o.code, o.supported = codeUnsupportedVersion, `["2026-07-28"]` }), tally{}, false, again},
		{"overtook the handshake", with(func(o *outcome) { o.session, o.known, o.early, o.code = eraLegacy, eraLegacy, true, codeInvalidRequest }), tally{}, false, hurry},
		{"did so twice", with(func(o *outcome) { o.session, o.known, o.early, o.code = eraLegacy, eraLegacy, true, codeInvalidRequest }), tally{hurry: true}, false, deliver},
	} {
		if got := next(tt.o, tt.tried, tt.safe); got != tt.want {
			t.Errorf("%s: step %d, expected %d", tt.name, got, tt.want)
		}
	}
}

package mcpclient

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"mcpauth/internal/mcphttp"
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
			case tt.stubborn && (!errors.As(err, &rpc) || rpc.Code != mcphttp.CodeHeaderMismatch):
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

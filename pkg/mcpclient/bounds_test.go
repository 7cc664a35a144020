package mcpclient

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/mcphttp"
)

// A request of an earlier revision gets no reply if its id has more than 1000 bytes. A question of more than 1 MiB is refused.
func TestLargeRequestsOfTheServer(t *testing.T) {
	id := func(n int) string { return `"` + strings.Repeat("a", n-2) + `"` }
	question := func(n int) string {
		params := `{"message":"m","requestedSchema":{}}`
		return strings.Repeat(" ", n-len(params)) + params
	}
	asks := func(id, method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"x":%s}}`, id, method, params)
	}
	for _, tt := range []struct{ name, request, want string }{
		{"a short id", asks(id(mcphttp.MaxRequestID), "ping", "1"), `"result":{}`},
		{"a long id", asks(id(mcphttp.MaxRequestID+1), "ping", "1"), ""},
		{"a long method", asks("1", strings.Repeat("a", 2000), "1"), `"code":-32601`},
		{"a question", asks("1", "elicitation/create", question(maxEntry-len(`{"x":}`))), `"action":"decline"`},
		{"a large question", asks("1", "elicitation/create", question(maxEntry)), `"code":-32602`},
		{"no question", `{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}`, `"code":-32602`},
	} {
		script := &scripted{version: "2025-11-25"}
		s := newServer(t, script)
		replies := func() (texts []string) {
			for _, r := range s.requests("") {
				if m, ok := mcphttp.Parse(r.body); ok && m.IsResponse() {
					texts = append(texts, string(r.body))
				}
			}
			return texts
		}
		script.call = func(w http.ResponseWriter, r *http.Request, m mcphttp.Message, n int) {
			events(tt.request, `{"jsonrpc":"2.0","id":"last","method":"ping"}`)(w, r, m, n)
			w.(http.Flusher).Flush()
			wanted := 1
			if tt.want != "" {
				wanted = 2
			}
			for range 1000 {
				if len(replies()) == wanted {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			events(doneNow)(w, r, m, n)
		}
		c := client(t, s)
		if got := callText(t, c, "t"); got != "done" {
			t.Errorf("%s: %q", tt.name, got)
		}
		c.Close()
		got := slices.DeleteFunc(replies(), func(reply string) bool { return strings.Contains(reply, `"id":"last"`) })
		if (len(got) == 1) != (tt.want != "") || len(got) > 1 || len(got) == 1 && !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: replies %.300q", tt.name, got)
		}
	}
}

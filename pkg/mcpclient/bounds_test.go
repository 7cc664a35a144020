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

// A server can make the client send a requestState of at most 1 MiB again, and a cursor of at most 1 MiB. The questions of one result have at
// most 1 MiB.
func TestRepeatedTextsAreBounded(t *testing.T) {
	text := func(n int) string { return `"` + strings.Repeat("a", n-2) + `"` }
	questions := func(n int) string {
		const before, after = `{"a":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{},"x":`, `}}}`
		return before + text(n-len(before+after)) + after
	}
	for _, extra := range []int{0, 1} {
		for member, text := range map[string]string{"requestState": text(maxEntry + extra), "inputRequests": questions(maxEntry + extra), "nextCursor": text(maxEntry + extra)} {
			script := &scripted{call: answers(`{"resultType":"input_required","`+member+`":`+text+`}`, done)}
			if member == "nextCursor" {
				script.call, script.list = answers(done), func(cursor string) string {
					page := `{"resultType":"complete","ttlMs":3600000,"tools":[` + strings.ReplaceAll(echoTool, `"t"`, `"other"`) + `],"nextCursor":` + text + `}`
					if cursor != "" {
						page = `{"resultType":"complete","ttlMs":3600000,"tools":[` + echoTool + `]}`
					}
					return page
				}
			}
			s := newServer(t, script)
			_, err := client(t, s).Call(t.Context(), "t", Arguments{})
			if good := extra == 0; good != (err == nil) || !good && !strings.Contains(err.Error(), "more than 1048576 bytes") {
				t.Errorf("%s of %d bytes: %v", member, len(text), err)
			}
			for _, r := range slices.Concat(s.requests("tools/call"), s.requests("tools/list")) {
				if len(r.body) > maxEntry+1000 {
					t.Errorf("%s: a request has %d bytes", member, len(r.body))
				}
			}
		}
	}
}

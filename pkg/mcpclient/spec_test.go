package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// Each row tests one rule of the specification for clients. The name of a row is the section. Rules about headers, event streams and
// sessions of the transport are in internal/mcphttp.

const echoTool = `{"name":"t","inputSchema":{"type":"object"}}`

// scripted is a server that answers according to its fields. It is a modern server unless version is set.
type scripted struct {
	version string                                                                 // negotiated by initialize; empty: 2026-07-28
	list    func(cursor string) string                                             // result of tools/list; nil: one tool t
	call    func(w http.ResponseWriter, r *http.Request, m mcphttp.Message, n int) // answers the n-th tools/call, counted from 1
	calls   int
	mu      sync.Mutex
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m, _ := mcphttp.Parse(body)
	modern := r.Header.Get("Mcp-Protocol-Version") == mcphttp.Modern
	switch {
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case modern != (s.version == ""):
		answerJSON(w, 400, m, `"error":{"code":-32022,"message":"unsupported","data":{"supported":["`+orDefault(s.version, mcphttp.Modern)+`"]}}`)
	case m.Method == "initialize":
		w.Header().Set("Mcp-Session-Id", "s1")
		answerJSON(w, 200, m, `"result":{"protocolVersion":"`+s.version+`","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}`)
	case m.Method == "tools/list" && s.list != nil:
		answerJSON(w, 200, m, `"result":`+s.list(string(jsonscan.Member(m.Params, "cursor"))))
	case m.Method == "tools/list":
		answerJSON(w, 200, m, `"result":{"resultType":"complete","ttlMs":3600000,"tools":[`+echoTool+`]}`)
	case m.Method == "tools/call":
		s.mu.Lock()
		s.calls++
		n := s.calls
		s.mu.Unlock()
		s.call(w, r, m, n)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func answerJSON(w http.ResponseWriter, status int, m mcphttp.Message, rest string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, rest)
}

// answers returns a script that sends these results in order.
func answers(results ...string) func(http.ResponseWriter, *http.Request, mcphttp.Message, int) {
	return func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message, n int) {
		answerJSON(w, 200, m, `"result":`+results[min(n, len(results))-1])
	}
}

// events answers with a stream of messages, in which it replaces %ID% by the id of the call and %TOKEN% by the progress token.
func events(list ...string) func(http.ResponseWriter, *http.Request, mcphttp.Message, int) {
	return func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message, _ int) {
		w.Header().Set("Content-Type", "text/event-stream")
		token := string(jsonscan.Member(jsonscan.Member(m.Params, "_meta"), "progressToken"))
		for _, e := range list {
			fmt.Fprintf(w, "data: %s\n\n", strings.NewReplacer("%ID%", string(m.ID), "%TOKEN%", token).Replace(e))
			w.(http.Flusher).Flush()
		}
	}
}

const (
	done    = `{"resultType":"complete","content":[{"type":"text","text":"done"}]}`
	doneNow = `{"jsonrpc":"2.0","id":%ID%,"result":` + done + `}`
)

func paramsOf(t *testing.T, r recorded) json.RawMessage {
	t.Helper()
	m, ok := mcphttp.Parse(r.body)
	if !ok {
		t.Fatalf("no message: %s", r.body)
	}
	return m.Params
}

// Every request has the required _meta, and results are handled according to resultType (2026-07-28, Base Protocol).
func TestResultTypes(t *testing.T) {
	for _, tt := range []struct{ name, result, err string }{
		{"Result Types: complete", done, ""},
		{"Result Types: absent is complete", `{"content":[]}`, ""},
		{"Result Types: unknown is invalid", `{"resultType":"later"}`, `the result is of type "later", which this client does not support`},
		{"SEP-2663: a task without an id", `{"resultType":"task"}`, "a task that has no taskId"},
		{"SEP-2663: a task whose id is a flag", `{"resultType":"task","taskId":"--help","status":"working"}`, "taskId is not one word"},
		{"SEP-2663: a task whose id begins a line", `{"resultType":"task","taskId":"t1\nmcpauth: done","status":"working"}`, "taskId is not one word"},
		{"SEP-2663: a task whose id is a wildcard", `{"resultType":"task","taskId":"[-q]*","status":"working"}`, "taskId is not one word"},
		{"SEP-2663: a task whose id is two words", `{"resultType":"task","taskId":"t1 --help","status":"working"}`, "taskId is not one word"},
		{"Result Types: not a string", `{"resultType":7}`, "the result is of type 7"},
		{"MRTR: neither questions nor a state", `{"resultType":"input_required"}`, "requests input, but contains neither inputRequests nor requestState"},
		{"MRTR: a request that was not declared", `{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}`, `requests "sampling/createMessage", which the client did not offer`},
		{"Elicitation: a mode that was not declared", `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"video"}}}}`, "did not offer"},
	} {
		s := newServer(t, &scripted{call: answers(tt.result)})
		_, err := client(t, s).Call(t.Context(), "t", Arguments{})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
		var status *StatusError
		if err != nil && !errors.As(err, &status) {
			t.Errorf("%s: %T is not reported as a protocol error", tt.name, err)
		}
		for _, r := range append(s.requests("tools/call"), s.requests("tools/list")...) {
			meta := jsonscan.Member(paramsOf(t, r), "_meta")
			if jsonscan.Unquote(jsonscan.Member(meta, mcphttp.MetaVersion)) != r.header.Get("Mcp-Protocol-Version") ||
				jsonscan.Unquote(jsonscan.Member(jsonscan.Member(meta, mcphttp.MetaClient), "name")) != "mcpauth" ||
				string(jsonscan.Member(meta, mcphttp.MetaCapabilities)) != modernCapabilities {
				t.Errorf("%s: _meta is %s", tt.name, meta)
			}
		}
	}
	s := newServer(t, &scripted{list: func(string) string { return `{"resultType":"input_required","requestState":"x"}` }})
	if _, err := client(t, s).Tools(t.Context()); err == nil || !strings.Contains(err.Error(), `the result of tools/list is of type "input_required"`) {
		t.Errorf("MRTR, Supported Requests: %v", err)
	}
}

// The client returns requestState and its answers (2026-07-28, Multi Round-Trip Requests, Client Requirements).
func TestRetryWithInput(t *testing.T) {
	const ask = `{"resultType":"input_required","requestState":"a\u0062\/c","inputRequests":{"who":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{"n":{"type":"integer","default":12345678901234567890}}}}}}}`
	s := newServer(t, &scripted{call: answers(ask, `{"resultType":"input_required","inputRequests":{"w":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{}}}}}`, done, done)})
	c := client(t, s, func(c *Client) { c.Elicit = Policy{Defaults: true}.Elicit })
	for range 2 {
		if got := callText(t, c, "t"); got != "done" {
			t.Fatal(got)
		}
	}
	calls := s.requests("tools/call")
	ids := map[string]bool{}
	for i, want := range []struct{ state, responses string }{
		{"", ""},
		{`"a\u0062\/c"`, `{"who":{"action":"accept","content":{"n":12345678901234567890}}}`}, // echoed byte for byte
		{"", `{"w":{"action":"accept","content":{}}}`},                                       // the result had no requestState, so the repeated call has none
		{"", ""}, // another call
	} {
		p := paramsOf(t, calls[i])
		m, _ := mcphttp.Parse(calls[i].body)
		ids[string(m.ID)] = true
		if string(jsonscan.Member(p, "requestState")) != want.state || string(jsonscan.Member(p, "inputResponses")) != want.responses {
			t.Errorf("call %d: %s", i+1, p)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids of 4 requests", len(ids))
	}
}

// Cursors are returned unchanged, even if they are empty, and a list without end is cut off (Pagination, Implementation Guidelines).
func TestPagination(t *testing.T) {
	page := func(tools, rest string) string {
		return `{"resultType":"complete","ttlMs":1000,"tools":[` + tools + `]` + rest + `}`
	}
	tool := func(name string) string { return `{"name":"` + name + `","inputSchema":{"type":"object"}}` }
	for _, tt := range []struct {
		name    string
		list    func(n int, cursor string) string
		want    string // tools
		cursors string // as sent
		warned  string
	}{
		{"no cursor", func(int, string) string { return page(tool("a"), "") }, "a", "-", ""},
		{"null", func(int, string) string { return page(tool("a"), `,"nextCursor":null`) }, "a", "-", ""},
		{"an empty cursor goes on", func(n int, _ string) string {
			return []string{page(tool("a"), `,"nextCursor":""`), page(tool("b"), "")}[n]
		}, "a b", `- ""`, ""},
		{"a cursor is sent as it came", func(n int, _ string) string {
			return []string{page(tool("a"), `,"nextCursor":"\u00e9\/=="`), page(tool("b"), "")}[n]
		}, "a b", `- "\u00e9\/=="`, ""},
		{"a cursor that repeats", func(n int, _ string) string { return page(tool("a"), `,"nextCursor":"x"`) }, "a", `- "x"`, "repeats a cursor"},
		{"an empty cursor that repeats", func(n int, _ string) string { return page(tool("a"), `,"nextCursor":""`) }, "a", `- ""`, "repeats a cursor"},
		{"pages that overlap", func(n int, _ string) string {
			return []string{page(tool("a")+","+tool("b"), `,"nextCursor":"1"`), page(tool("b")+","+tool("c"), "")}[n]
		}, "a b c", `- "1"`, ""},
		{"no end", func(n int, _ string) string { return page(tool("a"), fmt.Sprintf(`,"nextCursor":"%d"`, n)) }, "a", "", "more than 250 pages"},
	} {
		n := -1
		s := newServer(t, &scripted{list: func(cursor string) string { n++; return tt.list(n, cursor) }})
		warned := []string{}
		c := client(t, s, func(c *Client) { c.Warn = func(s string) { warned = append(warned, s) } })
		list, err := c.Tools(t.Context())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var names, cursors []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		for _, r := range s.requests("tools/list") {
			cursors = append(cursors, orDefault(string(jsonscan.Member(paramsOf(t, r), "cursor")), "-"))
		}
		if strings.Join(names, " ") != tt.want || tt.cursors != "" && strings.Join(cursors, " ") != tt.cursors || len(cursors) > maxPages {
			t.Errorf("%s: tools %q, cursors %q", tt.name, names, cursors)
		}
		if len(warned) != min(len(tt.warned), 1) || tt.warned != "" && !strings.Contains(warned[0], tt.warned) {
			t.Errorf("%s: warned %q", tt.name, warned)
		}
	}
}

// The lists of resources, templates and prompts contain all pages unchanged (Pagination, Operations Supporting Pagination).
func TestPaginationOfOffers(t *testing.T) {
	pages := func(member, key string) []string {
		return []string{`"result":{"` + member + `":[{"` + key + `":"a", "x":1}],"nextCursor":"2"}`, `"result":{"` + member + `":[{"` + key + `":"b"}]}`}
	}
	s := newServer(t, http.HandlerFunc(script{"resources/list": pages("resources", "uri"), "resources/templates/list": pages("resourceTemplates", "uriTemplate"),
		"prompts/list": pages("prompts", "name")}.serve))
	c := client(t, s)
	c.prepare(t.Context())
	c.setEra(eraModern, mcphttp.Modern)
	resources, err := c.Resources(t.Context())
	if want := `{"resources":[{"uri":"a", "x":1},{"uri":"b"}],"resourceTemplates":[{"uriTemplate":"a", "x":1},{"uriTemplate":"b"}]}`; err != nil || string(resources.Raw) != want || len(resources.Resources) != 4 {
		t.Errorf("resources: %s, %v", resources.Raw, err)
	}
	prompts, err := c.Prompts(t.Context())
	if want := `{"prompts":[{"name":"a", "x":1},{"name":"b"}]}`; err != nil || string(prompts.Raw) != want || len(prompts.Prompts) != 2 {
		t.Errorf("prompts: %s, %v", prompts.Raw, err)
	}
}

// A call succeeds if the page with its tool was read before the request for a later page failed. The incomplete list is not cached.
func TestCallWithoutTheWholeList(t *testing.T) {
	const more = `{"resultType":"complete","ttlMs":3600000,"tools":[` + echoTool + `],"nextCursor":`
	for _, tt := range []struct {
		name string
		slow time.Duration // what a page takes
		list func(n int) string
	}{
		{"a page fails", 0, func(n int) string { return []string{more + `"1"}`, `0`}[n] }},
		{"pages take long", 3 * time.Second, func(n int) string { return more + fmt.Sprintf(`"%d"}`, n) }},
	} {
		n, now := -1, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		s := newServer(t, &scripted{call: answers(done), list: func(string) string { n++; now = now.Add(tt.slow); return tt.list(n) }})
		dir := t.TempDir()
		c := client(t, s, func(c *Client) { c.CacheDir, c.now = dir, func() time.Time { return now } })
		if got := callText(t, c, "t"); got != "done" || n > 3 {
			t.Errorf("%s: %q after %d pages", tt.name, got, n+1)
		}
		c.Close()
		if tools := client(t, s, func(c *Client) { c.CacheDir = dir }).KnownTools(); len(tools) != 0 {
			t.Errorf("%s: half a list is remembered", tt.name)
		}
	}
}

// A cached list of tools is used only for as long as the server allows (2026-07-28, Caching).
func TestCaching(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields string
		later  time.Duration
		lists  int // after a second Tools
	}{
		{"TTL: fresh", `"ttlMs":60000`, 59 * time.Second, 1},
		{"TTL: stale", `"ttlMs":60000`, 61 * time.Second, 2},
		{"TTL: 0", `"ttlMs":0`, time.Millisecond, 2},
		{"TTL: absent is 0", `"cacheScope":"public"`, time.Millisecond, 2},
		{"TTL: negative is 0", `"ttlMs":-5`, time.Millisecond, 2},
		{"TTL: no number", `"ttlMs":"long"`, time.Millisecond, 2},
	} {
		now, dir := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), t.TempDir()
		s := newServer(t, &scripted{list: func(string) string { return `{"resultType":"complete","tools":[` + echoTool + `],` + tt.fields + `}` }})
		for range 2 {
			c := client(t, s, func(c *Client) { c.CacheDir, c.now = dir, func() time.Time { return now } })
			if _, err := c.Tools(t.Context()); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			c.Close()
			now = now.Add(tt.later)
		}
		if n := len(s.requests("tools/list")); n != tt.lists {
			t.Errorf("%s: %d lists, expected %d", tt.name, n, tt.lists)
		}
	}
	// After notifications/tools/list_changed the cached list is not used (Caching, Interaction with Notifications).
	s := newServer(t, &scripted{call: events(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, doneNow)})
	c := client(t, s)
	for range 2 {
		callText(t, c, "t")
	}
	wantSeen(t, s, "tools/list", "tools/call", "tools/list", "tools/call")
}

// granting is an OAuth handler with the method Grant.
type granting struct {
	*fakeAuth
	grant string
}

func (g *granting) Grant(context.Context) (string, error) { return g.grant, nil }

// Cached data is used only for the grant that fetched it, even if the server declares it public, and Forget deletes it (Caching, Cache
// Scope Field).
func TestOneLoginDoesNotSeeTheOthersTools(t *testing.T) {
	for _, version := range []string{"", "2025-11-25"} {
		for _, scope := range []string{"public", "private"} {
			s := newServer(t, &scripted{version: version, call: answers(done), list: func(string) string {
				return `{"resultType":"complete","ttlMs":3600000,"cacheScope":"` + scope + `","tools":[` + echoTool + `]}`
			}})
			dir := t.TempDir()
			certificate := ""
			run := func(grant string) []string {
				s.seen()
				c := client(t, s, func(c *Client) {
					c.CacheDir, c.Auth, c.Certificate = dir, &granting{&fakeAuth{token: 1}, grant}, certificate
				})
				callText(t, c, "t")
				c.Close()
				return s.seen()
			}
			cold := run("ada")
			if got := run("ada"); !slices.Equal(got, []string{"tools/call"}) {
				t.Errorf("%s %s: warm: %q", version, scope, got)
			}
			if got := run("bob"); !slices.Equal(got, cold) {
				t.Errorf("%s %s: another login: %q, expected %q", version, scope, got, cold)
			}
			certificate = "other.pem"
			if got := run("ada"); !slices.Equal(got, cold) {
				t.Errorf("%s %s: another certificate: %q, expected %q", version, scope, got, cold)
			}
			certificate = ""
			c := client(t, s, func(c *Client) { c.CacheDir, c.Auth = dir, &granting{&fakeAuth{token: 1}, "bob"} })
			c.Forget()
			if got := s.seen(); (version != "") != slices.Equal(got, []string{"DELETE", "DELETE", "DELETE"}) {
				t.Errorf("%s %s: logout: %q", version, scope, got)
			}
			if len(c.KnownTools()) != 0 || len(c.cacheFiles("")) != 0 {
				t.Errorf("%s %s: after logout there is %q", version, scope, c.cacheFiles(""))
			}
			for _, grant := range []string{"ada", "bob"} {
				if got := run(grant); !slices.Equal(got, cold) {
					t.Errorf("%s %s: after logout: %q, expected %q", version, scope, got, cold)
				}
			}
		}
	}
}

// If the grant changes during a call, the session and the list of the previous grant are not cached for the new grant.
func TestLoginInMidCall(t *testing.T) {
	s := newServer(t, &scripted{version: "2025-11-25", call: answers(done)})
	auth := &granting{&fakeAuth{token: 1}, "ada"}
	dir := t.TempDir()
	c := client(t, s, func(c *Client) { c.CacheDir, c.Auth = dir, auth })
	callText(t, c, "t")
	auth.grant = "bob"
	s.seen()
	c.Close()
	wantSeen(t, s, "DELETE")
	c = client(t, s, func(c *Client) { c.CacheDir, c.Auth = dir, auth })
	s.seen()
	callText(t, c, "t")
	if got := s.seen(); !slices.Contains(got, "initialize") || !slices.Contains(got, "tools/list") {
		t.Errorf("the other login's list is used: %q", got)
	}
}

// Progress tokens are unique. Progress of other requests, and progress after the result, is not reported.
func TestProgressRules(t *testing.T) {
	const of = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`
	s := newServer(t, &scripted{call: events(fmt.Sprintf(of, "%TOKEN%", 1), fmt.Sprintf(of, `"other"`, 2), fmt.Sprintf(of, "7", 3),
		`{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"unknown"}}`, doneNow, fmt.Sprintf(of, "%TOKEN%", 4))})
	var got []float64
	c := client(t, s, func(c *Client) { c.Progress = func(p Progress) { got = append(got, p.Progress) } })
	tokens := map[string]bool{}
	for range 3 {
		callText(t, c, "t")
	}
	for _, r := range s.requests("tools/call") {
		token := jsonscan.Member(jsonscan.Member(paramsOf(t, r), "_meta"), "progressToken")
		if kind := jsonscan.Type(token); kind != "string" && kind != "integer" {
			t.Errorf("token %s", token)
		}
		tokens[string(token)] = true
		c.reportProgress(fmt.Appendf(nil, `{"progressToken":%s,"progress":5}`, token)) // sent on the stream of the session after the result
	}
	if len(tokens) != 3 || !slices.Equal(got, []float64{1, 1, 1}) {
		t.Errorf("tokens %v, progress %v", tokens, got)
	}
}

// A cancelled call sends notifications/cancelled with its id to a server of an earlier revision, and closes the stream to a server of
// 2026-07-28. initialize is never cancelled.
func TestCancellationRules(t *testing.T) {
	for _, tt := range []struct {
		version, hangs string
		cancelled      bool
	}{{"", "tools/call", false}, {"2025-11-25", "tools/call", true}, {"2025-06-18", "tools/list", true}, {"2025-11-25", "initialize", false}} {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		s := newServer(t, &scripted{version: tt.version, call: answers(done)})
		s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
			if rpc != tt.hangs || tt.version != "" && r.Header.Get("Mcp-Protocol-Version") == mcphttp.Modern {
				return false
			}
			cancel()
			<-r.Context().Done()
			close(gone)
			return true
		}
		c := client(t, s)
		if _, err := c.Call(ctx, "t", Arguments{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s %s: %v", tt.version, tt.hangs, err)
		}
		<-gone
		told := s.requests("notifications/cancelled")
		if (len(told) == 1) != tt.cancelled {
			t.Errorf("%s %s: told %d times", tt.version, tt.hangs, len(told))
		}
		if len(told) == 1 {
			asked := s.requests(tt.hangs)
			m, _ := mcphttp.Parse(asked[len(asked)-1].body)
			if id := jsonscan.Member(paramsOf(t, told[0]), "requestId"); string(id) != string(m.ID) || told[0].header.Get("Mcp-Session-Id") != "s1" {
				t.Errorf("cancelled %s, asked %s", id, m.ID)
			}
		}
	}
}

// The client answers requests of a 2025-11-25 server during a call. It ignores those of a 2026-07-28 server, because that revision has no
// server requests.
func TestServerRequests(t *testing.T) {
	const ask = `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{%s"message":"?","requestedSchema":{"type":"object","properties":{"n":{"type":"integer","default":1}}}}}`
	for _, tt := range []struct{ name, version, request, want string }{
		{"Ping", "2025-11-25", `{"jsonrpc":"2.0","id":9,"method":"ping"}`, `{"jsonrpc":"2.0","id":9,"result":{}}`},
		{"Capabilities: what was not offered", "2025-11-25", `{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}`, `{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"Method not found"}}`},
		{"Elicitation: no mode is a form", "2025-06-18", fmt.Sprintf(ask, ""), `{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"n":1}}}`},
		{"Elicitation: form", "2025-11-25", fmt.Sprintf(ask, `"mode":"form",`), `{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"n":1}}}`},
		{"Elicitation: a mode that was not declared", "2025-11-25", fmt.Sprintf(ask, `"mode":"video",`), `{"jsonrpc":"2.0","id":"q","error":{"code":-32602,"message":"the mode was not offered"}}`},
		{"Elicitation: an address is declined, and not opened", "2025-11-25", `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"url","message":"?","url":"%URL%","elicitationId":"1"}}`, `{"jsonrpc":"2.0","id":"q","result":{"action":"decline"}}`},
		{"Tasks, Associating Task-Related Messages", "2025-11-25", fmt.Sprintf(ask, `"_meta":{"progressToken":1,"io.modelcontextprotocol/related-task":{"taskId":"t1"}},`), `{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"n":1},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t1"}}}}`},
		{"Sending Messages: no responses", "", `{"jsonrpc":"2.0","id":9,"method":"ping"}`, ""},
	} {
		answered := make(chan []byte, 1)
		script := &scripted{version: tt.version}
		s := newServer(t, script)
		script.call = func(w http.ResponseWriter, r *http.Request, m mcphttp.Message, n int) {
			if tt.want == "" {
				events(tt.request, doneNow)(w, r, m, n)
				return
			}
			events(strings.ReplaceAll(tt.request, "%URL%", s.URL+"/form"))(w, r, m, n)
			select {
			case got := <-answered:
				if string(got) != tt.want {
					t.Errorf("%s: %s", tt.name, got)
				}
			case <-r.Context().Done():
			}
			events(doneNow)(w, r, m, n)
		}
		s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
			if rpc == "ping" || r.Method != http.MethodPost || r.Header.Get("Mcp-Method") != "" {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if m, ok := mcphttp.Parse(body); ok && m.IsResponse() {
				answered <- body
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		}
		c := client(t, s, func(c *Client) { c.Elicit = Policy{Defaults: true}.Elicit })
		if got := callText(t, c, "t"); got != "done" {
			t.Errorf("%s: %q", tt.name, got)
		}
		if slices.Contains(s.seen(), "GET") {
			t.Errorf("%s: an address was opened", tt.name)
		}
	}
}

// A stream of 2025-11-25 may contain any number of elicitation requests. The Elicitor receives at most 100 per call.
func TestFloodOfQuestions(t *testing.T) {
	var asked atomic.Int32
	script := &scripted{version: "2025-11-25"}
	s := newServer(t, script)
	script.call = func(w http.ResponseWriter, r *http.Request, m mcphttp.Message, n int) {
		for i := range 1000 {
			events(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"elicitation/create","params":{"message":"?","requestedSchema":{}}}`, i))(w, r, m, n)
		}
		events(doneNow)(w, r, m, n)
	}
	c := client(t, s, func(c *Client) {
		c.Elicit = func(context.Context, Elicitation) (Answer, error) {
			asked.Add(1)
			return Answer{}, errors.New("no")
		}
	})
	_, err := c.Call(t.Context(), "t", Arguments{})
	c.Close()
	if n := asked.Load(); n == 0 || n > 2*maxQuestions || err != nil && len(err.Error()) > 1000 {
		t.Errorf("%d questions, %.2000v", n, err)
	}
}

// The client sends the handshake first, and every later request has the session id and the version (2025-11-25, Lifecycle and Session
// Management).
func TestSessionRules(t *testing.T) {
	s := newServer(t, &scripted{version: "2025-06-18", call: answers(done)})
	c := client(t, s)
	callText(t, c, "t")
	s.mu.Lock()
	all := s.in
	s.mu.Unlock()
	for i, r := range all[1:] { // the first request detects the era
		session, version := r.header.Get("Mcp-Session-Id"), r.header.Get("Mcp-Protocol-Version")
		if first := i == 0; first && (r.rpc != "initialize" || session != "" || version != "") || !first && (session != "s1" || version != "2025-06-18") {
			t.Errorf("request %d: %s, session %q, version %q", i, r.rpc, session, version)
		}
	}
	if p := paramsOf(t, all[1]); jsonscan.Unquote(jsonscan.Member(p, "protocolVersion")) != "2025-11-25" || string(jsonscan.Member(p, "capabilities")) != legacyCapabilities {
		t.Errorf("initialize: %s", p)
	}
	if all[2].rpc != "notifications/initialized" {
		t.Errorf("after initialize comes %s", all[2].rpc)
	}
}

// Every request contains the trace context (SEP-414).
func TestTraceContext(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	env := map[string]string{"TRACEPARENT": parent, "TRACESTATE": "vendor=1", "BAGGAGE": "user=\"ada\"\n"}
	for _, version := range []string{"", "2025-11-25"} {
		s := newServer(t, &scripted{version: version, call: answers(done)})
		c := client(t, s, func(c *Client) { c.Trace = TraceFrom(func(name string) string { return env[name] }) })
		callText(t, c, "t")
		for _, r := range slices.Concat(s.requests("tools/call"), s.requests("tools/list"), s.requests("initialize")) {
			meta := jsonscan.Member(paramsOf(t, r), "_meta")
			for name, want := range map[string]string{"traceparent": parent, "tracestate": "vendor=1", "baggage": env["BAGGAGE"]} {
				if got := jsonscan.Unquote(jsonscan.Member(meta, name)); got != want {
					t.Errorf("%s %s: %s is %q", version, r.rpc, name, got)
				}
			}
		}
	}
	long := strings.Repeat("a", 8192)
	for value, want := range map[string]string{"x\n": "x\n", long: long, long + "a": "", "x\xff": ""} {
		if got := TraceFrom(func(string) string { return value }); got != (Trace{want, want, want}) {
			t.Errorf("%.20q: %.60q", value, got)
		}
	}
}

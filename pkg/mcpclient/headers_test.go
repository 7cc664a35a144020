package mcpclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A tool whose header annotations break a rule is not listed and not called, and Warn receives its name and the reason. Other tools stay in
// the list (2026-07-28, Custom Headers from Tool Parameters, Schema Extension). Earlier revisions have no such rule.
func TestHeaderAnnotations(t *testing.T) {
	const deep = `{"type":"object","properties":{"b":{"type":"string","x-mcp-header":"X"}}}`
	for _, tt := range []struct{ name, schema, reason string }{
		{"string, integer, boolean", `{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"integer","x-mcp-header":"B"},"c":{"type":"boolean","x-mcp-header":"C"}}}`, ""},
		{"nested objects", `{"properties":{"a":` + deep + `}}`, ""},
		{"a property of that name", `{"properties":{"x-mcp-header":{"type":"string"}}}`, ""},
		{"data that holds the word", `{"properties":{"a":{"type":"string","enum":["x-mcp-header"],"default":{"x-mcp-header":"A"}}}}`, ""},
		{"empty", `{"properties":{"a":{"type":"string","x-mcp-header":""}}}`, "has no header name"},
		{"no token", `{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}`, "is not a header name"},
		{"a line end", `{"properties":{"a":{"type":"string","x-mcp-header":"a\r\nb"}}}`, "is not a header name"},
		{"not ASCII", `{"properties":{"a":{"type":"string","x-mcp-header":"ä"}}}`, "is not a header name"},
		{"not unique, whatever the case", `{"properties":{"a":{"type":"string","x-mcp-header":"Aa"},"b":{"type":"string","x-mcp-header":"aA"}}}`, "is used twice"},
		{"a nested property before others", `{"properties":{"a":{"properties":{"b":{"type":"number","x-mcp-header":"A"},"c":{}}},"d":{}}}`, `property "a.b": `},
		{"number", `{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}`, "string, integer or boolean"},
		{"array", `{"properties":{"a":{"type":"array","x-mcp-header":"A"}}}`, "string, integer or boolean"},
		{"no type", `{"properties":{"a":{"x-mcp-header":"A"}}}`, "string, integer or boolean"},
		{"below items", `{"properties":{"a":{"type":"array","items":` + deep + `}}}`, "only in the schema of an argument"},
		{"below anyOf", `{"anyOf":[` + deep + `]}`, "only in the schema of an argument"},
		{"below not", `{"not":` + deep + `}`, "only in the schema of an argument"},
		{"below if", `{"if":` + deep + `}`, "only in the schema of an argument"},
		{"below $defs", `{"$defs":{"x":` + deep + `}}`, "only in the schema of an argument"},
		{"below patternProperties", `{"patternProperties":{"x":` + deep + `}}`, "only in the schema of an argument"},
		{"at the root", `{"type":"string","x-mcp-header":"A"}`, "only in the schema of an argument"},
		{"an escaped keyword", `{"properties":{"a":{"type":"number","x-mcp\u002dheader":"A"}}}`, "string, integer or boolean"},
	} {
		for _, version := range []string{"", "2025-11-25"} {
			s := newServer(t, &scripted{version: version, call: answers(done), list: func(string) string {
				return `{"resultType":"complete","ttlMs":60000,"tools":[` + echoTool + `,{"name":"marked","inputSchema":` + tt.schema + `}]}`
			}})
			warned := ""
			c := client(t, s, func(c *Client) { c.Warn = func(text string) { warned += text } })
			list, err := c.Tools(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			invalid := version == "" && tt.reason != ""
			if len(list.Tools) != 2 && !invalid || len(list.Tools) != 1 && invalid || strings.Contains(string(list.Raw), `"marked"`) == invalid {
				t.Errorf("%s %s: %s", tt.name, version, list.Raw)
			}
			if invalid && !(strings.Contains(warned, `"marked"`) && strings.Contains(warned, tt.reason)) || !invalid && warned != "" {
				t.Errorf("%s %s: warned %q", tt.name, version, warned)
			}
			if _, err := c.Call(t.Context(), "marked", Arguments{}); (err != nil) != invalid {
				t.Errorf("%s %s: call: %v", tt.name, version, err)
			}
		}
	}
}

// A schema of 1 MiB is checked within two seconds, whatever it repeats.
func TestLargeSchemasWithHeaders(t *testing.T) {
	var keywords, properties strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keywords, `,"x-mcp-header":"a%d"`, i)
		fmt.Fprintf(&properties, `,"%d":{}`, i)
	}
	for name, schema := range map[string]string{
		"many annotations of one property": `{"properties":{"a":{"type":"string"` + keywords.String() + `}}}`,
		"a property with a long name":      `{"properties":{"` + strings.Repeat("x-mcp-header", 50_000) + `":{"properties":{"a":{}` + properties.String() + `}}}}`,
	} {
		const limit = 2 * time.Second
		fastest := time.Hour
		for range 3 { // the machine may be busy
			if fastest < limit {
				break
			}
			began := time.Now()
			if err := checkHeaders(json.RawMessage(schema)); err != nil {
				t.Fatalf("%s: %s", name, err.text(strings.Clone))
			}
			fastest = min(fastest, time.Since(began))
		}
		if fastest > limit {
			t.Errorf("%s: %v", name, fastest)
		}
	}
}

// After 404 for a session, the client opens a new session by an initialize without session id, and repeats the call once (2025-11-25,
// Session Management).
func TestLostSession(t *testing.T) {
	for _, again := range []bool{false, true} {
		script := &scripted{version: "2025-11-25", call: answers(done)}
		s := newServer(t, script)
		c := client(t, s)
		callText(t, c, "t")
		s.seen()
		lost := 0
		s.setFront(func(w http.ResponseWriter, _ *http.Request, rpc string) bool {
			if rpc != "tools/call" || lost > 0 && !again {
				return false
			}
			lost++
			w.WriteHeader(http.StatusNotFound)
			return true
		})
		_, err := c.Call(t.Context(), "t", Arguments{})
		if (err != nil) != again {
			t.Errorf("lost again %v: %v", again, err)
		}
		for _, r := range s.requests("initialize") {
			if r.header.Get("Mcp-Session-Id") != "" || r.header.Get("Mcp-Protocol-Version") != "" {
				t.Errorf("initialize with %v", r.header)
			}
		}
		wantSeen(t, s, "tools/call", "initialize", "notifications/initialized", "tools/call")
	}
}

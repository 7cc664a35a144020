package mcpproxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcpauth/internal/mcphttp"
)

// annotated returns a tool whose schema requires a header and has at least the given size in bytes.
func annotated(name string, size int) string {
	return fmt.Sprintf(`{"name":%q,"inputSchema":{"description":%q,"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`, name, strings.Repeat("d", size))
}

// The schemas that the proxy keeps are bounded in size and number, and a new list replaces the old one.
func TestAnnotationsAreBounded(t *testing.T) {
	var a annotations
	page := func(tools string) []byte { return []byte(`{"tools":[` + strings.TrimSuffix(tools, ",") + `]}`) }
	for i := range 80 {
		a.addPage(page(annotated(fmt.Sprint("t", i), 1_000_000)+","), false)
	}
	total := 0
	for name, schema := range a.schemas {
		total += len(name) + len(schema)
	}
	if total != a.size || total > mcphttp.MaxList || total < mcphttp.MaxList-2_000_000 {
		t.Errorf("the schemas have %d bytes, and %d were counted", total, a.size)
	}
	a.addPage(page(annotated("small", 10)+","+annotated("large", mcphttp.MaxEntry)+","+annotated("small", 20)), true)
	if len(a.schemas) != 1 || a.size != len("small")+len(a.schemas["small"]) || !strings.Contains(string(a.schemas["small"]), strings.Repeat("d", 20)) {
		t.Errorf("after a new list: %d schemas, %d bytes", len(a.schemas), a.size)
	}
	var many strings.Builder
	for i := range mcphttp.MaxListed + 10 {
		fmt.Fprintf(&many, `{"name":"%d","inputSchema":"x-mcp-header"},`, i)
	}
	a.addPage(page(many.String()), true)
	a.addPage(page(annotated("last", 10)), false)
	if len(a.schemas) != mcphttp.MaxListed {
		t.Errorf("%d schemas", len(a.schemas))
	}
}

// After a header mismatch the proxy stops reading a list that has no end.
func TestRefetchIsBounded(t *testing.T) {
	cursor := "after"
	tools := `"x-mcp-header"` + strings.Repeat(" ", 12_000_000)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, m mcphttp.Message) {
		if m.Method == "tools/list" {
			say(w, jsonType, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[],"more":%s,"nextCursor":"%s %s"}}`, m.ID, tools, cursor, param(m, "cursor")))
			return
		}
		say(w, jsonType, 400, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"header mismatch"}}`, m.ID))
	})
	k := talk(t, s.proxy())
	k.say(modern("1", "tools/call", `"name":"region","arguments":{"region":"x"}`))
	k.hears("header mismatch")
	if lists := len(s.seen("tools/list")); lists != 6 {
		t.Errorf("%d pages of 12 MB were read", lists)
	}
	cursor = strings.Repeat("a", mcphttp.MaxEntry)
	k.say(modern("2", "tools/call", `"name":"region","arguments":{"region":"x"}`))
	k.hears("header mismatch")
	if lists := len(s.seen("tools/list")); lists != 7 {
		t.Errorf("%d pages were read after a page with a cursor of 1 MiB", lists-7)
	}
}

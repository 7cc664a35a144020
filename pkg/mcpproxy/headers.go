package mcpproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// maxPages limits how many pages of a list are read to find the headers of one tool. mcphttp.MaxList limits their size.
const maxPages = 100

// paramHeader returns the Mcp-Param headers of a call (2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters). The proxy adds
// these headers because a program that uses stdio cannot send headers. The schemas come from the tool lists that the proxy has forwarded.
func (c *conversation) paramHeader(m mcphttp.Message) http.Header {
	if m.Method != "tools/call" || m.Version() == "" {
		return nil
	}
	c.mu.Lock()
	schema := c.annotated.schemas[jsonscan.Unquote(jsonscan.Member(m.Params, "name"))]
	c.mu.Unlock()
	if schema == nil {
		return nil
	}
	return mcphttp.ParamHeader(schema, jsonscan.Member(m.Params, "arguments"))
}

// annotations are the input schemas that require Mcp-Param headers. The server decides how many tools it lists, so the schemas have the same
// limits as the lists of mcpclient. A tool beyond the limits gets no headers.
type annotations struct {
	schemas map[string]json.RawMessage // by tool
	size    int                        // of all names and schemas, in bytes
}

// addPage stores the schemas of one page. The first page of a list replaces the schemas of the previous list.
func (a *annotations) addPage(page json.RawMessage, first bool) {
	if first || a.schemas == nil {
		*a = annotations{schemas: map[string]json.RawMessage{}}
	}
	if !mcphttp.MayAnnotate(page) {
		return
	}
	listed := 0
	for tool := range jsonscan.Elements(jsonscan.Member(page, "tools")) {
		if listed++; listed > mcphttp.MaxListed {
			return
		}
		name, schema := jsonscan.Unquote(jsonscan.Member(tool, "name")), jsonscan.Member(tool, "inputSchema")
		if old, known := a.schemas[name]; known {
			delete(a.schemas, name)
			a.size -= len(name) + len(old)
		}
		size := len(name) + len(schema)
		if mcphttp.MayAnnotate(schema) && len(tool) <= mcphttp.MaxEntry && a.size+size <= mcphttp.MaxList && len(a.schemas) < mcphttp.MaxListed {
			a.schemas[name] = bytes.Clone(schema)
			a.size += size
		}
	}
}

// storeSchemas stores the input schemas that require Mcp-Param headers. page is one page of a list of tools.
func (c *conversation) storeSchemas(page json.RawMessage, first bool) {
	if page == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.annotated.addPage(page, first)
}

// refetchTools requests the list of tools after a header mismatch. If the program knows the tool from an earlier run, the proxy has not seen a
// list with the tool, so the proxy requests the list itself.
func (c *conversation) refetchTools(ctx context.Context, call mcphttp.Message) {
	meta, cursor, size := jsonscan.Member(call.Params, "_meta"), json.RawMessage(nil), 0
	if meta == nil { // not a call of 2026-07-28
		return
	}
	for range maxPages {
		params := fmt.Appendf(nil, `{"_meta":%s}`, meta)
		if cursor != nil {
			params = fmt.Appendf(nil, `{"cursor":%s,"_meta":%s}`, cursor, meta)
		}
		o := c.link.Exchange(ctx, &mcphttp.Session{}, mcphttp.Request{Message: mcphttp.NewRequest([]byte(`"mcpauth-tools"`), "tools/list", params)})
		c.storeSchemas(o.Answer.Result, cursor == nil)
		next := jsonscan.Member(o.Answer.Result, "nextCursor")
		if size += len(o.Answer.Result); size > mcphttp.MaxList || len(next) > mcphttp.MaxEntry || jsonscan.Type(next) != "string" || string(next) == string(cursor) {
			return
		}
		cursor = next
	}
}

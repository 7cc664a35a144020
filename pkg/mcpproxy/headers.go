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

// maxPages limits how many pages of a list are read to find the headers of one tool.
const maxPages = 100

// paramHeader returns the Mcp-Param headers of a call (2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters). The proxy adds
// these headers because a program that uses stdio cannot send headers. The schemas come from the tool lists that the proxy has forwarded.
func (c *conversation) paramHeader(m mcphttp.Message) http.Header {
	if m.Method != "tools/call" || m.Version() == "" {
		return nil
	}
	c.mu.Lock()
	schema := c.annotated[jsonscan.Unquote(jsonscan.Member(m.Params, "name"))]
	c.mu.Unlock()
	if schema == nil {
		return nil
	}
	return mcphttp.ParamHeader(schema, jsonscan.Member(m.Params, "arguments"))
}

// annotate stores the schemas that require headers.
func (c *conversation) annotate(list json.RawMessage) {
	if !mcphttp.MayAnnotate(list) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for tool := range jsonscan.Elements(jsonscan.Member(list, "tools")) {
		name, schema := jsonscan.Unquote(jsonscan.Member(tool, "name")), jsonscan.Member(tool, "inputSchema")
		delete(c.annotated, name)
		if mcphttp.MayAnnotate(schema) {
			c.annotated[name] = bytes.Clone(schema)
		}
	}
}

// refetch requests the list of tools after a header mismatch. If the program knows the tool from an earlier run, the proxy has not seen a
// list with the tool, so the proxy requests the list itself.
func (c *conversation) refetch(ctx context.Context, call mcphttp.Message) {
	meta, cursor := jsonscan.Member(call.Params, "_meta"), json.RawMessage(nil)
	for range maxPages {
		params := fmt.Appendf(nil, `{"_meta":%s}`, meta)
		if cursor != nil {
			params = fmt.Appendf(nil, `{"cursor":%s,"_meta":%s}`, cursor, meta)
		}
		o := c.link.Exchange(ctx, &mcphttp.Session{}, mcphttp.Request{Message: mcphttp.NewRequest([]byte(`"mcpauth-tools"`), "tools/list", params)})
		c.annotate(o.Answer.Result)
		next := jsonscan.Member(o.Answer.Result, "nextCursor")
		if jsonscan.Type(next) != "string" || string(next) == string(cursor) {
			return
		}
		cursor = next
	}
}

// This file makes the headers that 2026-07-28 wants beside a message (Streamable HTTP, Standard Headers, and Custom Headers from Tool
// Parameters), for programs that know nothing of HTTP. Which arguments a tool wants mirrored is learned from the lists that pass by.

package mcpclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"mcpauth/internal/jsonscan"
)

// modernHeaders sets the headers of a request. The caller holds r.mu.
func (r *relay) modernHeaders(h http.Header, m message) {
	h.Set("Mcp-Method", m.method)
	switch m.method {
	case "tools/call", "prompts/get":
		h.Set("Mcp-Name", unquote(member(m.params, "name"))) // encoded by wire.prepare where it must be
	case "resources/read":
		h.Set("Mcp-Name", unquote(member(m.params, "uri")))
	}
	if m.method == "tools/call" {
		if schema := r.annotated[unquote(member(m.params, "name"))]; schema != nil {
			mirrorArguments(h, schema, member(m.params, "arguments"), 0)
		}
	}
}

// mirrorArguments sets the header of each annotated property that has a value.
func mirrorArguments(h http.Header, schema, arguments json.RawMessage, depth int) {
	if depth > 100 {
		return
	}
	for name, property := range members(member(schema, "properties")) {
		value := member(arguments, name)
		if value == nil {
			continue
		}
		if header := unquote(member(property, headerKeyword)); header != "" {
			if text, ok := headerValue(value); ok {
				h.Set("Mcp-Param-"+header, text)
			}
		}
		mirrorArguments(h, property, value, depth+1)
	}
}

// headerValue is a scalar as a header has it.
func headerValue(v json.RawMessage) (string, bool) {
	switch jsonscan.Type(v) {
	case "string":
		s := unquote(v)
		if !plainHeader(s) {
			s = "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
		}
		return s, true
	case "boolean":
		return string(v), true
	case "integer": // 5.0 is 5; one that not every server reads exactly is left out
		f, err := strconv.ParseFloat(string(v), 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return strconv.FormatInt(int64(f), 10), true
		}
	}
	return "", false
}

// note keeps the schemas of a list that want headers. Tools whose annotations are invalid are none that a client may use; the program
// decides about them.
func (r *relay) note(list json.RawMessage) {
	if !hasHeaders(list) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range elements(member(list, "tools")) {
		tool := parseTool(t)
		delete(r.annotated, tool.Name)
		if hasHeaders(tool.InputSchema) && checkHeaders(tool.InputSchema) == nil {
			r.annotated[tool.Name] = append(json.RawMessage(nil), tool.InputSchema...)
		}
	}
}

// refetch asks for the list after a header mismatch: the program may know the tool from an earlier run, the relay does not.
func (r *relay) refetch(ctx context.Context, call message) {
	meta := member(call.params, "_meta")
	for cursor, pages := "", 0; pages < maxPages; pages++ {
		params := fmt.Appendf(nil, `{"_meta":%s}`, meta)
		if cursor != "" {
			params = fmt.Appendf(nil, `{"cursor":%s,"_meta":%s}`, quote(cursor), meta)
		}
		m := message{id: json.RawMessage(`"relay-tools"`), method: "tools/list", params: params}
		req, err := r.newRequest(ctx, http.MethodPost, m)
		if err != nil {
			return
		}
		res, err := r.w.send(req, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":"tools/list","params":%s}`, m.id, params), false)
		if err != nil {
			return
		}
		list, err := r.firstAnswer(req, res, m)
		if err != nil {
			return
		}
		r.note(list)
		if cursor = unquote(member(list, "nextCursor")); cursor == "" {
			return
		}
	}
}

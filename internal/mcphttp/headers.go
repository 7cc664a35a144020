package mcphttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mcpauth/internal/jsonscan"
)

// nameParams maps a method to the parameter that the header Mcp-Name repeats (2026-07-28, Streamable HTTP, Standard Request Headers; Tasks
// extension).
var nameParams = map[string]string{"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
	"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}

// postHeader returns the header of a POST. Messages of revision 2026-07-28 and later have a version in _meta, but no session.
func (s *Session) postHeader(r Request) http.Header {
	h := http.Header{"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}}
	if version := r.Version(); version != "" {
		h.Set("Mcp-Protocol-Version", version)
		h.Set("Mcp-Method", r.Method)
		if param := nameParams[r.Method]; param != "" {
			h.Set("Mcp-Name", encodeHeader(jsonscan.Unquote(jsonscan.Member(r.Params, param))))
		}
		for name, values := range r.Header {
			h[name] = values
		}
		return h
	}
	if r.Method != "initialize" {
		s.addSessionHeaders(h)
	}
	return h
}

// addSessionHeaders adds the headers that identify the session.
func (s *Session) addSessionHeaders(h http.Header) {
	if s.Version != "" {
		h.Set("Mcp-Protocol-Version", s.Version)
	}
	if s.ID != "" {
		h.Set("Mcp-Session-Id", s.ID)
	}
}

// encodeHeader encodes a value that is not valid in a header (2026-07-28, Streamable HTTP, Value Encoding).
func encodeHeader(s string) string {
	unsafe := func(r rune) bool { return r < ' ' || r > '~' }
	if strings.ContainsFunc(s, unsafe) || strings.TrimSpace(s) != s || strings.HasPrefix(s, "=?base64?") && strings.HasSuffix(s, "?=") {
		return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	}
	return s
}

// HeaderKeyword in a tool's input schema means that the client must repeat the argument in an HTTP header.
const HeaderKeyword = "x-mcp-header"

// MayAnnotate reports whether a schema or a list of tools may contain HeaderKeyword. MayAnnotate also returns true if the JSON has \u
// escapes, because they may spell the keyword.
func MayAnnotate(schema json.RawMessage) bool {
	return bytes.Contains(schema, []byte(HeaderKeyword)) || bytes.Contains(schema, []byte(`\u`))
}

// ParamHeader returns the Mcp-Param headers of a call from the tool's input schema and the arguments (2026-07-28, Streamable HTTP, Client
// Behavior). An argument gets no header if it is absent, null or not a scalar.
func ParamHeader(schema, arguments json.RawMessage) http.Header {
	if !MayAnnotate(schema) {
		return nil
	}
	h := http.Header{}
	addParamHeaders(h, schema, arguments, 0)
	return h
}

// addParamHeaders adds the headers of one object of arguments. addParamHeaders scans the schema and the arguments once per level, because a
// server could send a schema with a million properties.
func addParamHeaders(h http.Header, schema, arguments json.RawMessage, depth int) {
	if depth > 100 {
		return
	}
	values := map[string]json.RawMessage{}
	for name, value := range jsonscan.Members(arguments) {
		values[name] = value
	}
	properties := map[string]json.RawMessage{} // only those with a value
	for name, property := range jsonscan.Members(jsonscan.Member(schema, "properties")) {
		if values[name] != nil {
			properties[name] = property
		}
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if header := jsonscan.Unquote(jsonscan.Member(properties[name], HeaderKeyword)); header != "" {
			if text, ok := headerValue(values[name]); ok {
				h.Set("Mcp-Param-"+header, text)
			}
		}
		addParamHeaders(h, properties[name], values[name], depth+1)
	}
}

// headerValue converts a JSON scalar to a header value.
func headerValue(v json.RawMessage) (string, bool) {
	switch jsonscan.Type(v) {
	case "string":
		return encodeHeader(jsonscan.Unquote(v)), true
	case "boolean":
		return string(v), true
	case "integer": // 5.0 becomes 5; the specification forbids integers that JavaScript cannot represent
		f, err := strconv.ParseFloat(string(v), 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return strconv.FormatInt(int64(f), 10), true
		}
	}
	return "", false
}

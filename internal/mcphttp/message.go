package mcphttp

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"mcpauth/internal/jsonscan"
)

// Modern is the first revision without sessions. Each request of this revision names the revision in _meta.
const Modern = "2026-07-28"

// Limits of lists such as the list of tools.
const (
	MaxListed = 100_000  // number of elements in all pages of a list or in one result; a parsed element takes many times its size in memory
	MaxEntry  = 1 << 20  // size of one element in bytes
	MaxList   = 64 << 20 // size of all pages in bytes
)

// MaxRequestID limits the id of a server's request in bytes. A request with a longer id gets no answer, because the answer repeats the id.
const MaxRequestID = 1000

// Names of members of _meta (2026-07-28, Base Protocol, _meta).
const (
	MetaVersion      = "io.modelcontextprotocol/protocolVersion"
	MetaClient       = "io.modelcontextprotocol/clientInfo"
	MetaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaLogLevel     = "io.modelcontextprotocol/logLevel"
)

// Message is a parsed JSON-RPC message. The other fields contain unchanged parts of Raw.
type Message struct {
	Raw                       []byte
	ID, Params, Result, Error json.RawMessage // nil if absent
	Method                    string
}

// Parse parses a JSON-RPC message. ok is false if data is not a JSON-RPC message. The member jsonrpc is not required, because some servers
// omit it.
func Parse(data []byte) (m Message, ok bool) {
	if !jsonscan.Valid(data) {
		return Message{}, false
	}
	m.Raw = data
	for name, value := range jsonscan.Members(data) {
		switch name {
		case "id":
			m.ID = value
		case "method":
			m.Method = jsonscan.Unquote(value)
		case "params":
			m.Params = value
		case "result":
			m.Result = value
		case "error":
			if jsonscan.Type(value) == "object" {
				m.Error = value
			}
		}
	}
	if string(m.ID) == "null" {
		m.ID = nil
	}
	return m, m.Method != "" || m.IsResponse()
}

// IsRequest reports whether the message is a request, which has a method and an id.
func (m Message) IsRequest() bool { return m.Method != "" && m.ID != nil }

// IsResponse reports whether the message answers a request.
func (m Message) IsResponse() bool { return m.Method == "" && (m.Result != nil || m.Error != nil) }

// isErrorWithoutID reports whether the message is an error that names no request.
func (m Message) isErrorWithoutID() bool { return m.IsResponse() && m.Error != nil && m.ID == nil }

// Version returns the revision in the _meta of a request, or "" if the request is of a revision before 2026-07-28.
func (m Message) Version() string {
	if m.Method == "" || !strings.Contains(string(m.Params), MetaVersion) {
		return ""
	}
	return jsonscan.Unquote(jsonscan.Member(jsonscan.Member(m.Params, "_meta"), MetaVersion))
}

// Code returns the code of a JSON-RPC error, or 0.
func (m Message) Code() int64 {
	var code int64
	_ = json.Unmarshal(jsonscan.Member(m.Error, "code"), &code)
	return code
}

// parseMessages yields the messages in data: a single message, or the elements of a batch. Clients of MCP 2025-03-26 must accept batches. A
// batch can contain millions of messages, so parseMessages parses one at a time.
func parseMessages(data []byte) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		if m, ok := Parse(data); ok {
			yield(m)
			return
		}
		if !jsonscan.Valid(data) {
			return
		}
		for e := range jsonscan.Elements(data) {
			if m, ok := Parse(e); ok && !yield(m) {
				return
			}
		}
	}
}

// SameID reports whether two ids are equal. Quotes are ignored, because some servers return a number as a string. An absent id equals no id.
func SameID(a, b json.RawMessage) bool {
	return a != nil && b != nil && strings.Trim(string(a), `"`) == strings.Trim(string(b), `"`)
}

// NewRequest returns a request, or a notification if id is nil. Nil params are omitted.
func NewRequest(id json.RawMessage, method string, params json.RawMessage) Message {
	raw := []byte(`{"jsonrpc":"2.0"`)
	if id != nil {
		raw = append(append(raw, `,"id":`...), id...)
	}
	raw = append(append(raw, `,"method":`...), jsonscan.Quote(method)...)
	if params != nil {
		raw = append(append(raw, `,"params":`...), params...)
	}
	return Message{Raw: append(raw, '}'), ID: id, Method: method, Params: params}
}

// NewResult returns a response with a result. id is the id of the request.
func NewResult(id, result json.RawMessage) Message {
	raw := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
	return Message{Raw: raw, ID: id, Result: result}
}

// NewError returns an error response. A nil id becomes null.
func NewError(id json.RawMessage, code int64, text string) Message {
	failure := fmt.Appendf(nil, `{"code":%d,"message":%s}`, code, jsonscan.Quote(text))
	if id == nil {
		id = json.RawMessage("null")
	}
	return Message{Raw: fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":%s}`, id, failure), ID: id, Error: failure}
}

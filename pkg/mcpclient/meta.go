package mcpclient

import (
	"bytes"
	"unicode/utf8"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// Trace is a W3C trace context. Every request contains the trace context in _meta (SEP-414).
type Trace struct {
	Parent, State, Baggage string // traceparent, tracestate, baggage; empty: not sent
}

// TraceFrom reads the trace context of the environment. A variable that is longer than 8 kB or not valid UTF-8 is left out. TraceFrom checks
// nothing else, because servers ignore an invalid trace context (W3C Trace Context §3.2.2).
func TraceFrom(getenv func(string) string) Trace {
	read := func(name string) string {
		if value := getenv(name); len(value) <= 8192 && utf8.ValidString(value) {
			return value
		}
		return ""
	}
	return Trace{Parent: read("TRACEPARENT"), State: read("TRACESTATE"), Baggage: read("BAGGAGE")}
}

// writeMembers writes the trace context as members of _meta.
func (t Trace) writeMembers(b *bytes.Buffer) {
	for _, m := range [][2]string{{"traceparent", t.Parent}, {"tracestate", t.State}, {"baggage", t.Baggage}} {
		if m[1] != "" {
			addMember(b, m[0], jsonscan.Quote(m[1]))
		}
	}
}

// legacyCapabilities are the client's capabilities in earlier revisions: elicitation in form mode and in URL mode.
const legacyCapabilities = `{"elicitation":{"form":{},"url":{}}}`

// modernCapabilities are the client's capabilities in MCP 2026-07-28, which include extensions.
const modernCapabilities = `{"elicitation":{"form":{},"url":{}},"extensions":{"` + tasksExtension + `":{}}}`

// clientInfo returns the name and version of this program as JSON.
func (c *Client) clientInfo() []byte {
	version := c.Version
	if version == "" {
		version = "dev"
	}
	return append(append([]byte(`{"name":"mcpauth","version":`), jsonscan.Quote(version)...), '}')
}

// commonMeta returns the members of _meta that every request of MCP 2026-07-28 has, as JSON without the closing brace.
func (c *Client) commonMeta() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	addMember(&b, mcphttp.MetaVersion, jsonscan.Quote(mcphttp.Modern))
	addMember(&b, mcphttp.MetaClient, c.clientInfo())
	addMember(&b, mcphttp.MetaCapabilities, []byte(modernCapabilities))
	c.Trace.writeMembers(&b)
	return b.Bytes()
}

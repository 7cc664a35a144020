package mcpclient

import (
	"bytes"
	"encoding/json"
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

// addMember adds a member to a JSON object that is being written. The buffer already contains the opening brace and the previous members.
func addMember(b *bytes.Buffer, name string, value []byte) {
	if b.Bytes()[b.Len()-1] != '{' {
		b.WriteByte(',')
	}
	b.Write(jsonscan.Quote(name))
	b.WriteByte(':')
	b.Write(value)
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

// requestParams returns the parameters of a request. members contains the parameters other than _meta, as JSON without the braces. If
// progressToken is not empty, the request asks for progress. If wantLog is true, the request asks for log messages.
func (c *Client) requestParams(s *clientSession, members []byte, progressToken string, wantLog bool) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	b.Write(members)
	var meta bytes.Buffer
	if s.era == eraModern {
		meta.Write(c.meta)
	} else {
		meta.WriteByte('{')
		c.Trace.writeMembers(&meta)
	}
	if progressToken != "" {
		addMember(&meta, "progressToken", jsonscan.Quote(progressToken))
	}
	if wantLog && s.era == eraModern {
		addMember(&meta, mcphttp.MetaLogLevel, []byte(`"info"`))
	}
	if meta.Len() > 1 {
		meta.WriteByte('}')
		addMember(&b, "_meta", meta.Bytes())
	}
	if b.Len() == 1 {
		return nil
	}
	b.WriteByte('}')
	return b.Bytes()
}

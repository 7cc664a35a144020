// This file holds the errors that callers branch on.

package mcpclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"mcpauth/internal/httpx"
)

// RPCError is the server's refusal of a request (JSON-RPC 2.0 §5.1). Whatever the tool itself reports is a Result with IsError.
type RPCError struct {
	Code    int64
	Message string          // the server's words; Error makes them safe to print
	Data    json.RawMessage // as sent, nil when absent

	status int // of the HTTP answer that held it
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("the server refuses the request: %s (JSON-RPC %d)", httpx.Text(e.Message, 1000), e.Code)
}

// Codes of JSON-RPC errors that decide something here.
const (
	codeInvalidRequest     = -32600
	codeMethodNotFound     = -32601
	codeInvalidParams      = -32602
	codeHeaderMismatch     = -32020 // MCP 2026-07-28, Streamable HTTP, Server Validation
	codeMissingCapability  = -32021
	codeUnsupportedVersion = -32022 // MCP 2026-07-28, Versioning
	codeURLElicitation     = -32042 // MCP 2025-11-25, Elicitation, URL mode
)

// ArgumentError says what is wrong with the tool name or an argument. Nothing was sent, except that the list of tools was asked for.
type ArgumentError struct {
	Tool     string // the tool as the caller named it
	Argument string // the argument; several are joined by ", "; empty: the tool itself is meant
	Reason   string
	Nearest  string // a known name that is close to the one given, else empty
}

func (e *ArgumentError) Error() string {
	where := "tool " + fmt.Sprintf("%q", httpx.Text(e.Tool, 200))
	if e.Argument != "" {
		where += ": " + httpx.Text(e.Argument, 500)
	}
	return where + ": " + httpx.Text(e.Reason, 500)
}

// StatusError is an HTTP answer that is no answer to the request: by its status, or with a good status by what is in it (Reason).
type StatusError struct {
	URL        string // without its query
	StatusCode int
	Location   string // where a redirect points; none is followed with credentials
	Text       string // the server's words, bounded and safe to print
	Reason     string // what is wrong with the answer, where the status does not say it
}

func (e *StatusError) Error() string {
	var b strings.Builder
	b.WriteString(e.URL)
	if e.StatusCode >= 300 || e.Reason == "" {
		fmt.Fprintf(&b, ": the server answers %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	}
	for _, s := range []string{e.Reason, e.Text} {
		if s != "" {
			b.WriteString(": " + s)
		}
	}
	if e.Location != "" {
		fmt.Fprintf(&b, ": it redirects to %s; use that address", e.Location)
	}
	return b.String()
}

// plainURL is an address as errors show it: a query may hold a key.
func plainURL(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return httpx.Text(c.String(), 500)
}

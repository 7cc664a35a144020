package mcpclient

import (
	"fmt"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// RPCError is the JSON-RPC error response of a server (JSON-RPC 2.0 §5.1). Errors that a tool reports are Results with IsError.
type RPCError = mcphttp.RPCError

// StatusError reports an HTTP response that contains no JSON-RPC response to the request.
type StatusError = mcphttp.StatusError

// ArgumentError reports an invalid tool name or argument. No call was sent; only the list of tools may have been requested.
type ArgumentError struct {
	Tool     string // the tool as the caller named it
	Argument string // the argument; several are joined by ", "; empty if the tool itself is unknown or invalid
	Reason   string
	Nearest  string // a known name that is similar to the given one; may be empty
}

func (e *ArgumentError) Error() string {
	where := fmt.Sprintf("tool %q", httpx.Text(e.Tool, 200))
	if e.Argument != "" {
		where += ": " + httpx.Text(e.Argument, 500)
	}
	return where + ": " + httpx.Text(e.Reason, 500)
}

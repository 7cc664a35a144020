package mcpclient

import (
	"fmt"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// RPCError is a JSON-RPC error with which the server refused a request (JSON-RPC 2.0 §5.1). An error that the tool reports is a Result with
// IsError.
type RPCError = mcphttp.RPCError

// StatusError is an HTTP response whose status or content shows that it does not answer the request.
type StatusError = mcphttp.StatusError

// ArgumentError reports an invalid tool name or argument. No call was sent; only the list of tools may have been requested.
type ArgumentError struct {
	Tool     string // the tool as the caller named it
	Argument string // the argument; several are joined by ", "; empty: the tool itself is meant
	Reason   string
	Nearest  string // a known name that is close to the one given, else empty
}

func (e *ArgumentError) Error() string {
	where := fmt.Sprintf("tool %q", httpx.Text(e.Tool, 200))
	if e.Argument != "" {
		where += ": " + httpx.Text(e.Argument, 500)
	}
	return where + ": " + httpx.Text(e.Reason, 500)
}

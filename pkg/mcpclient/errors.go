package mcpclient

import (
	"fmt"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// RPCError is the server's refusal of a request (JSON-RPC 2.0 §5.1). An error that the tool itself reports is a Result with IsError.
type RPCError = mcphttp.RPCError

// StatusError is an HTTP answer that is no answer to the request, because of its status or its content.
type StatusError = mcphttp.StatusError

// ArgumentError says what is wrong with the tool name or an argument. Nothing was sent, except that the list of tools was asked for.
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

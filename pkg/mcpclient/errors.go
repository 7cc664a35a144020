package mcpclient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
	"mcpauth/internal/toolargs"
)

// RPCError is the JSON-RPC error response of a server (JSON-RPC 2.0 §5.1). Errors that a tool reports are Results with IsError.
type RPCError = mcphttp.RPCError

// StatusError reports an HTTP response that contains no JSON-RPC response to the request.
type StatusError = mcphttp.StatusError

// acceptedError is an error after the server accepted a call: a response to the call had a 2xx status.
type acceptedError struct{ error }

func (e *acceptedError) Unwrap() error { return e.error }

// WasAccepted reports whether Call returned err after the server accepted the call, so that the tool may have run. The reason for err can be a
// later request, such as one that resumes the stream of the response.
func WasAccepted(err error) bool {
	_, pending := errors.AsType[*PendingError](err)
	_, accepted := errors.AsType[*acceptedError](err)
	return pending || accepted
}

// QuestionError reports an elicitation request that asks to open a forbidden URL. Other calls of the client may still succeed.
type QuestionError struct{ Err error }

func (e *QuestionError) Error() string { return "the server asks to open a URL: " + e.Err.Error() }
func (e *QuestionError) Unwrap() error { return e.Err }

// ArgumentError reports an invalid tool name or argument. No call was sent; only the list of tools may have been requested.
type ArgumentError struct {
	Tool         string // the tool as the caller named it
	Argument     string // name of the argument; several names are joined by ", "; empty if the tool itself is unknown or invalid
	Reason       string
	Nearest      string // the name of a known tool or argument that is similar to the given one; may be empty
	NearestValue string // an allowed text that is similar to the given one; may be empty
}

func (e *ArgumentError) Error() string {
	where := "tool " + quoteName(e.Tool)
	if e.Argument != "" {
		where += ": " + plainOrQuoted(e.Argument)
	}
	return where + ": " + httpx.Text(e.Reason, 500)
}

// plainOrQuoted returns the path of an argument, such as a.b[0], in quotation marks if it contains other characters.
func plainOrQuoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-[]", r)
	}) {
		return httpx.Quote(path, 500)
	}
	return httpx.Text(path, 500)
}

// UnknownError reports a resource or prompt that the server refuses or does not list.
type UnknownError struct {
	Kind      string // resource or prompt
	Name      string
	Nearest   string // a listed name that is similar to Name; may be empty
	Arguments bool   // the prompt is listed, so the server refuses the arguments
	Err       error  // the server's refusal, an *RPCError; nil if only the list was requested
}

func (e *UnknownError) Error() string {
	text := e.Kind + " " + quoteName(e.Name) + ": "
	if e.Err != nil {
		text += e.Err.Error()
	} else {
		text += "the server has no such " + e.Kind
	}
	if e.Nearest != "" {
		text += "; the nearest is " + quoteName(e.Nearest)
	}
	return text
}

func (e *UnknownError) Unwrap() error { return e.Err }

// Error codes for unknown names. Revisions before 2026-07-28 use codeResourceNotFound for resources. Revision 2026-07-28 uses
// codeInvalidParams for resources. Every revision uses codeInvalidParams for prompts and tasks.
const (
	codeResourceNotFound = -32002
	codeInvalidParams    = -32602
)

// asUnknownError converts the error of a server that has refused a name to an *UnknownError. Similar names come from the server's list. If
// the list contains the resource, or cannot be fetched, asUnknownError returns err unchanged.
func (c *Client) asUnknownError(ctx context.Context, kind, name string, err error) error {
	rpc := asRPCError(err)
	if rpc == nil || rpc.Code != codeResourceNotFound && rpc.Code != codeInvalidParams {
		return err
	}
	l := resourceLists[0]
	if kind == "prompt" {
		l = promptLists[0]
	}
	entries, failed := c.fetchList(ctx, l)
	if failed != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, jsonscan.Unquote(jsonscan.Member(e, l.key)))
	}
	u := &UnknownError{Kind: kind, Name: name, Err: err}
	switch {
	case !slices.Contains(names, name):
		u.Nearest = c.Clean(toolargs.NearestOne(name, names))
	case kind == "prompt":
		u.Arguments = true
	default:
		return err
	}
	return u
}

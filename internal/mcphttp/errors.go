package mcphttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// RPCError is the JSON-RPC error response of a server (JSON-RPC 2.0 §5.1). Errors that a tool reports are results with isError.
type RPCError struct {
	Code    int64
	Message string          // the server's text with credentials masked; not safe to print
	Data    json.RawMessage // as sent; nil if absent
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("the server refuses the request: %s (JSON-RPC %d)", httpx.Text(e.Message, 1000), e.Code)
}

// StatusError reports an HTTP response that contains no JSON-RPC response to the request. The strings of a StatusError are safe to print.
type StatusError struct {
	URL        string // without its query
	StatusCode int
	Code       string        // the error code in the response, see httpx.Refusal; empty if there is none
	Text       string        // the server's error text
	RetryAfter time.Duration // from the Retry-After header; 0 if there is none
	Location   string        // target of a redirect, which was not followed; empty if there is none
	Reason     string        // what is wrong with the response; empty if the status is the only reason
}

func (e *StatusError) Error() string {
	var b strings.Builder
	b.WriteString(e.URL)
	if e.StatusCode >= 300 || e.Reason == "" {
		b.WriteString(": the server answers " + httpx.Refusal{StatusCode: e.StatusCode, Code: e.Code, Text: e.Text, RetryAfter: e.RetryAfter}.String())
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	if e.Location != "" {
		b.WriteString(": it redirects to " + httpx.Quote(e.Location, httpx.MaxWords))
		if !e.RedirectsBelow() {
			b.WriteString(", which may belong to another server")
		}
	}
	return b.String()
}

// RedirectsBelow reports whether Location is at or below the URL of the server, as for a redirect that only adds a final slash.
func (e *StatusError) RedirectsBelow() bool {
	from, err := url.Parse(e.URL)
	to, toErr := url.Parse(e.Location)
	return e.Location != "" && err == nil && toErr == nil && httpx.SameOrigin(from, to) && httpx.IsBelow(to, from)
}

// Failure returns the error of an outcome: an *RPCError, or Err. The error is nil if there is a result or if no result was expected.
func (l *Link) Failure(o Outcome) error {
	if o.Answer.Error == nil {
		return o.Err
	}
	message := jsonscan.Unquote(jsonscan.Member(o.Answer.Error, "message"))
	return &RPCError{Code: o.Answer.Code(), Message: l.Clean(message), Data: jsonscan.Member(o.Answer.Error, "data")}
}

// newStatusError returns the error for an HTTP response without a JSON-RPC response.
func (l *Link) newStatusError(res *http.Response, body, reason string) *StatusError {
	e := &StatusError{URL: l.plainURL(res.Request.URL), StatusCode: res.StatusCode, Reason: reason}
	if res.StatusCode >= 300 {
		secrets := l.LoginSecrets()
		r := httpx.ReadRefusal(&httpx.Response{StatusCode: res.StatusCode, Header: res.Header, Body: secrets.CleanRefusal([]byte(body)), Secrets: secrets}, time.Now())
		e.Code, e.Text, e.RetryAfter = r.Code, r.Text, r.RetryAfter
	}
	if to, err := res.Location(); err == nil && res.StatusCode < 400 {
		e.Location = l.plainURL(to)
	}
	return e
}

// foreignAddress returns the error for a URL that is not on the origin of the MCP server.
func (l *Link) foreignAddress(address string) error {
	return l.refuseAddress(address, "it is not on the origin of the MCP server "+l.plainURL(l.server))
}

// refuseAddress returns the error for a URL that a server must not name.
func (l *Link) refuseAddress(address, reason string) error {
	return &httpx.AddressError{Address: httpx.Text(l.Clean(address), 200), Reason: reason}
}

// networkError returns a network error as a *url.Error whose URL has no query. Credentials in the error text are masked, because the text
// may quote a malformed response line that repeats them.
func (l *Link) networkError(req *http.Request, err error) error {
	u, ok := errors.AsType[*url.Error](err)
	if !ok {
		u = &url.Error{Op: req.Method[:1] + strings.ToLower(req.Method[1:]), URL: l.plainURL(req.URL), Err: err}
		err = u
	}
	if clean := l.LoginSecrets().CleanError(u.Err); clean != u.Err {
		return &url.Error{Op: u.Op, URL: u.URL, Err: clean}
	}
	return err
}

// plainURL returns a URL for errors, without its query, which may contain a key, and without the secrets of the login, because a server of
// MCP 2024-11-05 chooses the URL of its endpoint.
func (l *Link) plainURL(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return httpx.Text(l.Clean(c.String()), 500)
}

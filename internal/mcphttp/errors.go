package mcphttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// RPCError is the server's refusal of a request (JSON-RPC 2.0 §5.1). An error that the tool itself reports is a result.
type RPCError struct {
	Code    int64
	Message string          // the server's words, without our credentials; Error makes them safe to print
	Data    json.RawMessage // as sent, nil when absent
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("the server refuses the request: %s (JSON-RPC %d)", httpx.Text(e.Message, 1000), e.Code)
}

// StatusError is an HTTP answer that is no answer to the request, because of its status or its content (Reason).
type StatusError struct {
	URL        string // without its query
	StatusCode int
	RetryAfter string // the header, safe to print
	Location   string // the target of a redirect; none is followed with credentials
	Text       string // the server's words, bounded and safe to print
	Reason     string // what is wrong with the answer if the status does not say it
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
	if e.RetryAfter != "" {
		fmt.Fprintf(&b, " (Retry-After: %s)", e.RetryAfter)
	}
	if e.Location != "" {
		fmt.Fprintf(&b, ": it redirects to %s; use that address", e.Location)
	}
	return b.String()
}

// Failure returns the error of an outcome: an *RPCError, or Err. It is nil if there is a result, or if none was expected.
func (l *Link) Failure(o Outcome) error {
	if o.Answer.Error == nil {
		return o.Err
	}
	return &RPCError{Code: o.Answer.Code(), Message: l.Clean(jsonscan.Unquote(jsonscan.Member(o.Answer.Error, "message"))), Data: jsonscan.Member(o.Answer.Error, "data")}
}

// statusError describes an HTTP answer that holds no JSON-RPC response.
func (l *Link) statusError(res *http.Response, body, reason string) *StatusError {
	e := &StatusError{URL: plainURL(res.Request.URL), StatusCode: res.StatusCode, Text: httpx.Text(l.Clean(words(body)), 300), Reason: l.Clean(reason)}
	if res.StatusCode >= 300 {
		e.RetryAfter = httpx.Text(l.Clean(res.Header.Get("Retry-After")), 60)
	}
	if to, err := res.Location(); err == nil && res.StatusCode < 400 {
		e.Location = l.Clean(plainURL(to))
	}
	return e
}

// words are what the body of an error answer says to a person: the text members of JSON (RFC 6749 §5.2, RFC 9457, JSON-RPC and the like), the
// title of a page, or the plain text.
func words(body string) string {
	data := []byte(body)
	if jsonscan.Valid(data) && jsonscan.Type(data) == "object" {
		if w := jsonWords(data); w != "" {
			return w
		}
	}
	if !strings.Contains(body, "<") {
		return body
	}
	if _, rest, ok := strings.Cut(body, "<title>"); ok {
		if title, _, ok := strings.Cut(rest, "</title>"); ok {
			return html.UnescapeString(title)
		}
	}
	return html.UnescapeString(withoutTags(body))
}

func jsonWords(data []byte) string {
	var said []string
	for _, name := range []string{"error", "title", "error_description", "message", "detail"} {
		v := jsonscan.Member(data, name)
		text := jsonscan.Unquote(v)
		if jsonscan.Type(v) == "object" {
			text = jsonWords(v)
		}
		if text != "" {
			said = append(said, text)
		}
	}
	return strings.Join(said, ": ")
}

func withoutTags(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		switch {
		case r == '<':
			in = true
		case r == '>' && in:
			in = false
			b.WriteByte(' ')
		case !in:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// networkError says where the network failed: a *url.Error as net/http makes them, without the query.
func networkError(req *http.Request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return err
	}
	return &url.Error{Op: req.Method[:1] + strings.ToLower(req.Method[1:]), URL: plainURL(req.URL), Err: err}
}

// plainURL is an address as errors show it: without its query, which may hold a key.
func plainURL(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return httpx.Text(c.String(), 500)
}

// This file takes answers apart: JSON, and what is neither that nor an event stream. Results are kept byte for byte in the exchange;
// progress and log messages are handed out at once, in order, before the result is.

package mcpclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

const (
	defaultMaxResult = 512 << 20 // bytes, see Client.MaxResult
	maxErrorBody     = 64 << 10  // bytes of an answer that only explains a failure
	drainTimeout     = time.Second
)

// standIn is what the SDK gets for a result that is kept here.
var standIn = map[string]json.RawMessage{
	"tools/call": json.RawMessage(`{"resultType":"complete","content":[]}`),
	"tools/list": json.RawMessage(`{"resultType":"complete","tools":[]}`),
}

// answer reads the answer to a request. Whatever it is, the SDK is handed a JSON-RPC response: an HTTP error would end its session.
func (w *wire) answer(req *http.Request, res *http.Response, x *exchange) (*http.Response, error) {
	kind := mediaType(res)
	switch {
	case res.StatusCode >= 300:
		return w.refused(req, res, x), nil
	case kind == "text/event-stream":
		res.Body = w.stream(res, x)
		return res, nil
	case kind != "application/json":
		x.failed(w.statusError(req, res, "", wrongType(res, kind)), false)
		discard(res)
		return w.failure(req, res, x), nil
	}
	data, err := readAll(res, w.max())
	if err != nil {
		if errors.Is(err, errTooLarge) {
			x.failed(w.statusError(req, res, "", err.Error()), false)
		} else {
			x.failed(w.networkError(req, err), true)
		}
		return w.failure(req, res, x), nil
	}
	m, ok := parseMessage(data)
	if !ok || !m.isResponse() {
		x.failed(w.statusError(req, res, "", "its JSON is no JSON-RPC response"), false)
		return w.failure(req, res, x), nil
	}
	w.answered(x, m)
	if m.failure != nil {
		return w.failure(req, res, x), nil
	}
	return stub(req, res.Header, response(x, m.result)), nil
}

// refused reads an answer with an error status. A JSON-RPC error in it is the server's word, unless the status says that it is the
// server which failed, or that authorization is missing.
func (w *wire) refused(req *http.Request, res *http.Response, x *exchange) *http.Response {
	text := readText(res)
	m, ok := parseMessage([]byte(text))
	switch {
	case ok && m.failure != nil && res.StatusCode < 500 && res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden:
		w.answered(x, m)
	case ok && m.failure != nil:
		text = unquote(member(m.failure, "message"))
		fallthrough
	default:
		x.failed(w.statusError(req, res, text, ""), res.StatusCode >= 500)
	}
	return w.failure(req, res, x)
}

// answered keeps a response, without the credential in an error's words.
func (w *wire) answered(x *exchange, m message) {
	x.answered(m)
	x.change(func(a *answer) {
		if a.rpc != nil {
			a.rpc.Message = w.c.clean(a.rpc.Message)
		}
	})
}

// response is the JSON-RPC response that the SDK reads in place of the server's.
func response(x *exchange, result json.RawMessage) []byte {
	if s, ok := standIn[x.method]; ok {
		result = s
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, x.now().id, result)
}

func (w *wire) failure(req *http.Request, res *http.Response, x *exchange) *http.Response {
	h := http.Header{}
	if id := res.Header.Get("Mcp-Session-Id"); id != "" && res.StatusCode < 300 {
		h.Set("Mcp-Session-Id", id)
	}
	return stub(req, h, failedResponse(x))
}

// failedResponse tells the SDK that the request came to nothing; what it says is never shown.
func failedResponse(x *exchange) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"see the exchange"}}`, x.now().id)
}

// notified handles a notification of the server and reports whether the SDK need not see it.
func (w *wire) notified(m message, x *exchange) bool {
	switch m.method {
	case "notifications/progress":
		if x == nil {
			x = w.tracked(unquote(member(m.params, "progressToken")))
		}
		if x == nil || x.token == "" || unquote(member(m.params, "progressToken")) != x.token {
			return true
		}
		var p Progress
		_ = json.Unmarshal(member(m.params, "progress"), &p.Progress)
		_ = json.Unmarshal(member(m.params, "total"), &p.Total)
		p.Message = w.c.clean(unquote(member(m.params, "message")))
		x.report(p)
	case "notifications/message":
		if w.c.Log != nil {
			data := member(m.params, "data")
			text := string(data)
			if len(data) > 0 && data[0] == '"' {
				text = unquote(data)
			}
			w.c.Log(unquote(member(m.params, "level")), unquote(member(m.params, "logger")), w.c.clean(text))
		}
	case "notifications/tools/list_changed":
		w.c.forgetTools()
	default:
		return false
	}
	return true
}

// tracked returns the exchange with that progress token on a shared stream.
func (w *wire) tracked(token string) *exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.pending {
		if x.token != "" && x.token == token {
			return x
		}
	}
	return nil
}

func (w *wire) max() int64 {
	if w.c.MaxResult > 0 {
		return w.c.MaxResult
	}
	return defaultMaxResult
}

// statusError describes an answer that is none.
func (w *wire) statusError(req *http.Request, res *http.Response, text, reason string) *StatusError {
	e := &StatusError{URL: plainURL(req.URL), StatusCode: res.StatusCode, Text: httpx.Text(w.c.clean(plainText(text)), 300), Reason: w.c.clean(reason)}
	if to, err := res.Location(); err == nil && res.StatusCode < 400 {
		e.Location = w.c.clean(plainURL(to))
	}
	return e
}

// networkError says where the network failed: a *url.Error, as net/http makes them, without the query. Authorization errors and refused
// addresses stay what they are.
func (w *wire) networkError(req *http.Request, err error) error {
	var a *authorizationError
	if errors.As(err, &a) {
		return a.err
	}
	var u *url.Error
	if errors.As(err, &u) {
		return err
	}
	return &url.Error{Op: req.Method[:1] + strings.ToLower(req.Method[1:]), URL: plainURL(req.URL), Err: err}
}

// plainText is the text of a page without its markup.
func plainText(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
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

func mediaType(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind
}

func wrongType(res *http.Response, kind string) string {
	if kind == "" {
		kind = "nothing"
	}
	return "expected application/json or text/event-stream, came " + httpx.Text(kind, 100)
}

// readAll reads a body into one piece of memory of the right size where the length is known.
func readAll(res *http.Response, max int64) ([]byte, error) {
	defer res.Body.Close()
	if res.ContentLength > max {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errTooLarge, max)
	}
	body := io.LimitReader(res.Body, max+1)
	if res.ContentLength > 0 {
		var b bytes.Buffer
		b.Grow(int(res.ContentLength) + bytes.MinRead)
		_, err := b.ReadFrom(body)
		return b.Bytes(), err
	}
	var data sse.Pieces
	n, err := io.Copy(&data, body)
	switch {
	case err != nil:
		return nil, err
	case n > max:
		return nil, fmt.Errorf("%w: it has more than %d bytes", errTooLarge, max)
	}
	return data.Join(), nil
}

// readText reads an answer that only explains a failure.
func readText(res *http.Response) string {
	defer res.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	return string(data)
}

func bounded(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxErrorBody), body}
}

// discard reads a little of a body so that its connection can be used again, and closes it.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxErrorBody)
	res.Body.Close()
}

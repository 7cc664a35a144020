package mcpclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
	"mcpauth/internal/sse"
)

// The transport of the relay, until pkg/mcpproxy replaces both.

const (
	listenRetry      = time.Second
	maxListenGap     = time.Minute
	defaultMaxResult = 512 << 20
	maxErrorBody     = 64 << 10
	maxAuthorize     = 2
	minHidden        = 8
)

var (
	valid, members, member, elements = jsonscan.Valid, jsonscan.Members, jsonscan.Member, jsonscan.Elements
	unquote, quote                   = jsonscan.Unquote, jsonscan.Quote
	newEvents, errTooLarge           = sse.NewReader, sse.ErrTooLarge
)

type wire struct {
	c         *Client
	base      http.RoundTripper
	server    *url.URL
	header    http.Header
	overruled atomic.Bool
	mu        sync.Mutex
	hidden    []string
}

func plainURL(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return httpx.Text(c.String(), 500)
}

func (c *Client) wire() (*wire, error) {
	server, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	hc := c.HTTP
	if hc == nil {
		hc = httpx.Default()
	}
	w := &wire{c: c, base: hc.Transport, server: server, header: http.Header{}}
	for name, values := range c.Header {
		w.header[http.CanonicalHeaderKey(name)] = values
	}
	if w.base == nil {
		w.base = http.DefaultTransport
	}
	return w, nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func sessionLost(status int, words string) bool {
	return status == http.StatusNotFound || status == http.StatusBadRequest && strings.Contains(strings.ToLower(words), "session")
}

func oldTransport(status int) bool { return mcphttp.Outcome{Status: status}.OldTransport() }

// decorator is a handler that sets the Authorization header itself (DPoP).
type decorator interface {
	Decorate(*http.Request, *oauth2.Token) error
}

// authorizationError carries the handler's error through the SDK, so that callers see it unchanged.
type authorizationError struct{ err error }

func (e *authorizationError) Error() string { return e.err.Error() }
func (e *authorizationError) Unwrap() error { return e.err }

// send sends a request with the credential, and again when the handler has found a better one. Where quiet is set nothing is begun:
// the end of a session is no reason to log in.
func (w *wire) send(req *http.Request, body []byte, quiet bool) (*http.Response, error) {
	tries := map[int]int{}
	for {
		out := w.prepare(req, body)
		if err := w.credential(out); err != nil {
			return nil, &authorizationError{err}
		}
		w.hide(out.Header)
		res, err := w.base.RoundTrip(out)
		if err != nil || quiet || w.c.Auth == nil || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
			return res, err
		}
		if tries[res.StatusCode]++; tries[res.StatusCode] > maxAuthorize {
			return res, nil
		}
		if res.StatusCode == http.StatusUnauthorized {
			w.overruled.Store(true)
		}
		res.Body = bounded(res.Body)
		if err := w.c.Auth.Authorize(req.Context(), out, res); err != nil {
			return nil, &authorizationError{err}
		}
	}
}

// credential sets the Authorization header. The user's static one is used until the server answers 401 to it; then OAuth takes over.
func (w *wire) credential(req *http.Request) error {
	static, ok := w.header["Authorization"]
	if ok && (w.c.Auth == nil || !w.overruled.Load()) {
		req.Header["Authorization"] = static
		return nil
	}
	if w.c.Auth == nil {
		return nil
	}
	source, err := w.c.Auth.TokenSource(req.Context())
	if err != nil || source == nil {
		return err
	}
	tok, err := source.Token()
	if err != nil || tok == nil {
		return err
	}
	if d, ok := w.c.Auth.(decorator); ok {
		return d.Decorate(req, tok)
	}
	for _, c := range tok.AccessToken {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("the access token holds characters that no header may (RFC 6750 §2.1)")
		}
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	return nil
}

// message is a JSON-RPC message taken apart: a request has a method and an id, a notification a method, a response neither.
type message struct {
	id, params, result, failure json.RawMessage
	method                      string
}

// parseMessage takes a JSON object apart; ok is false for anything else.
func parseMessage(data []byte) (m message, ok bool) {
	if !valid(data) {
		return m, false
	}
	for name, value := range members(data) {
		ok = true
		switch name {
		case "id":
			m.id = value
		case "method":
			m.method = unquote(value)
		case "params":
			m.params = value
		case "result":
			m.result = value
		case "error":
			if string(value) != "null" {
				m.failure = value
			}
		}
	}
	return m, ok
}

// isResponse reports whether the message answers a request.
func (m message) isResponse() bool { return m.method == "" && (m.result != nil || m.failure != nil) }

// sameID compares ids as servers echo them: some return a number as text.
func sameID(a, b string) bool { return strings.Trim(a, `"`) == strings.Trim(b, `"`) }

// prepare makes the request of one attempt.
func (w *wire) prepare(req *http.Request, body []byte) *http.Request {
	out := req.Clone(req.Context())
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.ContentLength = int64(len(body))
	}
	for name, values := range w.header {
		switch _, set := out.Header[name]; {
		case set || name == "Authorization":
		case name == "Host":
			out.Host = values[0]
		default:
			out.Header[name] = values
		}
	}
	if name := out.Header.Get("Mcp-Name"); !plainHeader(name) {
		// 2026-07-28, Streamable HTTP, Value Encoding: the SDK encodes parameters but not names.
		out.Header.Set("Mcp-Name", "=?base64?"+base64.StdEncoding.EncodeToString([]byte(name))+"?=")
	}
	return out
}

// plainHeader reports whether a value may stand in a header as it is.
func plainHeader(s string) bool {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	return !strings.ContainsFunc(s, odd) && strings.TrimSpace(s) == s && !(strings.HasPrefix(s, "=?base64?") && strings.HasSuffix(s, "?="))
}

func (w *wire) max() int64 {
	if w.c.MaxResult > 0 {
		return w.c.MaxResult
	}
	return defaultMaxResult
}

// statusError describes an answer that is none.
func (w *wire) statusError(req *http.Request, res *http.Response, text, reason string) *StatusError {
	e := &StatusError{URL: plainURL(req.URL), StatusCode: res.StatusCode, Text: httpx.Text(w.clean(plainText(text)), 300), Reason: w.clean(reason)}
	if to, err := res.Location(); err == nil && res.StatusCode < 400 {
		e.Location = w.clean(plainURL(to))
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
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the event stream ended without a result: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// hide remembers the credentials of a request.
func (c *wire) hide(h http.Header) {
	var secrets []string
	for name, values := range h {
		for _, v := range values {
			_, credentials, ok := strings.Cut(v, " ")
			switch {
			case name == "Authorization" && ok:
				secrets = append(secrets, credentials)
			case name == "Authorization" || c.header.Get(name) == v && len(v) >= minHidden && name != "User-Agent":
				secrets = append(secrets, v)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		if !slices.Contains(c.hidden, s) { // the raw form is the first of its forms
			c.hidden = append(c.hidden, httpx.Forms([]string{s})...)
		}
	}
}

// clean takes the credentials out of a server's words.
func (c *wire) clean(s string) string {
	c.mu.Lock()
	hidden := slices.Clone(c.hidden)
	c.mu.Unlock()
	if len(hidden) == 0 {
		return s
	}
	return httpx.Mask(s, hidden)
}

// retryGap reads the milliseconds of a retry field.
func retryGap(retry string) time.Duration {
	if ms, err := strconv.Atoi(retry); err == nil && ms >= 0 && ms <= int(maxListenGap/time.Millisecond) {
		return time.Duration(ms) * time.Millisecond
	}
	return listenRetry
}

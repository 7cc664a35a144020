// Package mcphttp is the link to an MCP server over HTTP: it sends one JSON-RPC message and says what became of it. It speaks Streamable
// HTTP of 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26, and HTTP+SSE of 2024-11-05, and authorizes requests through the SDK's
// auth.OAuthHandler.
//
//	link := &mcphttp.Link{URL: "https://mcp.example.com/mcp", Auth: handler}
//	outcome := link.Exchange(ctx, &mcphttp.Session{}, mcphttp.Request{Message: message})
//
// An Outcome is Refused, Answered or Lost, and holds the answer byte for byte. Outcome.Next decides whether a request may be sent again.
// The package knows no tools, keeps no cache and makes no requests of its own, except to authorize, to resume a stream and to open or
// end a session that it is told to.
package mcphttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

const (
	defaultMax   = 512 << 20 // bytes, see Link.Max
	maxErrorBody = 64 << 10  // bytes of an answer that only explains a failure
	drainTimeout = time.Second

	// maxAuthorize bounds how often one request is authorized again after a 401, and how often after a 403. A DPoP nonce and a login may both
	// be needed for one request.
	maxAuthorize = 2
)

// Link exchanges messages with one MCP server. Several goroutines may call its methods. Its fields must not change after the first call.
type Link struct {
	URL    string      // the MCP endpoint, or the event stream of a server of 2024-11-05
	Header http.Header // sent to the server's origin only; headers of the protocol win. Authorization is used as it is until the server answers
	// 401 to it; then Auth takes over if there is one
	Auth    auth.OAuthHandler // nil: none. If it also has Decorate(*http.Request, *oauth2.Token) error, that sets the Authorization header (DPoP)
	HTTP    *http.Client      // nil: httpx.Default(). Only its Transport is used
	Secrets []string          // values in Header that errors must not repeat; tokens need not be listed
	Max     int64             // bytes of one message from the server; 0: 512 MiB

	Pause func(ctx context.Context, d time.Duration) error // waits; nil: with a timer

	once   sync.Once
	err    error // why the link cannot be used
	server *url.URL
	base   http.RoundTripper
	static http.Header // Header with canonical names

	overruled atomic.Bool             // the server has refused the static Authorization header
	moved     atomic.Pointer[url.URL] // where the server redirects the endpoint to, see follow
	masked    masked
}

// Request is a message to send.
type Request struct {
	Message
	Header  http.Header   // Mcp-Param headers, see ParamHeader
	Receive func(Message) // is called with each message of the server that precedes the answer, in order; nil: they are dropped
	Quiet   bool          // never begin an authorization
}

// prepare completes the link once.
func (l *Link) prepare() error {
	l.once.Do(func() {
		if l.server, l.err = url.Parse(l.URL); l.err != nil {
			return
		}
		hc := l.HTTP
		if hc == nil {
			hc = httpx.Default()
		}
		if l.base = hc.Transport; l.base == nil {
			l.base = http.DefaultTransport
		}
		l.static = http.Header{}
		for name, values := range l.Header {
			l.static[http.CanonicalHeaderKey(name)] = values
		}
		l.masked.fixed = httpx.Forms(l.Secrets)
	})
	return l.err
}

// Exchange sends one message within a session and reads the answer. For a notification or a response, which have no answer, the outcome
// says whether the server accepted it. A request that Auth can authorize is sent again after 401 and 403; nothing else is sent twice.
func (l *Link) Exchange(ctx context.Context, s *Session, r Request) Outcome {
	if err := l.prepare(); err != nil {
		return notSent(err)
	}
	if s.events != nil {
		return l.exchangeEvents(ctx, s.events, r)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, nil)
	if err != nil {
		return notSent(err)
	}
	req.Header = s.header(r)
	res, written, err := l.send(req, r.Raw, r.Quiet)
	if err != nil {
		return l.failed(req, err, written)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		o.judge(l.refusal(&o, r, res), s)
		return o
	}
	l.answer(ctx, s, r, res, &o)
	return o
}

// notSent returns the outcome of a request that was not sent.
func notSent(err error) Outcome { return Outcome{Kind: Refused, Reason: NotSent, Err: err} }

// failed returns the outcome of a request without an HTTP response. written reports whether the request was sent, at least in part.
func (l *Link) failed(req *http.Request, err error, written bool) Outcome {
	var a *authorizationError
	switch {
	case errors.As(err, &a):
		return Outcome{Kind: Refused, Reason: Unauthorized, Err: a.err}
	case !written:
		return notSent(l.networkError(req, err))
	}
	return Outcome{Kind: Lost, Err: l.networkError(req, err)}
}

// refusal reads an answer with an error status and returns the server's words. Only a JSON-RPC error that belongs to the request, or that
// names no request and blames the client, is an answer; anything else is a StatusError, in which 5xx leaves open what happened.
func (l *Link) refusal(o *Outcome, r Request, res *http.Response) string {
	text := readText(res)
	m, ok := Parse([]byte(text))
	own := m.ID != nil && SameID(m.ID, r.ID) || m.ID == nil && res.StatusCode < 500
	unauthorized := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
	e := l.statusError(res, text, "")
	if ok && m.Error != nil && r.IsRequest() && own && !unauthorized {
		o.Answer = m
	} else {
		o.Err = e
	}
	return e.Code + " " + e.Text
}

// answer reads a response with a 2xx status.
func (l *Link) answer(ctx context.Context, s *Session, r Request, res *http.Response, o *Outcome) {
	switch kind := mediaType(res); {
	case kind == "text/event-stream":
		l.stream(ctx, s, r, res, o)
	case kind == "application/json":
		data, err := readAll(res, l.max())
		if err != nil {
			l.broken(o, res, err)
			return
		}
		l.body(o, r, res, data)
		o.judge("", s)
	case r.IsRequest():
		discard(res.Body)
		o.Err = l.statusError(res, "", "expected application/json or text/event-stream, got "+cmp.Or(httpx.Text(kind, 100), "nothing"))
	default:
		discard(res.Body)
	}
}

// body parses the JSON body of a response.
func (l *Link) body(o *Outcome, r Request, res *http.Response, data []byte) {
	for _, m := range messages(data) {
		if m.IsResponse() && r.IsRequest() && o.Answer.Raw == nil {
			o.Answer = m
		} else if r.Receive != nil {
			r.Receive(m)
		}
	}
	if o.Answer.Raw == nil && r.IsRequest() {
		o.Err = l.statusError(res, "", "the answer is not a JSON-RPC response")
	}
}

// broken records that a response could not be read to its end.
func (l *Link) broken(o *Outcome, res *http.Response, err error) {
	if errors.Is(err, sse.ErrTooLarge) {
		o.Err = l.statusError(res, "", "the answer is "+err.Error())
		return
	}
	o.Kind, o.Err = Lost, l.networkError(res.Request, err)
}

// Wait pauses between attempts. After ctx has ended it always returns an error, so that every loop around it ends.
func (l *Link) Wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.Pause != nil {
		return l.Pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Link) max() int64 {
	if l.Max > 0 {
		return l.Max
	}
	return defaultMax
}

func mediaType(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind
}

// readAll reads a body into one piece of memory, of the right size if the length is known.
func readAll(res *http.Response, max int64) ([]byte, error) {
	defer res.Body.Close()
	tooLarge := fmt.Errorf("%w: more than %d bytes", sse.ErrTooLarge, max)
	if res.ContentLength > max {
		return nil, tooLarge
	}
	body := io.LimitReader(res.Body, max+1)
	if res.ContentLength > 0 {
		data := make([]byte, res.ContentLength)
		_, err := io.ReadFull(body, data)
		return data, err
	}
	var data sse.Pieces
	n, err := io.Copy(&data, body)
	switch {
	case err != nil:
		return nil, err
	case n > max:
		return nil, tooLarge
	}
	return data.Join(), nil
}

// readText reads a response that only explains a failure.
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

// discard reads the beginning of a body, so that its connection can be reused, and closes it.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	body.Close()
}

// drain is discard in the background, for a stream that the server may hold open.
func drain(body io.ReadCloser) {
	over := time.AfterFunc(drainTimeout, func() { body.Close() })
	go func() {
		discard(body)
		over.Stop()
	}()
	runtime.Gosched() // most servers have ended the stream already
}

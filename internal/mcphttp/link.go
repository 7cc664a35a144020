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
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

const (
	defaultMax   = 512 << 20 // bytes, see Link.Max
	maxErrorBody = 64 << 10  // bytes of an answer that only explains a failure
	drainTimeout = time.Second

	// maxAuthorize bounds how often one request is authorized again, for 401 and 403 each: a login and a DPoP nonce are two.
	maxAuthorize = 2
)

// Link reaches one MCP server. Its methods may be called from several goroutines at once; its fields must not change after the first
// call.
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

// Request is a message on its way to the server.
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
// says whether the server took it. A request that Auth can authorize is sent again after 401 and 403; nothing else is sent twice.
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
		return failed(req, err, written)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		o.judge(l.refusal(&o, r, res), s)
		return o
	}
	l.answer(ctx, s, r, res, &o)
	return o
}

// notSent is the outcome of a request that did not leave this machine.
func notSent(err error) Outcome { return Outcome{Kind: Refused, Reason: NotSent, Err: err} }

// failed is the outcome of a request without an HTTP answer; written says that the request went out, at least in part.
func failed(req *http.Request, err error, written bool) Outcome {
	var a *authorizationError
	switch {
	case errors.As(err, &a):
		return Outcome{Kind: Refused, Reason: Unauthorized, Err: a.err}
	case !written:
		return notSent(networkError(req, err))
	}
	return Outcome{Kind: Lost, Err: networkError(req, err)}
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

// answer reads an answer with a good status.
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
		o.Err = l.statusError(res, "", "expected application/json or text/event-stream, got "+httpx.Text(orNothing(kind), 100))
	default:
		discard(res.Body)
	}
}

// body takes the JSON body of an answer apart.
func (l *Link) body(o *Outcome, r Request, res *http.Response, data []byte) {
	for _, m := range messages(data) {
		if m.IsResponse() && r.IsRequest() && o.Answer.Raw == nil {
			o.Answer = m
		} else if r.Receive != nil {
			r.Receive(m)
		}
	}
	if o.Answer.Raw == nil && r.IsRequest() {
		o.Err = l.statusError(res, "", "its JSON is not a JSON-RPC response")
	}
}

// broken notes that an answer could not be read to its end.
func (l *Link) broken(o *Outcome, res *http.Response, err error) {
	if errors.Is(err, sse.ErrTooLarge) {
		o.Err = l.statusError(res, "", "the answer is "+err.Error())
		return
	}
	o.Kind, o.Err = Lost, networkError(res.Request, err)
}

// send sends a request with the credential, and again if Auth has obtained a better one. written says whether the last attempt went
// out, at least in part.
func (l *Link) send(req *http.Request, body []byte, quiet bool) (res *http.Response, written bool, err error) {
	if !httpx.SameOrigin(req.URL, l.server) {
		return nil, false, &httpx.AddressError{Address: httpx.Text(req.URL.String(), 200), Reason: "it is not on the origin of the MCP server " + plainURL(l.server)}
	}
	if to := l.moved.Load(); to != nil && req.URL.String() == l.URL {
		req.URL = to
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	ctx := httptrace.WithClientTrace(req.Context(), trace)
	for refused := map[int]int{}; ; {
		out := l.attempt(ctx, req, body)
		if err := l.authorize(out); err != nil {
			return nil, false, &authorizationError{err}
		}
		l.masked.add(out.Header.Get("Authorization"))
		wrote.Store(false)
		res, err := l.base.RoundTrip(out)
		if err != nil {
			return nil, wrote.Load(), err
		}
		if out.Header.Get("Authorization") == "" && l.follow(req, res) {
			continue
		}
		unauthorized := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
		if refused[res.StatusCode]++; !unauthorized || quiet || l.Auth == nil || refused[res.StatusCode] > maxAuthorize {
			return res, true, nil
		}
		if res.StatusCode == http.StatusUnauthorized {
			l.overruled.Store(true)
		}
		res.Body = bounded(res.Body)
		if err := l.Auth.Authorize(req.Context(), out, res); err != nil {
			return nil, false, &authorizationError{err}
		}
	}
}

// follow follows a redirect of the endpoint to itself with a slash more or less, which frameworks make of a mounted application. It reports
// whether the request is to be sent there. No other redirect is followed, and none by a request with a token: a login learns the target, and
// the token and the arguments are meant for this address.
func (l *Link) follow(req *http.Request, res *http.Response) bool {
	if res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return false
	}
	to, err := res.Location()
	if err != nil || !httpx.SameOrigin(to, l.server) || to.RawQuery != req.URL.RawQuery || to.Path == req.URL.Path ||
		strings.TrimSuffix(to.Path, "/") != strings.TrimSuffix(req.URL.Path, "/") || req.URL.String() != l.URL {
		return false
	}
	discard(res.Body)
	l.moved.Store(to)
	req.URL = to
	return true
}

// attempt makes the request of one attempt.
func (l *Link) attempt(ctx context.Context, req *http.Request, body []byte) *http.Request {
	out := req.Clone(ctx)
	out.Body = http.NoBody
	if len(body) > 0 {
		out.ContentLength = int64(len(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	}
	for name, values := range l.static {
		switch _, set := out.Header[name]; {
		case set || name == "Authorization":
		case name == "Host":
			out.Host = values[0]
		default:
			out.Header[name] = values
		}
	}
	return out
}

// decorator is a handler that sets the Authorization header itself (DPoP).
type decorator interface {
	Decorate(*http.Request, *oauth2.Token) error
}

// authorizationError marks the handler's error until it reaches the outcome, unchanged.
type authorizationError struct{ err error }

func (e *authorizationError) Error() string { return e.err.Error() }

// authorize sets the Authorization header. The user's static one is used until the server answers 401 to it.
func (l *Link) authorize(req *http.Request) error {
	static, ok := l.static["Authorization"]
	if ok && (l.Auth == nil || !l.overruled.Load()) {
		req.Header["Authorization"] = static
		return nil
	}
	if l.Auth == nil {
		return nil
	}
	source, err := l.Auth.TokenSource(req.Context())
	if err != nil || source == nil {
		return err
	}
	tok, err := source.Token()
	if err != nil || tok == nil {
		return err
	}
	if d, ok := l.Auth.(decorator); ok {
		return d.Decorate(req, tok)
	}
	if strings.ContainsFunc(tok.AccessToken, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the access token holds characters that are not allowed in a header (RFC 6750 §2.1)")
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	return nil
}

// Overruled reports whether the server has refused the static Authorization header, so that Auth is used.
func (l *Link) Overruled() bool { return l.overruled.Load() }

// wait pauses. After the end of ctx it never returns nil, so that every loop around it ends.
func (l *Link) wait(ctx context.Context, d time.Duration) error {
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

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
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
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	body.Close()
}

// drain is discard in the background, for a stream that the server should end now but may hold open.
func drain(body io.ReadCloser) {
	over := time.AfterFunc(drainTimeout, func() { body.Close() })
	go func() {
		discard(body)
		over.Stop()
	}()
	runtime.Gosched() // most servers have ended the stream already
}

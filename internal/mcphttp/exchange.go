// Package mcphttp is the HTTP transport of an MCP client. An exchange sends one JSON-RPC message and returns its outcome. The package
// supports Streamable HTTP of 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26, and HTTP+SSE of 2024-11-05, and authorizes requests
// through the SDK's auth.OAuthHandler.
//
//	link := &mcphttp.Link{URL: "https://mcp.example.com/mcp", Auth: handler}
//	outcome := link.Exchange(ctx, &mcphttp.Session{}, mcphttp.Request{Message: message})
//
// An Outcome is Refused, Answered or Lost. Outcome.Answer is the JSON-RPC response byte for byte. Outcome.Next decides whether a request
// may be sent again. The package has no cache and does not interpret tools. Besides the caller's messages, the package sends only the
// requests that are needed to authorize, to open or resume a stream, and to end a session.
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
	maxMessage   = 512 << 20 // default of Link.MaxMessage
	maxUnasked   = 64 << 10  // bytes of the body of a response to a notification or a response, which needs no body
	drainTimeout = time.Second

	// maxAuthorize limits how often Auth.Authorize is called for one request, separately for 401 and 403. One request may need two calls of
	// Authorize: one to use a new DPoP nonce, and one to log in.
	maxAuthorize = 2
)

// Link exchanges messages with one MCP server. A Link is safe for concurrent use, but its fields must not change after the first call.
type Link struct {
	URL string // the MCP endpoint, or the event stream of a server of MCP 2024-11-05

	// Header is sent with every request to the server's origin, and nowhere else. Headers of the protocol take precedence. An Authorization
	// header in Header is sent until the server answers it with 401. After the 401, Auth is used, if Auth is set.
	Header http.Header

	// Auth may be nil. If Auth has a method Decorate(*http.Request, *oauth2.Token) error, that method sets the Authorization header (DPoP).
	Auth auth.OAuthHandler

	HTTP    *http.Client   // only its Transport is used; nil: httpx.Default()
	Secrets *httpx.Secrets // secrets of the login, to which the Link adds those that it sends; nil: only these

	MaxMessage int64 // limit of one message from the server in bytes; 0: 512 MiB

	Pause func(ctx context.Context, d time.Duration) error // replaces the timer of Wait, for tests; nil: a timer

	once   sync.Once
	urlErr error // why URL is invalid; nil: it is valid
	server *url.URL
	base   http.RoundTripper
	static http.Header // Header with canonical names

	overruled  atomic.Bool             // the server has refused the static Authorization header
	redirect   atomic.Pointer[url.URL] // target of the endpoint's redirect, see followSlashRedirect; nil: none
	ownSecrets httpx.Secrets           // used if Secrets is nil
}

// Receive handles a message of the server, and reports whether the message was of use. A server can make a stream of messages that are of no
// use last for a limited time only.
type Receive func(Message) bool

// Request is a message to send.
type Request struct {
	Message
	Header  http.Header // Mcp-Param headers, see ParamHeader
	Receive Receive     // called with each server message that precedes the response, in order; nil: such messages are dropped
	Quiet   bool        // do not call Auth.Authorize after 401 or 403
}

// bodyLimit returns the limit of a body, or of an event, in a response to the request. A server can make a client send any number of responses
// at once, so the limit of a response to a response is low.
func (r Request) bodyLimit(limit int64) int64 {
	if r.Raw != nil && !r.IsRequest() {
		return min(limit, maxUnasked)
	}
	return limit
}

// isAnsweredBy reports whether a message is a response with the id of the request.
func (r Request) isAnsweredBy(m Message) bool {
	return r.IsRequest() && m.IsResponse() && SameID(m.ID, r.ID)
}

// prepare initializes the link on first use.
func (l *Link) prepare() error {
	l.once.Do(func() {
		if l.server, l.urlErr = url.Parse(l.URL); l.urlErr != nil {
			return
		}
		hc := l.HTTP
		if hc == nil {
			hc = httpx.Default()
		}
		l.base = l.LoginSecrets().Transport(hc.Transport)
		l.static = http.Header{}
		for name, values := range l.Header {
			l.static[http.CanonicalHeaderKey(name)] = values
			for _, value := range values {
				l.LoginSecrets().AddHeader(name, value)
			}
		}
	})
	return l.urlErr
}

// LoginSecrets returns the secrets of the login, to which the Link adds those that it sends.
func (l *Link) LoginSecrets() *httpx.Secrets { return cmp.Or(l.Secrets, &l.ownSecrets) }

// Clean removes the secrets of the login from a message of the server.
func (l *Link) Clean(s string) string { return l.LoginSecrets().Clean(s[:min(len(s), maxText)]) }

// maxText limits a text of a server in a message, in bytes. To find the secrets in a text takes several times its size in memory.
const maxText = 64 << 10

// Exchange sends one message within a session and reads the response. The server does not answer a notification or a response, so the
// outcome of such a message shows whether the server accepted it. Exchange sends the message again only in two cases: after 401 or 403 if
// Auth obtains another token, and after a redirect that adds or removes a final slash.
func (l *Link) Exchange(ctx context.Context, s *Session, r Request) Outcome {
	if err := l.prepare(); err != nil {
		return notSentOutcome(err)
	}
	if s.events != nil {
		return l.exchangeEvents(ctx, s.events, r)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, nil)
	if err != nil {
		return notSentOutcome(err)
	}
	req.Header = s.postHeader(r)
	res, written, err := l.sendAuthorized(req, r.Raw, r.Quiet)
	if err != nil {
		return l.noResponseOutcome(req, err, written)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		l.readRefusal(&o, r, res, s)
		return o
	}
	l.readAnswer(ctx, s, r, res, &o)
	return o
}

// notSentOutcome returns the outcome of a request that was not sent.
func notSentOutcome(err error) Outcome { return Outcome{Kind: Refused, Reason: NotSent, Err: err} }

// noResponseOutcome returns the outcome of a request without an HTTP response. written is true if any part of the request was sent.
func (l *Link) noResponseOutcome(req *http.Request, err error, written bool) Outcome {
	if a, ok := errors.AsType[*authorizationError](err); ok {
		return Outcome{Kind: Refused, Reason: Unauthorized, Err: a.err}
	}
	if !written {
		return notSentOutcome(l.networkError(req, err))
	}
	return Outcome{Kind: Lost, Err: l.networkError(req, err)}
}

// readRefusal reads a response with an error status into the outcome. A JSON-RPC response with the id of the request is the answer, whatever
// the status is: if it is a result, the request was carried out. A JSON-RPC error without an id is the answer if the status is below 500. For
// any other response the outcome has a *StatusError.
func (l *Link) readRefusal(o *Outcome, r Request, res *http.Response, s *Session) {
	text, whole := readText(res, r.bodyLimit(httpx.MaxBody))
	e := l.newStatusError(res, text, "")
	body := trimText(text)
	if r.IsRequest() {
		if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
			o.Answer = findAnswer(body, r.ID, res.StatusCode < 500)
		}
		o.unclear = !whole || !isOwnError(o.Answer, body) && (mediaType(res) == "text/event-stream" || mayAnswer(body, r.ID))
	}
	if o.Answer.Raw == nil {
		o.Err = e
	}
	o.classify(e.Code, e.Text, s)
}

// readAnswer reads a response with a 2xx status into the outcome.
func (l *Link) readAnswer(ctx context.Context, s *Session, r Request, res *http.Response, o *Outcome) {
	switch kind := mediaType(res); {
	case kind == "text/event-stream":
		l.readStream(ctx, s, r, res, o)
	case kind == "application/json":
		data, err := readAll(res, r.bodyLimit(l.messageLimit()))
		if err != nil {
			l.setReadError(o, res, err)
			return
		}
		l.parseBody(o, r, res, data)
		o.classify("", "", s)
	case r.IsRequest():
		httpx.Drain(res.Body)
		o.Err = l.newStatusError(res, "", "expected application/json or text/event-stream, got "+cmp.Or(httpx.Text(l.Clean(kind), 100), "nothing"))
	default:
		httpx.Drain(res.Body)
	}
}

// parseBody parses the JSON body of a response into the outcome. A response without an id is the answer only if no response has the id of the
// request.
func (l *Link) parseBody(o *Outcome, r Request, res *http.Response, data []byte) {
	var withoutID Message
	for m := range parseMessages(data) {
		switch {
		case o.Answer.Raw == nil && r.isAnsweredBy(m):
			o.Answer = m
		case withoutID.Raw == nil && r.IsRequest() && m.IsResponse() && m.ID == nil:
			withoutID = m
		case r.Receive != nil:
			r.Receive(m)
		}
	}
	if o.Answer.Raw == nil {
		o.Answer = withoutID
	}
	o.unclear = o.Answer.Error != nil && !isOwnError(o.Answer, data) && mayAnswer(data, r.ID)
	if o.Answer.Raw == nil && r.IsRequest() {
		o.Err = l.newStatusError(res, "", "the answer is not a JSON-RPC response to this request")
	}
}

// setReadError sets the outcome of a response whose body could not be read to its end.
func (l *Link) setReadError(o *Outcome, res *http.Response, err error) {
	if errors.Is(err, sse.ErrTooLarge) {
		o.Err = l.newStatusError(res, "", "the answer is "+err.Error())
		return
	}
	o.Kind, o.Err = Lost, l.networkError(res.Request, err)
}

// Wait pauses for d. If ctx has ended, Wait always returns an error, so that retry loops end.
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

func mediaType(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind
}

// messageLimit returns the limit of one message in bytes.
func (l *Link) messageLimit() int64 { return cmp.Or(l.MaxMessage, maxMessage) }

// readAll reads a body of at most limit bytes. If the length of the body is known, readAll allocates exactly that size.
func readAll(res *http.Response, limit int64) ([]byte, error) {
	defer res.Body.Close()
	tooLarge := fmt.Errorf("%w: more than %d bytes", sse.ErrTooLarge, limit)
	if res.ContentLength > limit {
		return nil, tooLarge
	}
	body := io.LimitReader(res.Body, limit+1)
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
	case n > limit:
		return nil, tooLarge
	}
	return data.Join(), nil
}

// readText reads at most limit bytes of an error response. whole is false if there is more.
func readText(res *http.Response, limit int64) (text string, whole bool) {
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	size := min(int64(len(data)), limit)
	return string(data[:size]), err == nil && size == int64(len(data))
}

// drainInBackground discards a body in the background, because the server may keep the stream open.
func drainInBackground(body io.ReadCloser) {
	over := time.AfterFunc(drainTimeout, func() { body.Close() })
	go func() {
		httpx.Drain(body)
		over.Stop()
	}()
	runtime.Gosched() // lets the goroutine run now: most servers have already ended the stream, so that the goroutine ends at once
}

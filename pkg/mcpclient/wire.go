// This file is the transport below the SDK's own (http.RoundTripper). It answers from memory what need not be asked, authorizes the rest,
// keeps what comes back byte for byte, and hands the SDK a stand-in of a few bytes, so that a large result exists once.

package mcpclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"mcpauth/internal/httpx"
)

// wire is the transport of one session.
type wire struct {
	c      *Client
	base   http.RoundTripper
	server *url.URL
	header http.Header // Client.Header with canonical names
	era    era

	shared     atomic.Bool   // requests share a connection: HTTP/2
	overruled  *atomic.Bool  // the static Authorization header was refused: shared by the sessions of a client
	ready      chan struct{} // closed when the server has answered notifications/initialized
	listening  chan struct{} // closed when the stream of the session is open, or is not to be had; nil: none is wanted
	background sync.WaitGroup
	cancelled  chan struct{} // gets a value when a cancellation was delivered

	mu      sync.Mutex
	pending map[string]*exchange // by id, where answers come on another stream than their requests' (HTTP+SSE)
}

// toolKey holds the tool that the SDK is to learn of, so that it can make the Mcp-Param headers of a call.
type toolKey struct{}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	if !httpx.SameOrigin(req.URL, w.server) {
		// Both the token and the arguments are meant for one origin; an HTTP+SSE server may name another in its endpoint event.
		err := &httpx.AddressError{Address: httpx.Text(req.URL.String(), 200), Reason: "it is not on the origin of the MCP server " + plainURL(w.server)}
		exchangeOf(req.Context()).failed(err, false)
		return nil, err
	}
	m, _ := parseMessage(body)
	tool, teaching := req.Context().Value(toolKey{}).(json.RawMessage)
	switch {
	case m.method == "server/discover":
		return reply(req, m.id, discovered), nil
	case m.method == "tools/list" && teaching:
		return reply(req, m.id, taught(tool)), nil
	case m.method == "notifications/initialized" && w.era == eraLegacy:
		return w.initialized(req, body)
	case m.method == "notifications/cancelled" && w.era == eraModern:
		return accepted(req), nil // closing the stream was the cancellation (2026-07-28, Streamable HTTP, Cancellation)
	case m.method == "notifications/cancelled":
		res, err := w.send(req, body, true)
		signal(w.cancelled)
		return res, err
	case req.Method == http.MethodDelete:
		return w.send(req, nil, true)
	case w.listensFor(req):
		return w.standalone(req), nil
	case req.Method == http.MethodGet:
		return w.listen(req)
	case m.id == nil || m.method == "": // notifications, and answers to the server's own requests
		return w.send(req, body, false)
	}
	return w.ask(req, body, m)
}

// ask sends a request and returns what the SDK is to take for its answer.
func (w *wire) ask(req *http.Request, body []byte, m message) (*http.Response, error) {
	w.awaitListening(req.Context(), m.method)
	x := exchangeOf(req.Context())
	x.change(func(a *answer) {
		*a = answer{id: string(m.id), held: req.Header.Get("Mcp-Session-Id") != "", early: !isClosed(w.ready)}
	})
	w.expect(x)
	var written atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }}))
	res, err := w.send(req, body, false)
	switch {
	case err != nil:
		x.failed(w.networkError(req, err), written.Load() && !isAuthorization(err))
		x.change(func(a *answer) { a.auth = isAuthorization(err) })
		return nil, err
	case w.era == eraSSE && res.StatusCode < 300:
		return res, nil // the answer comes on the stream
	}
	x.change(func(a *answer) { a.status = res.StatusCode })
	w.shared.Store(res.ProtoMajor >= 2)
	return w.answer(req, res, x)
}

// listen opens an event stream: that of HTTP+SSE, or the rest of a legacy answer that was cut off (2025-11-25, Streamable HTTP,
// Resumability and Redelivery). Where the rest is not to be had, nobody knows what became of the request.
func (w *wire) listen(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	res, err := w.send(req, nil, false)
	if err != nil {
		x.failed(w.networkError(req, err), !isAuthorization(err))
		x.change(func(a *answer) { a.auth = isAuthorization(err) })
		return nil, err
	}
	if res.StatusCode >= 300 || mediaType(res) != "text/event-stream" {
		x.failed(w.statusError(req, res, readText(res), ""), true)
		res.Body = http.NoBody
		if res.StatusCode < 300 {
			res.StatusCode = http.StatusNotAcceptable // the SDK reads events whatever the type
		}
		return res, nil
	}
	if w.era == eraSSE {
		x = nil
	}
	res.Body = w.stream(res, x)
	return res, nil
}

// initialized sends the notification that a handshake ends with. It needs no answer, and waiting for one costs a round trip. Where
// requests share a connection (HTTP/2) the SDK is let go on as soon as it is written; the call that follows arrives after it. A server
// that all the same sees them in the wrong order refuses the call, which is then sent again (see next). On HTTP/1.1 there is nothing to
// gain: the call would need a connection of its own, whose handshake takes as long as the answer, and on a fast network it
// overtakes the notification (tried: it does).
func (w *wire) initialized(req *http.Request, body []byte) (*http.Response, error) {
	if !w.shared.Load() {
		defer close(w.ready)
		res, err := w.send(req, body, false)
		if err != nil {
			return nil, err
		}
		discard(res) // whatever it is: the call will show whether the server is ready
		return accepted(req), nil
	}
	written := make(chan struct{})
	wrote := sync.OnceFunc(func() { close(written) })
	ctx := httptrace.WithClientTrace(context.WithoutCancel(req.Context()), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote() },
	})
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	w.background.Go(func() {
		defer cancel()
		defer close(w.ready)
		defer wrote()
		if res, err := w.send(req.WithContext(ctx), body, false); err == nil {
			discard(res)
		}
	})
	select {
	case <-written:
		return accepted(req), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

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

// expect registers an exchange whose answer comes on the shared stream.
func (w *wire) expect(x *exchange) {
	if w.era != eraSSE {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[x.now().id] = x
}

// expected returns the exchange that waits for that id, and forgets it.
func (w *wire) expected(id string) *exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, x := range w.pending {
		if sameID(k, id) {
			delete(w.pending, k)
			return x
		}
	}
	return nil
}

// abandon fails all that wait on the shared stream.
func (w *wire) abandon(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, x := range w.pending {
		x.failed(err, true)
		delete(w.pending, k)
	}
}

// discovered is what the SDK is told when it asks for the server's versions: every request carries its version and is refused where
// the server has another, so asking first is a round trip for nothing (2026-07-28, Discovery, When to Call).
var discovered = json.RawMessage(`{"resultType":"complete","supportedVersions":["` + modernVersion + `"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}`)

// taught is a list with one tool.
func taught(tool json.RawMessage) json.RawMessage {
	return fmt.Appendf(nil, `{"resultType":"complete","tools":[%s],"ttlMs":86400000,"cacheScope":"private"}`, tool)
}

// reply is a JSON answer made here.
func reply(req *http.Request, id, result json.RawMessage) *http.Response {
	return stub(req, nil, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result))
}

func stub(req *http.Request, h http.Header, body []byte) *http.Response {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req}
}

// accepted is the answer to a notification.
func accepted(req *http.Request) *http.Response {
	res := stub(req, nil, nil)
	res.Status, res.StatusCode, res.Body = "202 Accepted", http.StatusAccepted, http.NoBody
	return res
}

func readRequest(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(req.Body)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// This file is the HTTP side of the relay: one POST a message, and what to do about its answer.

package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

const (
	metaVersion   = "io.modelcontextprotocol/protocolVersion"
	maxResumption = 5 // how often the rest of an answer is asked for without getting any of it
)

// newRequest makes a request for a message; without one it is about the session.
func (r *relay) newRequest(ctx context.Context, method string, m message) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.c.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	switch method {
	case http.MethodPost:
		req.Header.Set("Content-Type", "application/json")
	case http.MethodGet:
		req.Header.Set("Accept", "text/event-stream")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	version := requestVersion(m)
	switch {
	case version != "":
		r.modernHeaders(req.Header, m)
	case m.method != "initialize":
		version = r.version
		if r.session != "" {
			req.Header.Set("Mcp-Session-Id", r.session)
		}
	}
	if version != "" {
		req.Header.Set("Mcp-Protocol-Version", version)
	}
	return req, nil
}

// forward sends a message and writes what comes back. It is sent again where the answer proves that it was not carried out: 401 and 403
// are dealt with by wire.send; a session that the server has lost is opened anew; a header that does not fit is made anew.
func (r *relay) forward(ctx context.Context, m message, data []byte) {
	var renewed, refetched bool
	for {
		if s := r.oldSession(); s != nil {
			r.forwardOld(ctx, s, m, data)
			return
		}
		req, err := r.newRequest(ctx, http.MethodPost, m)
		if err != nil {
			r.fail(ctx, m, err)
			return
		}
		res, err := r.w.send(req, data, false)
		if err != nil {
			r.fail(ctx, m, r.w.networkError(req, err))
			return
		}
		if res.StatusCode < 300 {
			r.answered(ctx, m, req, res)
			return
		}
		text := readText(res)
		refusal, _ := parseMessage([]byte(text))
		session := req.Header.Get("Mcp-Session-Id")
		words := unquote(member(refusal.failure, "message")) + text
		switch {
		case session != "" && !renewed && sessionLost(res.StatusCode, words):
			renewed = true
			if err := r.renew(ctx, session, 0); err != nil {
				r.fail(ctx, m, err)
				return
			}
		case m.method == "tools/call" && !refetched && string(member(refusal.failure, "code")) == "-32020":
			refetched = true
			r.refetch(ctx, m)
		case m.method == "initialize" && oldTransport(res.StatusCode):
			var foreign *httpx.AddressError
			if _, err := r.openOld(ctx); errors.As(err, &foreign) {
				r.fail(ctx, m, err)
				return
			} else if err != nil {
				r.refused(ctx, m, req, res, text, refusal)
				return
			}
		default:
			r.refused(ctx, m, req, res, text, refusal)
			return
		}
	}
}

// refused passes on what a server says in an answer with an error status. Some leave out the id, without which the program would wait
// for ever.
func (r *relay) refused(ctx context.Context, m message, req *http.Request, res *http.Response, text string, refusal message) {
	switch {
	case refusal.failure == nil:
		r.fail(ctx, m, r.w.statusError(req, res, text, ""))
	case m.id == nil || m.method == "":
	case sameID(string(refusal.id), string(m.id)):
		r.write(r.harmless(refusal, []byte(text)))
	default:
		r.write(r.harmless(refusal, joinedFailure(m.id, refusal.failure)))
	}
}

func joinedFailure(id, failure json.RawMessage) []byte {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	return append(append(append(out, `,"error":`...), failure...), '}')
}

// answered writes an answer with a good status.
func (r *relay) answered(ctx context.Context, m message, req *http.Request, res *http.Response) {
	isRequest := m.id != nil && m.method != ""
	switch kind := mediaType(res); {
	case kind == "text/event-stream":
		r.resumed(ctx, m, req, res)
	case kind == "application/json":
		data, err := readAll(res, r.w.max())
		switch {
		case err != nil:
			r.fail(ctx, m, r.w.networkError(req, err))
		case !valid(data):
			r.fail(ctx, m, r.w.statusError(req, res, "", "its JSON is broken"))
		default:
			r.pass(m, res.Header, data)
		}
	case isRequest:
		discard(res)
		r.fail(ctx, m, r.w.statusError(req, res, "", wrongType(res, kind)))
	default:
		discard(res)
	}
}

// pass writes a message of the server, and takes note of what concerns the relay. It reports whether it answers the request.
func (r *relay) pass(request message, h http.Header, data []byte) (answered bool) {
	m, ok := parseMessage(data)
	if answered = ok && m.isResponse() && sameID(string(m.id), string(request.id)); answered && m.failure == nil {
		switch request.method {
		case "initialize":
			r.mu.Lock()
			r.session, r.version = h.Get("Mcp-Session-Id"), unquote(member(m.result, "protocolVersion"))
			r.mu.Unlock()
		case "tools/list":
			r.note(m.result)
		}
	}
	r.write(r.harmless(m, data))
	return answered
}

// harmless takes the credentials out of a server's errors and notifications: the program behind never had them. Results are data, and
// stay as they are.
func (r *relay) harmless(m message, data []byte) []byte {
	if m.result != nil {
		return data
	}
	if clean := []byte(r.w.clean(string(data))); valid(clean) {
		return clean
	}
	return rpcFailure(m.id, -32000, "the server's words hold a credential, and are left out")
}

// resumed reads an event stream, and asks for its rest where it is cut off and the server keeps one (2025-11-25, Streamable HTTP,
// Resumability and Redelivery).
func (r *relay) resumed(ctx context.Context, m message, req *http.Request, res *http.Response) {
	last := ""
	for tries := 0; ; {
		answered, seen, gap, err := r.events(m, res)
		if answered || m.id == nil || m.method == "" {
			return
		}
		if tries++; seen != "" && seen != last {
			last, tries = seen, 0
		}
		if last == "" || requestVersion(m) != "" || tries > maxResumption {
			r.fail(ctx, m, r.w.networkError(req, lost(err)))
			return
		}
		if r.c.wait(ctx, gap) != nil {
			return
		}
		again, err := r.newRequest(ctx, http.MethodGet, message{})
		if err != nil {
			return
		}
		again.Header.Set("Last-Event-ID", last)
		if res, err = r.w.send(again, nil, false); err == nil && (res.StatusCode >= 300 || mediaType(res) != "text/event-stream") {
			err = r.w.statusError(again, res, readText(res), "")
		}
		if err != nil {
			r.fail(ctx, m, r.w.networkError(req, err))
			return
		}
	}
}

// events writes what a stream holds, until it ends or has answered the request. last is the id of the last event, gap how long to wait
// before the stream is opened again, err what it ended with.
func (r *relay) events(m message, res *http.Response) (answered bool, last string, gap time.Duration, err error) {
	defer res.Body.Close()
	gap = listenRetry
	events := newEvents(res.Body, r.w.max())
	for {
		ev, err := events.Next()
		if err != nil {
			return answered, last, gap, err
		}
		if ev.ID != "" {
			last = ev.ID
		}
		if ev.Retry != "" {
			gap = retryGap(ev.Retry)
		}
		if len(ev.Data) == 0 || ev.Name != "" && ev.Name != "message" || !valid(ev.Data) {
			continue
		}
		if r.pass(m, res.Header, ev.Data) {
			return true, last, gap, nil
		}
	}
}

// firstAnswer reads the answer to a request that the relay makes for itself.
func (r *relay) firstAnswer(req *http.Request, res *http.Response, request message) (json.RawMessage, error) {
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return nil, r.w.statusError(req, res, readText(res), "")
	}
	take := func(data []byte) (json.RawMessage, bool) {
		m, ok := parseMessage(data)
		return m.result, ok && m.isResponse() && sameID(string(m.id), string(request.id))
	}
	if mediaType(res) != "text/event-stream" {
		data, err := readAll(res, r.w.max())
		if err != nil {
			return nil, r.w.networkError(req, err)
		}
		if result, ok := take(data); ok && result != nil {
			return result, nil
		}
		return nil, r.w.statusError(req, res, "", errNoAnswer.Error())
	}
	for events := newEvents(res.Body, r.w.max()); ; {
		ev, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, r.w.statusError(req, res, "", errNoAnswer.Error())
		case err != nil:
			return nil, r.w.networkError(req, err)
		}
		if result, ok := take(ev.Data); ok && result != nil {
			return result, nil
		}
	}
}

// requestVersion is the revision that a request names for itself, empty before 2026-07-28.
func requestVersion(m message) string {
	if m.method == "" || !strings.Contains(string(m.params), metaVersion) {
		return ""
	}
	return unquote(member(member(m.params, "_meta"), metaVersion))
}

// This file relays to servers of 2024-11-05 (HTTP with SSE): one stream carries all that the server says, and its first event names the
// address for what the program says. A stream that ends takes the session with it; the program's next message opens another.

package mcpclient

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

// endpointTimeout is how long the first event may take.
const endpointTimeout = 10 * time.Second

// oldSession is the session of such a server.
type oldSession struct {
	endpoint string
	stream   context.Context // over when the stream has ended, the cause says why
	end      context.CancelCauseFunc

	mu      sync.Mutex
	waiting map[string]waiter // requests under way, by id
}

// waiter is a request under way.
type waiter struct {
	over chan struct{} // closed when the answer has passed
	own  bool          // the relay's: its answer is not for the program
}

func (r *relay) oldSession() *oldSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.old
}

// openOld opens a session, in place of one that the relay may have. It outlives the message that it is opened for.
func (r *relay) openOld(opening context.Context) (s *oldSession, err error) {
	ctx, end := context.WithCancelCause(r.base)
	opening, cancel := context.WithTimeout(opening, endpointTimeout)
	defer cancel()
	stop := context.AfterFunc(opening, func() { end(context.Cause(opening)) })
	defer func() {
		stop()
		if err != nil {
			end(err)
		}
	}()
	req, err := r.newRequest(ctx, http.MethodGet, message{})
	if err != nil {
		return nil, err
	}
	res, err := r.w.send(req, nil, false)
	if err != nil {
		return nil, r.w.networkError(req, err)
	}
	if res.StatusCode >= 300 || mediaType(res) != "text/event-stream" {
		return nil, r.w.statusError(req, res, readText(res), "")
	}
	events := newEvents(res.Body, r.w.max())
	address, err := r.endpoint(req, res, events)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	s = &oldSession{endpoint: address, stream: ctx, end: end, waiting: map[string]waiter{}}
	go func() {
		defer res.Body.Close()
		end(r.hearOld(s, events))
	}()
	r.mu.Lock()
	r.old = s
	r.mu.Unlock()
	return s, nil
}

// endpoint reads the first event.
func (r *relay) endpoint(req *http.Request, res *http.Response, events *sse.Reader) (string, error) {
	first, err := events.Next()
	if err != nil || first.Name != "endpoint" {
		return "", r.w.statusError(req, res, "", "its event stream does not begin with an endpoint")
	}
	address, err := req.URL.Parse(string(first.Data))
	if err != nil || !httpx.SameOrigin(address, r.w.server) { // the messages and the token are meant for one origin
		return "", &httpx.AddressError{Address: httpx.Text(string(first.Data), 200), Reason: "it is not on the origin of the MCP server " + plainURL(r.w.server)}
	}
	return address.String(), nil
}

// hearOld passes on what the stream holds, and returns what it ended with.
func (r *relay) hearOld(s *oldSession, events *sse.Reader) error {
	for {
		ev, err := events.Next()
		if err != nil {
			return lost(err)
		}
		if ev.Name != "" && ev.Name != "message" || !valid(ev.Data) {
			continue
		}
		m, ok := parseMessage(ev.Data)
		var w waiter
		if ok && m.isResponse() {
			w = s.take(m.id)
		}
		if !w.own {
			r.write(r.harmless(m, ev.Data))
		}
		if w.over != nil {
			close(w.over)
		}
	}
}

// take returns the one who waits for the answer with that id, and waits no more; the zero waiter where nobody does.
func (s *oldSession) take(id json.RawMessage) waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	for known, w := range s.waiting {
		if sameID(known, string(id)) {
			delete(s.waiting, known)
			return w
		}
	}
	return waiter{}
}

// leave ends a wait.
func (s *oldSession) leave(id json.RawMessage, w waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[string(id)] == w { // else answered, and the program uses the id again
		delete(s.waiting, string(id))
	}
}

// forwardOld sends a message of the program, and waits for its answer to have passed.
func (r *relay) forwardOld(ctx context.Context, s *oldSession, m message, data []byte) {
	if s.stream.Err() != nil {
		var err error
		if s, err = r.reopenOld(ctx, s); err != nil {
			r.fail(ctx, m, err)
			return
		}
	}
	if err := r.say(ctx, s, m, data, false); err != nil {
		r.fail(ctx, m, err)
	}
}

// say sends one message and waits for its answer, if there is to be one.
func (r *relay) say(ctx context.Context, s *oldSession, m message, data []byte, own bool) error {
	w := waiter{make(chan struct{}), own}
	if m.id == nil || m.method == "" {
		close(w.over)
	} else {
		s.mu.Lock()
		s.waiting[string(m.id)] = w
		s.mu.Unlock()
		defer s.leave(m.id, w)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.w.send(req, data, false)
	if err != nil {
		return r.w.networkError(req, err)
	}
	if res.StatusCode >= 300 {
		return r.w.statusError(req, res, readText(res), "")
	}
	discard(res)
	select {
	case <-w.over:
		return nil
	case <-s.stream.Done():
		if isClosed(w.over) {
			return nil // both came before the answer to the POST
		}
		return r.w.networkError(req, context.Cause(s.stream))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reopenOld opens a session in place of one that has ended, with the program's own words: it does not notice.
func (r *relay) reopenOld(ctx context.Context, ended *oldSession) (*oldSession, error) {
	r.renewing.Lock()
	defer r.renewing.Unlock()
	r.mu.Lock()
	current, opened, initialized := r.old, r.opened, r.initialized
	r.mu.Unlock()
	if current != ended {
		return current, nil // another message was faster
	}
	s, err := r.openOld(ctx)
	if err != nil {
		return nil, err
	}
	m, _ := parseMessage(opened)
	err = r.say(ctx, s, m, opened, true)
	if err == nil && initialized != nil {
		err = r.say(ctx, s, message{}, initialized, true)
	}
	if err != nil {
		s.end(err) // half a handshake is none
	}
	return s, err
}

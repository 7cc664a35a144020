package mcphttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

const (
	endpointTimeout = 10 * time.Second // limit for the first event of an HTTP+SSE stream
	maxEndpoint     = 8 << 10          // limit of the URL of the endpoint in bytes

	// answerGrace is how long a request waits for its answer after the server has refused the POST. The answer comes on another connection, so
	// that it may arrive later than the refusal. Without the wait, a request that was carried out would be sent again.
	answerGrace = 250 * time.Millisecond
)

var errEnded = errors.New("the session was ended")

// eventSession is a session of HTTP+SSE.
type eventSession struct {
	endpoint string
	stream   context.Context // ends with the stream; the cause is the error that ended the stream
	end      context.CancelCauseFunc

	mu      sync.Mutex
	waiting map[string]chan Message // requests without an answer, by id; each channel has room for one answer
	left    bool                    // Leave was called
}

// openEventStream opens the stream and reads the URL of the endpoint. The stream stays open when ctx ends.
func (l *Link) openEventStream(ctx context.Context, receive func(*Session, Message) bool, quiet bool) (s *Session, err error) {
	stream, end := context.WithCancelCause(context.Background())
	ctx, cancel := context.WithTimeout(ctx, endpointTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	defer func() {
		stop()
		if err != nil {
			end(err)
		}
	}()
	res, err := l.openStream(stream, &Session{}, "", quiet)
	if err != nil {
		return nil, err
	}
	events := sse.NewReader(res.Body, l.messageLimit())
	address, err := l.readEndpoint(res, events)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	s = &Session{events: &eventSession{endpoint: address, stream: stream, end: end, waiting: map[string]chan Message{}}}
	go func() {
		defer res.Body.Close()
		end(s.events.dispatchMessages(events, func(m Message) bool { return receive(s, m) }))
	}()
	return s, nil
}

// readEndpoint reads the URL of the endpoint from the first event. The URL must have the server's origin, because messages and the access
// token are sent to the URL. The URL must also be in the server's folder, because another tenant of the origin may own any other URL.
func (l *Link) readEndpoint(res *http.Response, events *sse.Reader) (string, error) {
	first, err := events.Next()
	if err != nil || first.Name != "endpoint" {
		return "", l.newStatusError(res, "", "its event stream does not begin with an endpoint event")
	}
	if len(first.Data) > maxEndpoint {
		return "", l.refuseAddress(string(first.Data), "longer than 8 kB")
	}
	address, err := res.Request.URL.Parse(string(first.Data))
	if err != nil || !httpx.SameOrigin(address, l.server) {
		return "", l.foreignAddress(string(first.Data))
	}
	if folder := serverFolder(l.server); !httpx.IsBelow(address, folder) {
		return "", l.refuseAddress(string(first.Data), "it is not below "+l.plainURL(folder)+" and may belong to another server")
	}
	return address.String(), nil
}

// serverFolder returns the URL under which a server may name its endpoint: the parent folder if the last part of the path is a word of the
// transport, or else the server's own URL, because the last part may be the name of a tenant. /v1/sse and /v1/sse/ may name /v1/messages.
func serverFolder(server *url.URL) *url.URL {
	if slices.Contains([]string{"sse", "mcp", "events"}, path.Base(server.EscapedPath())) {
		return server.JoinPath("..")
	}
	return server
}

// notOpenedOutcome returns the outcome of a stream that could not be opened.
func notOpenedOutcome(err error) Outcome {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return Outcome{Kind: Answered, Status: status.StatusCode, Err: err}
	}
	return notSentOutcome(err)
}

// dispatchMessages passes each message of the stream to its request or to receive. The result is the error that ended the stream.
func (s *eventSession) dispatchMessages(events *sse.Reader, receive Receive) error {
	for {
		ev, err := events.Next()
		if err != nil {
			return streamError(err)
		}
		used := false
		if ev.Name == "" || ev.Name == "message" {
			for m := range parseMessages(ev.Data) {
				if m.IsResponse() && s.deliverAnswer(m) || receive(m) {
					used = true
				}
			}
		}
		if !used {
			events.Ignored()
		}
	}
}

// deliverAnswer passes an answer to its request, and reports whether there is such a request.
func (s *eventSession) deliverAnswer(m Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := string(m.ID)
	if s.waiting[id] == nil { // two requests can have the ids 1 and "1", so the exact id comes first
		for known := range s.waiting {
			if SameID(json.RawMessage(known), m.ID) {
				id = known
			}
		}
	}
	answer := s.waiting[id]
	if answer == nil {
		return false
	}
	delete(s.waiting, id)
	answer <- m
	return true
}

// addRequest adds a request, unless the stream has ended.
func (s *eventSession) addRequest(id string, answer chan Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream.Err() == nil {
		s.waiting[id] = answer
	}
}

// removeRequest removes a request. A newer request with the same id is not removed.
func (s *eventSession) removeRequest(id string, answer chan Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == answer {
		delete(s.waiting, id)
	}
	s.endIfUnused()
}

// endIfUnused ends the stream after Leave, if no request waits for an answer. mu must be locked.
func (s *eventSession) endIfUnused() {
	if s.left && len(s.waiting) == 0 {
		s.end(errEnded)
	}
}

// leave ends the stream as soon as no request waits for an answer.
func (s *eventSession) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	s.endIfUnused()
}

// exchangeEvents sends a message to the endpoint. The answer arrives on the stream.
func (l *Link) exchangeEvents(ctx context.Context, s *eventSession, r Request) Outcome {
	var answer chan Message // nil: there will be none
	if r.IsRequest() {
		answer = make(chan Message, 1)
		s.addRequest(string(r.ID), answer)
		defer s.removeRequest(string(r.ID), answer)
	}
	if s.stream.Err() != nil {
		return Outcome{Kind: Refused, Reason: UnknownSession, Err: l.networkError(&http.Request{Method: http.MethodGet, URL: l.server}, context.Cause(s.stream))}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, nil)
	if err != nil {
		return notSentOutcome(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, written, err := l.sendAuthorized(req, r.Raw, r.Quiet)
	if err != nil {
		return s.preferAnswer(l.noResponseOutcome(req, err, written), answer)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		l.readRefusal(&o, r, res, &Session{Version: "2024-11-05", ID: s.endpoint})
		return s.preferAnswer(o, answer)
	}
	httpx.Drain(res.Body)
	if !r.IsRequest() {
		return o
	}
	select {
	case m := <-answer:
		return streamOutcome(o, m)
	case <-ctx.Done():
		o.Kind, o.Err = Lost, l.networkError(req, context.Cause(ctx))
	case <-s.stream.Done():
		o.Kind, o.Err = Lost, l.networkError(req, context.Cause(s.stream))
	}
	return s.preferAnswer(o, answer) // the answer may have come before the end
}

// preferAnswer returns the answer that has come on the stream, or else o. If the caller would send the request again after o, preferAnswer
// waits for the answer.
func (s *eventSession) preferAnswer(o Outcome, answer <-chan Message) Outcome {
	var m Message
	if answer != nil && (o.Reason == UnknownSession || o.Reason == UnsupportedVersion) {
		select {
		case m = <-answer:
		case <-s.stream.Done():
		case <-time.After(answerGrace):
		}
	}
	if m.Raw == nil {
		select {
		case m = <-answer:
		default:
			return o
		}
	}
	return streamOutcome(o, m)
}

// streamOutcome returns the outcome of a request that was answered on the stream. o is the outcome of the POST. The status is that of the
// stream, because a status such as 202 would tell the proxy's program that there is no answer.
func streamOutcome(o Outcome, m Message) Outcome {
	return Outcome{Status: http.StatusOK, Header: o.Header, Answer: m}
}

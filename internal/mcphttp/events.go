package mcphttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

// endpointTimeout limits the wait for the first event of an HTTP+SSE stream.
const endpointTimeout = 10 * time.Second

var errEnded = errors.New("the session was ended")

// eventSession is a session of HTTP+SSE.
type eventSession struct {
	endpoint string
	stream   context.Context // ends with the stream; the cause is the error that ended the stream
	end      context.CancelCauseFunc

	mu      sync.Mutex
	waiting map[string]chan Message // requests without an answer, by id; each channel has room for one answer
}

// openEventStream opens the stream and reads the URL of the endpoint. The stream stays open when ctx ends.
func (l *Link) openEventStream(ctx context.Context, receive func(*Session, Message), quiet bool) (s *Session, err error) {
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
		end(s.events.dispatchMessages(events, func(m Message) { receive(s, m) }))
	}()
	return s, nil
}

// readEndpoint reads the URL of the endpoint from the first event. The URL must have the server's origin, because messages and the access
// token are sent to the URL.
func (l *Link) readEndpoint(res *http.Response, events *sse.Reader) (string, error) {
	first, err := events.Next()
	if err != nil || first.Name != "endpoint" {
		return "", l.newStatusError(res, "", "its event stream does not begin with an endpoint event")
	}
	address, err := res.Request.URL.Parse(string(first.Data))
	if err != nil || !httpx.SameOrigin(address, l.server) {
		return "", l.foreignAddress(string(first.Data))
	}
	return address.String(), nil
}

// notOpenedOutcome returns the outcome of a stream that could not be opened.
func notOpenedOutcome(err error) Outcome {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return Outcome{Kind: Answered, Status: status.StatusCode, Err: err}
	}
	return notSentOutcome(err)
}

// dispatchMessages passes each message of the stream to its request or to receive. The result is the error that ended the stream.
func (s *eventSession) dispatchMessages(events *sse.Reader, receive func(Message)) error {
	for {
		ev, err := events.Next()
		if err != nil {
			return streamError(err)
		}
		if ev.Name != "" && ev.Name != "message" {
			continue
		}
		for m := range parseMessages(ev.Data) {
			if m.IsResponse() {
				if answer := s.takeRequest(m.ID); answer != nil {
					answer <- m
					continue
				}
			}
			receive(m)
		}
	}
}

// takeRequest removes the request with this id and returns the channel for its answer, or nil if there is no such request.
func (s *eventSession) takeRequest(id json.RawMessage) chan<- Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for known, answer := range s.waiting {
		if SameID(json.RawMessage(known), id) {
			delete(s.waiting, known)
			return answer
		}
	}
	return nil
}

// removeRequest removes a request. A newer request with the same id is not removed.
func (s *eventSession) removeRequest(id string, answer chan Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == answer {
		delete(s.waiting, id)
	}
}

// exchangeEvents sends a message to the endpoint. The answer arrives on the stream.
func (l *Link) exchangeEvents(ctx context.Context, s *eventSession, r Request) Outcome {
	if s.stream.Err() != nil {
		return Outcome{Kind: Refused, Reason: UnknownSession, Err: l.networkError(&http.Request{Method: http.MethodGet, URL: l.server}, context.Cause(s.stream))}
	}
	answer := make(chan Message, 1)
	if r.IsRequest() {
		s.mu.Lock()
		s.waiting[string(r.ID)] = answer
		s.mu.Unlock()
		defer s.removeRequest(string(r.ID), answer)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, nil)
	if err != nil {
		return notSentOutcome(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, written, err := l.sendAuthorized(req, r.Raw, r.Quiet)
	if err != nil {
		return l.noResponseOutcome(req, err, written)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		l.readRefusal(&o, r, res, &Session{Version: "2024-11-05", ID: s.endpoint})
		return o
	}
	discardBody(res.Body)
	if !r.IsRequest() {
		return o
	}
	select {
	case o.Answer = <-answer:
		return o
	case <-ctx.Done():
		o.Kind, o.Err = Lost, l.networkError(req, context.Cause(ctx))
	case <-s.stream.Done():
		select {
		case o.Answer = <-answer: // the answer came before the stream ended
		default:
			o.Kind, o.Err = Lost, l.networkError(req, context.Cause(s.stream))
		}
	}
	return o
}

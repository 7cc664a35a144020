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
	stream   context.Context // ends with the stream; its cause is the reason
	end      context.CancelCauseFunc

	mu      sync.Mutex
	waiting map[string]chan Message // requests without an answer, by id; each channel has room for one answer
}

// openEvents opens the stream and reads the URL of the endpoint. The stream stays open when ctx ends.
func (l *Link) openEvents(ctx context.Context, receive func(*Session, Message), quiet bool) (s *Session, err error) {
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
	res, err := l.open(stream, &Session{}, "", quiet)
	if err != nil {
		return nil, err
	}
	events := sse.NewReader(res.Body, l.limit())
	address, err := l.endpoint(res, events)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	s = &Session{events: &eventSession{endpoint: address, stream: stream, end: end, waiting: map[string]chan Message{}}}
	go func() {
		defer res.Body.Close()
		end(s.events.read(events, func(m Message) { receive(s, m) }))
	}()
	return s, nil
}

// endpoint reads the URL of the endpoint from the first event. The URL must have the server's origin, because messages and the access token
// are sent to it.
func (l *Link) endpoint(res *http.Response, events *sse.Reader) (string, error) {
	first, err := events.Next()
	if err != nil || first.Name != "endpoint" {
		return "", l.statusError(res, "", "its event stream does not begin with an endpoint event")
	}
	address, err := res.Request.URL.Parse(string(first.Data))
	if err != nil || !httpx.SameOrigin(address, l.server) {
		return "", &httpx.AddressError{Address: httpx.Text(string(first.Data), 200), Reason: "it is not on the origin of the MCP server " + plainURL(l.server)}
	}
	return address.String(), nil
}

// notOpened returns the outcome of a stream that could not be opened.
func notOpened(err error) Outcome {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return Outcome{Kind: Answered, Status: status.StatusCode, Err: err}
	}
	return notSent(err)
}

// read passes each message of the stream to its request or to receive, and returns the error that ended the stream.
func (s *eventSession) read(events *sse.Reader, receive func(Message)) error {
	for {
		ev, err := events.Next()
		if err != nil {
			return ended(err)
		}
		if ev.Name != "" && ev.Name != "message" {
			continue
		}
		for m := range messages(ev.Data) {
			if m.IsResponse() {
				if answer := s.take(m.ID); answer != nil {
					answer <- m
					continue
				}
			}
			receive(m)
		}
	}
}

// take removes the request with this id and returns the channel for its answer, or nil.
func (s *eventSession) take(id json.RawMessage) chan<- Message {
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

// leave removes a request. A newer request with the same id is not removed.
func (s *eventSession) leave(id string, answer chan Message) {
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
		defer s.leave(string(r.ID), answer)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, nil)
	if err != nil {
		return notSent(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, written, err := l.send(req, r.Raw, r.Quiet)
	if err != nil {
		return l.failed(req, err, written)
	}
	o := Outcome{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		o.judge(l.refusal(&o, r, res), &Session{Version: "2024-11-05", ID: s.endpoint})
		return o
	}
	discard(res.Body)
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

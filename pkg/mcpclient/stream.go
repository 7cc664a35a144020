// This file reads event streams on their way to the SDK. Responses are kept in the exchange and replaced by their stand-ins.

package mcpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

// stream is an event stream on its way to the SDK: the answer to one request, or with x nil the stream of an HTTP+SSE session.
type stream struct {
	w      *wire
	res    *http.Response
	body   io.ReadCloser
	x      *exchange
	events *sse.Reader
	out    bytes.Buffer
	last   string // last event id: what may be resumed
	retry  string // milliseconds to wait before that
	end    error  // what the stream ends with, after out
	over   *time.Timer
}

func (w *wire) stream(res *http.Response, x *exchange) io.ReadCloser {
	return &stream{w: w, res: res, body: res.Body, x: x, events: newEvents(res.Body, w.max())}
}

func (s *stream) Read(p []byte) (int, error) {
	for s.out.Len() == 0 {
		if s.end != nil {
			return 0, s.end
		}
		ev, err := s.events.Next()
		if err != nil {
			s.finish(err)
			continue
		}
		s.pass(ev)
	}
	return s.out.Read(p)
}

func (s *stream) Close() error {
	if s.over != nil {
		s.over.Stop()
	}
	return s.body.Close()
}

// pass hands an event on: responses replaced, notifications taken out, requests of the server as they are.
func (s *stream) pass(ev sse.Event) {
	if s.w.era == eraModern {
		ev.ID = "" // streams cannot be resumed (2026-07-28, Streamable HTTP, Receiving Messages)
	}
	if ev.ID != "" {
		s.last = ev.ID
	}
	if ev.Retry != "" {
		s.retry = ev.Retry
	}
	if !ev.HasData || len(ev.Data) == 0 || ev.Name != "" && ev.Name != "message" {
		if ev.ID != "" || ev.Retry != "" || ev.Name == "endpoint" {
			ev.Append(&s.out)
		}
		return
	}
	m, ok := parseMessage(ev.Data)
	switch {
	case !ok:
		s.unreadable(ev)
		return
	case m.isResponse():
		ev.Data = s.answered(m)
	case m.id == nil && s.w.notified(m, s.x):
		ev.Data = nil
	}
	if ev.HasData = ev.Data != nil; ev.HasData || ev.ID != "" {
		ev.Append(&s.out)
	}
}

// answered keeps a response and returns its stand-in.
func (s *stream) answered(m message) []byte {
	x := s.x
	if x == nil {
		x = s.w.expected(string(m.id))
	} else if !sameID(x.now().id, string(m.id)) {
		x = nil
	}
	if x == nil {
		return nil
	}
	s.w.answered(x, m)
	if s.x != nil {
		// The server should end the stream now. One that does not may hold it open for ever, but not us.
		s.over = time.AfterFunc(drainTimeout, func() { s.body.Close() })
	}
	if m.failure != nil {
		return failedResponse(x)
	}
	return response(x, m.result)
}

// unreadable ends a stream in which an event is no JSON-RPC message.
func (s *stream) unreadable(ev sse.Event) {
	err := s.w.statusError(s.res.Request, s.res, "", "an event holds no JSON-RPC message: "+strconv.Quote(httpx.Text(string(ev.Data[:min(len(ev.Data), 200)]), 100)))
	if s.x == nil {
		return // HTTP+SSE: somebody else's
	}
	s.x.failed(err, false)
	s.out.Write(dataEvent(failedResponse(s.x)))
	s.end = io.EOF
	s.body.Close()
}

// finish ends the stream. Where it can be resumed the SDK asks for the rest, so that the failure noted here is not the last word.
func (s *stream) finish(err error) {
	s.end = io.EOF
	switch {
	case s.x == nil:
		s.w.abandon(s.w.networkError(s.res.Request, lost(err)))
	case s.x.now().done():
	case errors.Is(err, errTooLarge):
		s.x.failed(s.w.statusError(s.res.Request, s.res, "", err.Error()), false)
		s.out.Write(dataEvent(failedResponse(s.x)))
	case s.last == "":
		s.x.failed(s.w.networkError(s.res.Request, lost(err)), true)
		s.out.Write(dataEvent(failedResponse(s.x)))
	default:
		s.x.failed(s.w.networkError(s.res.Request, lost(err)), true)
	}
}

func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the event stream ended without a result: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func dataEvent(data []byte) []byte {
	var b bytes.Buffer
	sse.Event{Data: data, HasData: true}.Append(&b)
	return b.Bytes()
}

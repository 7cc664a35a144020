package mcphttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// closeTimeout limits a request that is sent while the program ends, because a command must end within two seconds of an interrupt.
const closeTimeout = 800 * time.Millisecond

// Legacy lists the revisions with sessions, newest first.
var Legacy = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}

// Session is a session with a server of an earlier revision. The zero Session is for initialize and for MCP 2026-07-28.
type Session struct {
	Version string // negotiated revision
	ID      string // Mcp-Session-Id; empty: the server assigned none

	events *eventSession // set for HTTP+SSE; nil: Streamable HTTP
	ending sync.Once
}

// stateful reports whether the session belongs to an earlier revision.
func (s *Session) stateful() bool { return s.Version != "" }

// Over returns a channel that is closed when a session of HTTP+SSE loses its stream. For a session of Streamable HTTP, Over returns nil.
func (s *Session) Over() <-chan struct{} {
	if s.events == nil {
		return nil
	}
	return s.events.stream.Done()
}

// Open opens a session with an initialize request. If the server accepts the request, Open completes the handshake with the notification
// initialized. If initialized is the zero Message, Open sends no notification. If the handshake fails, the session is nil. Open returns the
// outcome of initialize or, if the notification failed, the outcome of the notification.
func (l *Link) Open(ctx context.Context, initialize Request, initialized Message) (*Session, Outcome) {
	o := l.Exchange(ctx, &Session{}, initialize)
	if o.Answer.Result == nil {
		return nil, o
	}
	s := &Session{ID: o.Header.Get("Mcp-Session-Id")}
	return l.finishHandshake(ctx, s, o, initialize, initialized)
}

// OpenEvents opens a session of HTTP+SSE, the transport of MCP 2024-11-05. The server sends all its messages on one stream. The first event
// contains the URL to which the client posts its messages. receive is called with each server message that does not answer a pending
// request. receive also gets the session, because a server may send a ping before OpenEvents returns (2024-11-05, Lifecycle,
// Initialization). The session lasts until the stream ends or End is called, even if ctx ends earlier.
func (l *Link) OpenEvents(ctx context.Context, initialize Request, initialized Message, receive func(*Session, Message) bool) (*Session, Outcome) {
	if err := l.prepare(); err != nil {
		return nil, notSentOutcome(err)
	}
	s, err := l.openEventStream(ctx, receive, initialize.Quiet)
	if err != nil {
		return nil, notOpenedOutcome(err)
	}
	o := l.Exchange(ctx, s, initialize)
	if o.Answer.Result == nil {
		l.End(s)
		return nil, o
	}
	return l.finishHandshake(ctx, s, o, initialize, initialized)
}

// finishHandshake completes the handshake after a successful initialize.
func (l *Link) finishHandshake(ctx context.Context, s *Session, o Outcome, initialize Request, initialized Message) (*Session, Outcome) {
	s.Version = jsonscan.Unquote(jsonscan.Member(o.Answer.Result, "protocolVersion"))
	if err := s.validate(l.Clean); err != nil {
		l.End(s)
		return nil, Outcome{Status: o.Status, Header: o.Header, Err: &StatusError{URL: l.plainURL(l.server), StatusCode: o.Status, Reason: err.Error()}}
	}
	if initialized.Raw == nil {
		return s, o
	}
	greeted := l.Exchange(ctx, s, Request{Message: initialized, Quiet: initialize.Quiet})
	if greeted.Kind == Refused && greeted.Reason == Unauthorized || greeted.Kind == Lost || greeted.Reason == NotSent {
		l.End(s)
		return nil, greeted
	}
	return s, o // other failures are ignored: the next request shows whether the server is ready
}

// validate returns an error if the session has an unsupported revision, or an id with characters that the specification forbids. clean
// removes secrets from the text of the error.
func (s *Session) validate(clean func(string) string) error {
	if !slices.Contains(Legacy, s.Version) {
		return fmt.Errorf("the server chose protocol version %s, which is not supported", httpx.Quote(clean(s.Version), 40))
	}
	if strings.ContainsFunc(s.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the id of the session contains characters that are not allowed (2025-11-25, Session Management)")
	}
	return nil
}

// End ends a session by DELETE, or by closing the stream of HTTP+SSE. End sends nothing if the server assigned no session id, and takes
// less than a second.
func (l *Link) End(s *Session) {
	s.ending.Do(func() {
		if s.events != nil {
			s.events.end(errEnded)
			return
		}
		if s.ID == "" {
			return
		}
		ctx, cancel := closingContext()
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, l.URL, nil)
		if err != nil || l.prepare() != nil {
			return
		}
		s.addSessionHeaders(req.Header)
		if res, _, err := l.sendAuthorized(req, nil, true); err == nil {
			httpx.Drain(res.Body)
		}
	})
}

// Leave ends the stream of an HTTP+SSE session that gets no more requests. If requests still wait for their answers, the stream ends with the
// last of them. For a session of Streamable HTTP, Leave does nothing, because each request has a stream of its own.
func (s *Session) Leave() {
	if s.events != nil {
		s.events.leave()
	}
}

// closingContext returns a context for a request that is sent after the caller's context has ended.
func closingContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), closeTimeout)
}

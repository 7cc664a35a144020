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

// closeTimeout bounds what is sent when nobody waits for an answer any more: a command ends within two seconds of an interrupt.
const closeTimeout = 800 * time.Millisecond

// Legacy are the revisions with sessions, the newest first.
var Legacy = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}

// Session is what a server of an earlier revision keeps of a client. The zero Session belongs to requests of 2026-07-28, and to
// initialize.
type Session struct {
	Version string // negotiated revision
	ID      string // Mcp-Session-Id; empty: the server keeps nothing

	events *eventSession // of HTTP+SSE; nil: Streamable HTTP
	ending sync.Once
}

// stateful reports whether the session is one of an earlier revision.
func (s *Session) stateful() bool { return s.Version != "" }

// Old reports whether the session is one of HTTP+SSE, which ends with its stream.
func (s *Session) Old() bool { return s.events != nil }

// Over is closed when a session of HTTP+SSE has lost its stream; it is nil for other sessions.
func (s *Session) Over() <-chan struct{} {
	if s.events == nil {
		return nil
	}
	return s.events.stream.Done()
}

// Open opens a session with an initialize request. If the server accepts it, the notification initialized, unless it is zero, ends the
// handshake. The outcome is that of initialize; the session is nil if there is none.
func (l *Link) Open(ctx context.Context, initialize Request, initialized Message) (*Session, Outcome) {
	o := l.Exchange(ctx, &Session{}, initialize)
	if o.Answer.Result == nil {
		return nil, o
	}
	s := &Session{ID: o.Header.Get("Mcp-Session-Id")}
	return l.greet(ctx, s, o, initialize, initialized)
}

// OpenEvents opens a session of HTTP+SSE, the transport of 2024-11-05: one stream carries everything that the server says, and its first
// event names the address for what the client says. receive is called with each message that answers no request. The session outlives ctx
// and ends with its stream, or by End.
func (l *Link) OpenEvents(ctx context.Context, initialize Request, initialized Message, receive func(Message)) (*Session, Outcome) {
	if err := l.prepare(); err != nil {
		return nil, notSent(err)
	}
	events, err := l.openEvents(ctx, receive, initialize.Quiet)
	if err != nil {
		return nil, notOpened(err)
	}
	s := &Session{events: events}
	o := l.Exchange(ctx, s, initialize)
	if o.Answer.Result == nil {
		events.end(errEnded)
		return nil, o
	}
	return l.greet(ctx, s, o, initialize, initialized)
}

// greet completes a handshake.
func (l *Link) greet(ctx context.Context, s *Session, o Outcome, initialize Request, initialized Message) (*Session, Outcome) {
	s.Version = jsonscan.Unquote(jsonscan.Member(o.Answer.Result, "protocolVersion"))
	if err := s.valid(); err != nil {
		l.End(s)
		return nil, Outcome{Status: o.Status, Header: o.Header, Err: &StatusError{URL: plainURL(l.server), StatusCode: o.Status, Reason: err.Error()}}
	}
	if initialized.Raw == nil {
		return s, o
	}
	greeted := l.Exchange(ctx, s, Request{Message: initialized, Quiet: initialize.Quiet})
	if greeted.Kind == Refused && greeted.Reason == Unauthorized || greeted.Kind == Lost || greeted.Reason == NotSent {
		l.End(s)
		return nil, greeted
	}
	return s, o // the next request shows whether the server is ready
}

// valid reports what is wrong with a session: a revision that is not spoken here, or an id that the specification does not allow.
func (s *Session) valid() error {
	if !slices.Contains(Legacy, s.Version) {
		return fmt.Errorf("the server chose protocol version %q, which is not supported", httpx.Text(s.Version, 40))
	}
	if strings.ContainsFunc(s.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the id of the session holds characters that are not allowed (2025-11-25, Session Management)")
	}
	return nil
}

// End ends a session: DELETE, or the end of its stream. A server that kept nothing is not asked. It takes less than a second.
func (l *Link) End(s *Session) {
	s.ending.Do(func() {
		if s.events != nil {
			s.events.end(errEnded)
			return
		}
		if s.ID == "" {
			return
		}
		ctx, cancel := outlive()
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, l.URL, nil)
		if err != nil || l.prepare() != nil {
			return
		}
		s.name(req.Header)
		if res, _, err := l.send(req, nil, true); err == nil {
			discard(res.Body)
		}
	})
}

// outlive returns a context for what is sent after the caller has gone.
func outlive() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), closeTimeout)
}

package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// era is the protocol era of a server (2026-07-28, Versioning).
type era string

const (
	eraUnknown era = ""
	eraModern  era = "modern" // 2026-07-28: no sessions
	eraLegacy  era = "legacy" // 2025-03-26 to 2025-11-25: initialize, then a session
	eraSSE     era = "sse"    // 2024-11-05: HTTP+SSE
)

// askedVersions are the versions to request by initialize, in this order. The older version is for servers that answer 400 to the newer
// one. According to the protocol, a server should instead name a version that it supports.
var askedVersions = []string{"2025-11-25", "2025-06-18"}

// listenTimeout limits how long a call waits until the stream of the session is open. Some servers send the response header only with the
// first event.
const listenTimeout = 2 * time.Second

// session is a session of this client. In the modern era, which has no sessions, the embedded Session is empty.
type session struct {
	*mcphttp.Session
	era       era
	kept      bool               // stored for other processes, so Close does not end it
	grant     string             // login with which the session was opened
	listening chan struct{}      // closed when the stream of the session is open or was refused; nil: there is no stream
	stop      context.CancelFunc // ends the stream of the session; nil: there is no stream
}

var modernSession = &session{Session: &mcphttp.Session{}, era: eraModern}

// connect returns the session of the client, and opens one if there is none. A server of unknown era is treated as a modern server.
func (c *Client) connect(ctx context.Context) (*session, error) {
	if err := c.connecting.enter(ctx); err != nil { // one goroutine connects; the others use its session
		return nil, err
	}
	defer c.connecting.leave()
	c.mu.Lock()
	s, known := c.session, c.memory.era
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s = modernSession
	var err error
	switch known {
	case eraLegacy:
		s, err = c.openLegacy(ctx)
	case eraSSE:
		s, err = c.openEvents(ctx, askedVersions[0])
	}
	if err != nil && known != eraUnknown && upgraded(err) {
		c.learn(eraUnknown, "")
		s, err = modernSession, nil
	}
	if err != nil {
		return nil, err
	}
	c.use(s)
	return s, nil
}

// use makes a session the client's current one.
func (c *Client) use(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
}

// drop forgets a session that cannot be used any more, so that the next request opens another.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	if c.session == s {
		c.session = nil
	}
	c.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
	if keep, ok := c.keep(); ok && s.era == eraLegacy {
		keep.Forget(c.life, s.Session) // not in Close, because the next request loads the file
	}
}

// leave ends a session, unless it is stored for other processes.
func (c *Client) leave(s *session) {
	if s.stop != nil {
		s.stop()
	}
	if s.era == eraModern {
		return
	}
	if now, err := c.login(c.life); s.kept && err == nil && now == s.grant {
		return
	}
	c.link.End(s.Session)
}

// openLegacy returns the stored session. If no session is stored, openLegacy opens one with initialize, or with HTTP+SSE if the server
// supports no other transport.
func (c *Client) openLegacy(ctx context.Context) (*session, error) {
	keep, keeps := c.keep()
	c.mu.Lock()
	grant := c.grant
	c.mu.Unlock()
	if keeps {
		if s := keep.Load(); s != nil {
			c.learn(eraLegacy, s.Version)
			return &session{Session: s, era: eraLegacy, kept: true, grant: grant}, nil
		}
	}
	c.mu.Lock()
	versions := askedVersions
	if v := c.memory.version; slices.Contains(mcphttp.Legacy, v) {
		versions = []string{v} // if the server no longer supports v, connect removes v from the memory
	}
	c.mu.Unlock()
	var o mcphttp.Outcome
	for _, v := range versions {
		var opened *mcphttp.Session
		opened, o = c.link.Open(ctx, c.initialize(v), initialized())
		if opened != nil {
			s := &session{Session: opened, era: eraLegacy, grant: grant}
			c.learn(eraLegacy, s.Version)
			c.learnTasks(o.Answer.Result)
			if now, err := c.login(ctx); keeps && err == nil && now == grant && c.link.MayKeep(opened.ID) {
				s.kept = keep.Put(ctx, opened) == opened
			}
			c.listen(s)
			return s, nil
		}
		if o.Status != http.StatusBadRequest {
			break
		}
	}
	if err := interrupted(ctx, c.place()); err != nil {
		return nil, err
	}
	if !o.OldTransport() {
		return nil, c.link.Failure(o)
	}
	s, err := c.openEvents(ctx, askedVersions[0])
	if _, refused := errors.AsType[*StatusError](err); refused {
		return nil, c.link.Failure(o)
	}
	return s, err
}

// openEvents opens a session of HTTP+SSE.
func (c *Client) openEvents(ctx context.Context, version string) (*session, error) {
	opened, o := c.link.OpenEvents(ctx, c.initialize(version), initialized(), func(s *mcphttp.Session, m mcphttp.Message) {
		c.receive(c.life, &session{Session: s, era: eraSSE}, m)
	})
	if opened == nil {
		if err := interrupted(ctx, c.place()); err != nil {
			return nil, err
		}
		return nil, c.link.Failure(o)
	}
	c.learn(eraSSE, opened.Version)
	return &session{Session: opened, era: eraSSE}, nil
}

func (c *Client) initialize(version string) mcphttp.Request {
	own := fmt.Appendf(nil, `"protocolVersion":%q,"capabilities":%s,"clientInfo":%s`, version, capabilities, c.info())
	return mcphttp.Request{Message: mcphttp.NewRequest([]byte(c.nextID()), "initialize", c.params(&session{era: eraLegacy}, own, "", false))}
}

func initialized() mcphttp.Message {
	return mcphttp.NewRequest(nil, "notifications/initialized", nil)
}

// keep returns the file for the session. ok is false if other processes must not use the session. A session with a stream is not shared,
// because elicitation requests go to the process that reads the stream, even if another process made the call.
func (c *Client) keep() (k mcphttp.Keep, ok bool) {
	if c.CacheDir == "" || c.NoCache || c.Listen {
		return k, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return mcphttp.Keep{Path: c.file(c.grant, ".session"), URL: c.URL}, true
}

// listen opens the stream of the session. A server should send an elicitation request on the stream of the call that needs the answer. A
// server built with the TypeScript SDK uses the stream of the session instead, unless the server's code names the related call. If the
// stream of the session is not open, the TypeScript SDK discards the elicitation request.
func (c *Client) listen(s *session) {
	if !c.Listen {
		return
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(c.life)
	s.listening = make(chan struct{})
	opened := sync.OnceFunc(func() { close(s.listening) })
	c.background.Go(func() {
		defer opened()
		c.link.Listen(ctx, s.Session, func(m mcphttp.Message) { c.receive(ctx, s, m) }, opened)
	})
}

// awaitListening delays a call until the server can send an elicitation request for it.
func (s *session) awaitListening(ctx context.Context) {
	if s.listening == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	select {
	case <-s.listening:
	case <-ctx.Done():
	}
}

// upgraded reports whether a handshake failed in a way that is typical of a modern server.
func upgraded(err error) bool {
	status, ok := errors.AsType[*StatusError](err)
	return isRPC(err) != nil ||
		ok && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}, status.StatusCode)
}

// interrupted returns the error of a context that has ended, or nil.
func interrupted(ctx context.Context, place string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, context.Cause(ctx))
}

// receive handles a message that the server sends before an answer or on the stream of a session.
func (c *Client) receive(ctx context.Context, s *session, m mcphttp.Message) {
	switch {
	case m.IsRequest() && s.era != eraModern: // in 2026-07-28, servers send no requests
		if c.replying.Add(1) > maxReplies {
			c.replying.Add(-1) // too many at once: this request gets no reply
			return
		}
		c.background.Go(func() {
			defer c.replying.Add(-1)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(c.life, cancel)()
			c.reply(ctx, s, m)
		})
	case m.Method == "notifications/progress":
		c.progress(m.Params)
	case m.Method == "notifications/message" && c.Log != nil:
		data := jsonscan.Member(m.Params, "data")
		text := string(data)
		if jsonscan.Type(data) == "string" {
			text = jsonscan.Unquote(data)
		}
		c.Log(jsonscan.Unquote(jsonscan.Member(m.Params, "level")), jsonscan.Unquote(jsonscan.Member(m.Params, "logger")), c.link.Clean(text))
	case m.Method == "notifications/tools/list_changed":
		c.forgetTools()
	}
}

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

// protocolEra groups the protocol revisions that a client treats in the same way (2026-07-28, Versioning).
type protocolEra string

const (
	eraUnknown protocolEra = ""
	eraModern  protocolEra = "modern" // 2026-07-28: no sessions
	eraLegacy  protocolEra = "legacy" // 2025-03-26 to 2025-11-25: initialize, then a session
	eraSSE     protocolEra = "sse"    // 2024-11-05: HTTP+SSE
)

// askedVersions are the versions to request by initialize, in this order. The older version is for servers that answer 400 to the newer
// one. According to the protocol, a server should instead name a version that it supports.
var askedVersions = []string{"2025-11-25", "2025-06-18"}

// listenTimeout limits how long a call waits until the stream of the session is open. Some servers send the response header only with the
// first event.
const listenTimeout = 2 * time.Second

// clientSession is a session of this client. In the modern era, which has no sessions, the embedded Session is empty.
type clientSession struct {
	*mcphttp.Session
	era         protocolEra
	shared      bool               // stored for other processes, so Close does not end the session
	grant       string             // login with which the session was opened
	streamReady chan struct{}      // closed when the stream of the session is open or was refused; nil: there is no stream
	endStream   context.CancelFunc // ends the stream of the session; nil: there is no stream
}

var modernSession = &clientSession{Session: &mcphttp.Session{}, era: eraModern}

// currentSession returns the client's session, and opens one if there is none. A server of unknown era is treated as a modern server.
func (c *Client) currentSession(ctx context.Context) (*clientSession, error) {
	if err := c.connecting.enter(ctx); err != nil { // one goroutine connects; the others use its session
		return nil, err
	}
	defer c.connecting.leave()
	c.mu.Lock()
	s, known := c.session, c.cache.era
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
	if err != nil && known != eraUnknown && suggestsModern(err) {
		c.setEra(eraUnknown, "")
		s, err = modernSession, nil
	}
	if err != nil {
		return nil, err
	}
	c.setSession(s)
	return s, nil
}

func (c *Client) setSession(s *clientSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
}

// dropSession forgets a session that can no longer be used, so that the next request opens another session. Calls that wait on the stream of
// an HTTP+SSE session still get their answers.
func (c *Client) dropSession(s *clientSession) {
	c.mu.Lock()
	if c.session == s {
		c.session = nil
	}
	c.mu.Unlock()
	if s.endStream != nil {
		s.endStream()
	}
	s.Leave()
	if keep, ok := c.sessionFile(); ok && s.era == eraLegacy {
		keep.Forget(c.life, s.Session) // not in Close, because the next request loads the file
	}
}

// leaveSession ends a session, unless the session is stored for other processes.
func (c *Client) leaveSession(s *clientSession) {
	if s.endStream != nil {
		s.endStream()
	}
	if s.era == eraModern {
		return
	}
	if now, err := c.loginID(c.life); s.shared && err == nil && now == s.grant {
		return
	}
	c.link.End(s.Session)
}

// openLegacy returns the stored session. If no session is stored, openLegacy opens one with initialize, or with HTTP+SSE if the server
// supports no other transport.
func (c *Client) openLegacy(ctx context.Context) (*clientSession, error) {
	keep, keeps := c.sessionFile()
	c.mu.Lock()
	grant := c.grant
	c.mu.Unlock()
	if keeps {
		if s := keep.Load(); s != nil {
			c.setEra(eraLegacy, s.Version)
			return &clientSession{Session: s, era: eraLegacy, shared: true, grant: grant}, nil
		}
	}
	c.mu.Lock()
	versions := askedVersions
	if v := c.cache.version; slices.Contains(mcphttp.Legacy, v) {
		versions = []string{v} // if the server no longer supports v, currentSession removes v from the cache
	}
	c.mu.Unlock()
	var o mcphttp.Outcome
	for _, v := range versions {
		var opened *mcphttp.Session
		opened, o = c.link.Open(ctx, c.initialize(v), initialized())
		if opened != nil {
			s := &clientSession{Session: opened, era: eraLegacy, grant: grant}
			c.setEra(eraLegacy, s.Version)
			c.setTaskSupport(o.Answer.Result)
			if now, err := c.loginID(ctx); keeps && err == nil && now == grant && c.link.LoginSecrets().MayStore(opened.ID) {
				s.shared = keep.Put(ctx, opened) == opened
			}
			c.openStream(s)
			return s, nil
		}
		if o.Status != http.StatusBadRequest {
			break
		}
	}
	if err := contextError(ctx, c.plainURL()); err != nil {
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
func (c *Client) openEvents(ctx context.Context, version string) (*clientSession, error) {
	opened, o := c.link.OpenEvents(ctx, c.initialize(version), initialized(), func(s *mcphttp.Session, m mcphttp.Message) bool {
		return c.handleMessage(c.life, &clientSession{Session: s, era: eraSSE}, m)
	})
	if opened == nil {
		if err := contextError(ctx, c.plainURL()); err != nil {
			return nil, err
		}
		return nil, c.link.Failure(o)
	}
	c.setEra(eraSSE, opened.Version)
	return &clientSession{Session: opened, era: eraSSE}, nil
}

func (c *Client) initialize(version string) mcphttp.Request {
	own := fmt.Appendf(nil, `"protocolVersion":%q,"capabilities":%s,"clientInfo":%s`, version, legacyCapabilities, c.clientInfo())
	return mcphttp.Request{Message: mcphttp.NewRequest([]byte(c.nextID()), "initialize", c.requestParams(&clientSession{era: eraLegacy}, own, "", false))}
}

func initialized() mcphttp.Message {
	return mcphttp.NewRequest(nil, "notifications/initialized", nil)
}

// sessionFile returns the file for the session. ok is false if other processes must not use the session. A session with a stream is not
// shared, because elicitation requests go to the process that reads the stream, even if another process made the call.
func (c *Client) sessionFile() (k mcphttp.Keep, ok bool) {
	if c.CacheDir == "" || c.NoCache || c.Listen {
		return k, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return mcphttp.Keep{Path: c.cacheFile(c.grant, ".session"), URL: c.URL}, true
}

// openStream opens the stream of the session. A server should send an elicitation request on the stream of the call that needs the answer.
// A server built with the TypeScript SDK uses the stream of the session instead, unless the server's code names the related call. If the
// stream of the session is not open, the TypeScript SDK discards the elicitation request.
func (c *Client) openStream(s *clientSession) {
	if !c.Listen {
		return
	}
	var ctx context.Context
	ctx, s.endStream = context.WithCancel(c.life)
	s.streamReady = make(chan struct{})
	opened := sync.OnceFunc(func() { close(s.streamReady) })
	c.background.Go(func() {
		defer opened()
		c.link.Listen(ctx, s.Session, func(m mcphttp.Message) bool { return c.handleMessage(ctx, s, m) }, opened)
	})
}

// awaitStream waits until the stream of the session is open, so that the server can send elicitation requests for the next call.
func (s *clientSession) awaitStream(ctx context.Context) {
	if s.streamReady == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	select {
	case <-s.streamReady:
	case <-ctx.Done():
	}
}

// suggestsModern reports whether an error of initialize is typical of a modern server.
func suggestsModern(err error) bool {
	status, ok := errors.AsType[*StatusError](err)
	return asRPCError(err) != nil ||
		ok && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}, status.StatusCode)
}

// contextError returns the error of a context that has ended, or nil.
func contextError(ctx context.Context, place string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, context.Cause(ctx))
}

// handleMessage handles a message that the server sends before an answer or on the stream of a session. The result is false for a response,
// because no request waits for it.
func (c *Client) handleMessage(ctx context.Context, s *clientSession, m mcphttp.Message) bool {
	switch {
	case m.IsRequest() && s.era != eraModern: // in 2026-07-28, servers send no requests
		c.startReply(ctx, s, m)
	case m.Method == "notifications/progress":
		c.reportProgress(m.Params)
	case m.Method == "notifications/message" && c.Log != nil:
		data := jsonscan.Member(m.Params, "data")
		text := c.cleanJSON(data)
		if jsonscan.Type(data) == "string" {
			text = c.Clean(jsonscan.Unquote(data))
		}
		c.Log(c.Clean(jsonscan.Unquote(jsonscan.Member(m.Params, "level"))), c.Clean(jsonscan.Unquote(jsonscan.Member(m.Params, "logger"))), text)
	case m.Method == "notifications/tools/list_changed":
		c.forgetTools()
	}
	return !m.IsResponse()
}

package mcpproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

const (
	endTimeout     = 1500 * time.Millisecond // limit for messages sent to the server after the program has ended
	restoreTimeout = 10 * time.Second        // limit for restoreState; messages of the program wait meanwhile
	maxVersion     = 100                     // limit of the protocol version that the server chooses, in bytes; each request repeats it
)

func (c *conversation) current() *mcphttp.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// sessionOf returns the session of a message. MCP 2026-07-28 has no sessions.
func (c *conversation) sessionOf(m mcphttp.Message) *mcphttp.Session {
	if s := c.current(); s != nil && m.Version() == "" && m.Method != "initialize" {
		return s
	}
	return &mcphttp.Session{}
}

func (c *conversation) isDoubtful(s *mcphttp.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s == c.doubtful
}

// setDoubtful makes the next request replace the session s. With nil, no session is replaced.
func (c *conversation) setDoubtful(s *mcphttp.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubtful = s
}

// initializeSession opens a session with the program's initialize request. A second initialize ends the session and opens another one. If
// the server refuses initialize, the proxy tries the older transport HTTP+SSE (2025-11-25, Streamable HTTP, Backwards Compatibility).
func (c *conversation) initializeSession(ctx context.Context, r *pendingRequest) mcphttp.Outcome {
	c.endSession()
	var s *mcphttp.Session
	o := c.exchangeRequest(ctx, r)
	if o.Answer.Result != nil {
		version := jsonscan.Unquote(jsonscan.Member(o.Answer.Result, "protocolVersion"))
		s = &mcphttp.Session{Version: cmp.Or(version, "2025-03-26"), ID: o.Header.Get("Mcp-Session-Id")} // see 2025-11-25, Protocol Version Header
		if len(s.Version) > maxVersion {
			go c.link.End(&mcphttp.Session{ID: s.ID})
			return mcphttp.Outcome{Err: fmt.Errorf("the server chose a protocol version of more than %d bytes", maxVersion)}
		}
	} else if o.OldTransport() {
		old, events := c.link.OpenEvents(ctx, mcphttp.Request{Message: r.Message}, mcphttp.Message{}, c.handleEvent)
		if _, foreign := errors.AsType[*httpx.AddressError](events.Err); old != nil || foreign {
			s, o = old, events
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.initializeRequest, c.initializedMessage, c.restorable = r.Message, mcphttp.Message{}, nil
	c.setSession(s)
	c.serverLogs = jsonscan.Member(jsonscan.Member(o.Answer.Result, "capabilities"), "logging") != nil
	return o
}

// finishHandshake sends notifications/initialized, and then opens the stream of the session.
func (c *conversation) finishHandshake(ctx context.Context, m mcphttp.Message) {
	c.mu.Lock()
	c.initializedMessage = m
	c.mu.Unlock()
	c.sendOneWay(ctx, m)
	c.watchStream(0)
}

// handleEvent handles a message on the stream of an HTTP+SSE session.
func (c *conversation) handleEvent(s *mcphttp.Session, m mcphttp.Message) bool {
	return c.handleMessage(nil, s, m)
}

// recordAnswer stores data of an answered request. Subscriptions and the log level must be repeated in a new session. A list of tools shows
// which tools require headers.
func (c *conversation) recordAnswer(request, answer mcphttp.Message) {
	switch request.Method {
	case "tools/list":
		c.storeSchemas(answer.Result, jsonscan.Member(request.Params, "cursor") == nil)
		return
	case "resources/subscribe", "resources/unsubscribe", "logging/setLevel":
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	uri := jsonscan.Unquote(jsonscan.Member(request.Params, "uri"))
	c.restorable = slices.DeleteFunc(c.restorable, func(m mcphttp.Message) bool {
		return (m.Method == "logging/setLevel") == (request.Method == "logging/setLevel") && jsonscan.Unquote(jsonscan.Member(m.Params, "uri")) == uri
	})
	if request.Method != "resources/unsubscribe" && request.Version() == "" {
		c.restorable = append(c.restorable, request)
	}
}

// endSession forgets the current session, closes its stream, and ends it at the server.
func (c *conversation) endSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		go c.link.End(c.session)
	}
	c.setSession(nil)
}

// setSession sets the current session, and closes the stream of the previous session. mu must be locked. If the conversation has ended,
// setSession ends the session, because nobody else would.
func (c *conversation) setSession(s *mcphttp.Session) {
	if c.endStream != nil {
		c.endStream()
		c.endStream = nil
	}
	if c.session != nil && c.session != s {
		c.loseQuestions()
	}
	c.session = s
	if s != nil && c.base.Err() != nil {
		go c.link.End(s)
	}
}

// replaceLost replaces a session that the server has lost. Requests that wait on the stream of a lost session of HTTP+SSE still get their
// answers. If the program has opened another session meanwhile, replaceLost ends s and returns false.
func (c *conversation) replaceLost(lost, s *mcphttp.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != lost {
		go c.link.End(s)
		return false
	}
	lost.Leave()
	c.setSession(s)
	return true
}

// renewSession replaces a session that the server has lost, and repeats the program's handshake. The program does not notice the loss. losses
// counts how many times in a row the stream has reported a lost session.
func (c *conversation) renewSession(ctx context.Context, lost *mcphttp.Session, losses int) error {
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	current, opened, initialized := c.session, c.initializeRequest, c.initializedMessage
	c.mu.Unlock()
	if current != lost {
		return nil // another goroutine was faster
	}
	open := c.link.Open
	if lost.Over() != nil {
		open = func(ctx context.Context, r mcphttp.Request, m mcphttp.Message) (*mcphttp.Session, mcphttp.Outcome) {
			return c.link.OpenEvents(ctx, r, m, c.handleEvent)
		}
	}
	s, o := open(ctx, mcphttp.Request{Message: opened}, initialized)
	if s == nil {
		return fmt.Errorf("the server lost the session, and a new one cannot be opened: %w", c.link.Failure(o))
	}
	if !c.replaceLost(lost, s) {
		return nil
	}
	c.log("the server lost the session; opened a new one")
	c.restoreState(ctx, s)
	if initialized.Raw != nil {
		c.watchStream(losses)
	}
	return nil
}

// restoreState repeats the subscriptions and the log level of the lost session.
func (c *conversation) restoreState(ctx context.Context, s *mcphttp.Session) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	c.mu.Lock()
	all := slices.Clone(c.restorable)
	c.mu.Unlock()
	for i, m := range all {
		again := mcphttp.NewRequest(fmt.Appendf(nil, `"mcpauth-restore-%d"`, i), m.Method, m.Params)
		o := c.link.Exchange(ctx, s, mcphttp.Request{Message: again, Receive: func(m mcphttp.Message) bool { return c.handleMessage(nil, s, m) }})
		if err := c.link.Failure(o); err != nil {
			what := "the subscription to " + httpx.Text(jsonscan.Unquote(jsonscan.Member(m.Params, "uri")), 200)
			if m.Method == "logging/setLevel" {
				what = "the log level"
			}
			c.warnProgram(fmt.Sprintf("the server lost the session, and %s could not be restored: %v", what, err))
		}
	}
}

// warnProgram calls Warn. If the server declared that it sends log messages, the program also gets the text as a log message.
func (c *conversation) warnProgram(text string) {
	if c.Warn != nil {
		c.Warn(text)
	}
	c.mu.Lock()
	logging := c.serverLogs
	c.mu.Unlock()
	if logging {
		params := fmt.Appendf(nil, `{"level":"warning","logger":"mcpauth","data":%s}`, jsonscan.Quote(httpx.Text(text, 1000)))
		c.sendToProgram(mcphttp.NewRequest(nil, "notifications/message", params))
	}
}

// watchStream reads the stream of the session, and opens a new session if the server loses the session.
func (c *conversation) watchStream(losses int) {
	ctx, cancel := context.WithCancel(c.base)
	c.mu.Lock()
	s := c.session
	if c.endStream != nil {
		c.endStream()
	}
	c.endStream = cancel
	c.mu.Unlock()
	if s == nil {
		return
	}
	go func() {
		defer cancel()
		if !c.waitForLoss(ctx, s) {
			return
		}
		for ; c.link.Wait(ctx, mcphttp.Backoff(losses)) == nil; losses++ {
			if c.renewSession(c.base, s, losses+1) == nil {
				return // renewSession has called watchStream for the new session
			}
		}
	}()
}

// waitForLoss waits until the server loses the session. The result is false if the session ends for another reason, or if the stream of the
// session cannot show a loss.
func (c *conversation) waitForLoss(ctx context.Context, s *mcphttp.Session) bool {
	if over := s.Over(); over != nil {
		select {
		case <-over:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
	o := c.link.Listen(ctx, s, func(m mcphttp.Message) bool { return c.handleMessage(nil, s, m) }, nil)
	return ctx.Err() == nil && o.Reason == mcphttp.UnknownSession
}

// endConversation ends the session within two seconds. Pending requests are answered with an error. At a server of an earlier revision,
// pending requests are also cancelled, because that server does not treat a closed connection as a cancellation (2025-11-25, Cancellation).
func (c *conversation) endConversation() {
	defer c.stop()
	c.mu.Lock()
	var left []*pendingRequest
	for r := range c.requests {
		left = append(left, r)
	}
	c.mu.Unlock()
	s := c.current()
	over := make(chan struct{})
	go func() {
		defer close(over)
		var sent sync.WaitGroup
		for _, r := range left {
			if !c.removeRequest(r) {
				continue // answered meanwhile
			}
			r.answer(mcphttp.NewError(r.ID, codeProxy, "mcpauth ended before the server answered"), 0)
			r.cancel()
			if s != nil && r.Version() == "" {
				sent.Go(func() { c.link.Cancel(s, r.Message) })
			}
		}
		c.stop()
		sent.Wait()
		if s := c.current(); s != nil { // another session, if one was opened meanwhile
			c.link.End(s)
		}
	}()
	select {
	case <-over:
	case <-time.After(endTimeout):
	}
}

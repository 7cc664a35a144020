package mcpproxy

import (
	"bytes"
	"net/http"
	"sync"

	"mcpauth/internal/mcphttp"
	"mcpauth/internal/sse"
)

// eventWriter writes messages as an event stream. The stream starts with the first message.
type eventWriter struct {
	mu     sync.Mutex
	w      http.ResponseWriter
	begun  bool
	closed bool
}

// sendMessage writes one message, and reports whether the stream is open.
func (e *eventWriter) sendMessage(m mcphttp.Message) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.begin()
		e.write(m)
	}
	return !e.closed
}

func (e *eventWriter) begin() {
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", "text/event-stream")
		e.w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(e.w).Flush()
	}
}

func (e *eventWriter) write(m mcphttp.Message) {
	var b bytes.Buffer
	sse.Event{Name: "message", Data: oneLine(m.Raw), HasData: true}.Append(&b)
	_, _ = e.w.Write(b.Bytes())
	_ = http.NewResponseController(e.w).Flush()
}

// writeAnswer writes the answer, as JSON if the event stream has not begun.
func (e *eventWriter) writeAnswer(m mcphttp.Message, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
	case e.begun:
		e.write(m)
	default:
		if m.Result == nil {
			e.w.Header().Del(sessionHeader) // a failed initialize opens no session
		}
		writeJSON(e.w, status, m)
	}
	e.closed = true
}

// stopWriting ends the use of the ResponseWriter, which must not be used after its handler returns.
func (e *eventWriter) stopWriting() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// serveStream serves GET. Until the program closes the connection, the stream carries server messages that belong to no request.
func (c *httpProgram) serveStream(w http.ResponseWriter, r *http.Request) {
	out := &eventWriter{w: w}
	out.mu.Lock()
	out.begin()
	out.mu.Unlock()
	c.mu.Lock()
	before := c.stream
	c.stream = out
	c.mu.Unlock()
	if before != nil {
		before.stopWriting()
	}
	select {
	case <-r.Context().Done():
	case <-c.base.Done():
	}
	out.stopWriting()
	c.mu.Lock()
	if c.stream == out {
		c.stream = nil
	}
	c.mu.Unlock()
}

// sendUnrelated sends the program a message that belongs to no request. If the program has not opened a stream by GET, the message goes to
// the stream of a pending request. The result is false if there is no stream.
func (c *httpProgram) sendUnrelated(m mcphttp.Message) bool {
	c.mu.Lock()
	out := c.stream
	c.mu.Unlock()
	if out != nil {
		return out.sendMessage(m)
	}
	c.conversation.mu.Lock()
	var any *pendingRequest
	for r := range c.requests {
		any = r
	}
	c.conversation.mu.Unlock()
	if any != nil {
		return any.receive(m)
	}
	c.log("dropped a message from the server: the client has no open stream")
	return false
}

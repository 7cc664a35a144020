package mcpproxy

import (
	"context"
	"time"

	"mcpauth/internal/mcphttp"
)

// patience limits how long a message waits until the server has accepted earlier messages, so that one slow response does not block the
// others.
const patience = 2 * time.Second

// queue keeps the order of a program's messages. Standard input has an order, but the HTTP requests to the server are concurrent. queue
// enforces only what the protocol requires (2025-11-25, Lifecycle, and Progress):
//
//   - every message except a response waits until initialize was answered
//   - every message waits until notifications/initialized was accepted
//   - notifications and responses wait until earlier notifications were accepted
//
// All other messages are sent concurrently.
type queue struct {
	initialize  <-chan struct{} // closed when initialize was answered; nil: none was sent
	initialized <-chan struct{} // closed when notifications/initialized was accepted
	notified    <-chan struct{} // closed when the last notification was accepted
}

// place is a message's position in the queue.
type place struct {
	initialize, before <-chan struct{}
	taken              chan struct{} // closed by leave
}

// enter adds a message to the queue. Call enter in the order of the messages.
func (q *queue) enter(m mcphttp.Message) *place {
	p := &place{initialize: q.initialize, before: q.initialized, taken: make(chan struct{})}
	switch {
	case m.Method == "initialize":
		*q = queue{initialize: p.taken}
	case m.Method == "notifications/initialized":
		q.initialized, q.notified = p.taken, p.taken
	case m.Method == "notifications/cancelled": // does not wait for earlier notifications
	case m.IsRequest():
	case m.Method == "": // may answer a request that the server sent before it answered initialize
		p.initialize, p.before = nil, q.notified
	default:
		p.before, q.notified = q.notified, p.taken
	}
	return p
}

// wait waits for the message's turn, or until ctx ends.
func (p *place) wait(ctx context.Context) {
	if p.initialize != nil {
		select {
		case <-p.initialize:
		case <-ctx.Done():
		}
	}
	if p.before == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.before:
	case <-ctx.Done():
	}
}

// leave records that the server has accepted the message, so that the next message may be sent.
func (p *place) leave() { close(p.taken) }

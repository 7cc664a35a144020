package mcpproxy

import (
	"context"
	"time"

	"mcpauth/internal/mcphttp"
)

// orderTimeout limits how long a message waits until the server has accepted earlier messages, so that one slow response does not block the
// others.
const orderTimeout = 2 * time.Second

// messageQueue keeps the order of a program's messages. Standard input has an order, but the HTTP requests to the server are concurrent.
// messageQueue enforces only what the protocol requires (2025-11-25, Lifecycle, and Progress):
//
//   - every message except a response waits until initialize was answered
//   - every message waits until notifications/initialized was accepted
//   - notifications and responses wait until earlier notifications were accepted
//
// All other messages are sent concurrently.
type messageQueue struct {
	initialize  <-chan struct{} // closed when initialize was answered; nil: none was sent
	initialized <-chan struct{} // closed when notifications/initialized was accepted
	notified    <-chan struct{} // closed when the last notification was accepted
}

// queuePlace is the position of a message in the queue.
type queuePlace struct {
	initialize, before <-chan struct{}
	accepted           chan struct{} // closed by markAccepted
}

// addMessage adds a message to the queue. Call addMessage in the order of the messages.
func (q *messageQueue) addMessage(m mcphttp.Message) *queuePlace {
	p := &queuePlace{initialize: q.initialize, before: q.initialized, accepted: make(chan struct{})}
	switch {
	case m.Method == "initialize":
		*q = messageQueue{initialize: p.accepted}
	case m.Method == "notifications/initialized":
		q.initialized, q.notified = p.accepted, p.accepted
	case m.Method == "notifications/cancelled": // does not wait for earlier notifications
	case m.IsRequest():
	case m.Method == "": // may answer a request that the server sent before it answered initialize
		p.initialize, p.before = nil, q.notified
	default:
		p.before, q.notified = q.notified, p.accepted
	}
	return p
}

// waitTurn waits until the message may be sent, or until ctx ends.
func (p *queuePlace) waitTurn(ctx context.Context) {
	if p.initialize != nil {
		select {
		case <-p.initialize:
		case <-ctx.Done():
		}
	}
	if p.before == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	select {
	case <-p.before:
	case <-ctx.Done():
	}
}

// markAccepted records that the server has accepted the message, so that the next message may be sent.
func (p *queuePlace) markAccepted() { close(p.accepted) }

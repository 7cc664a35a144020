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

// addMessage adds a message to the queue. Call addMessage in the order of the messages. waitTurn waits until the message may be sent, or until
// its context ends. Close accepted when the server has accepted the message, so that the next message may be sent.
func (q *messageQueue) addMessage(m mcphttp.Message) (waitTurn func(context.Context), accepted chan struct{}) {
	accepted = make(chan struct{})
	initialize, before := q.initialize, q.initialized
	switch {
	case m.Method == "initialize":
		*q = messageQueue{initialize: accepted}
	case m.Method == "notifications/initialized":
		q.initialized, q.notified = accepted, accepted
	case m.Method == "notifications/cancelled": // does not wait for earlier notifications
	case m.IsRequest():
	case m.Method == "": // may answer a request that the server sent before it answered initialize
		initialize, before = nil, q.notified
	default:
		before, q.notified = q.notified, accepted
	}
	return func(ctx context.Context) {
		waitFor(ctx, initialize)
		ctx, cancel := context.WithTimeout(ctx, orderTimeout)
		defer cancel()
		waitFor(ctx, before)
	}, accepted
}

func waitFor(ctx context.Context, event <-chan struct{}) {
	if event == nil {
		return
	}
	select {
	case <-event:
	case <-ctx.Done():
	}
}

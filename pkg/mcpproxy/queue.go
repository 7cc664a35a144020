package mcpproxy

import (
	"context"
	"time"

	"mcpauth/internal/mcphttp"
)

// patience is how long a message waits until the server has accepted the messages before it, so that a slow answer delays others only for a
// limited time.
const patience = 2 * time.Second

// queue keeps the order of a program's messages, which standard streams have and HTTP requests do not, as far as the protocol demands it
// (2025-11-25, Lifecycle, and Progress):
//
//   - everything but responses waits for the answer to initialize
//   - everything waits for notifications/initialized to be taken
//   - notifications and responses wait for the notifications before them to be taken
//
// Everything else goes side by side.
type queue struct {
	initialize  <-chan struct{} // closed when initialize has been answered; nil: none was sent
	initialized <-chan struct{} // closed when notifications/initialized has been taken
	notified    <-chan struct{} // closed when the last notification has been taken
}

// place is a message's position in the queue.
type place struct {
	initialize, before <-chan struct{}
	taken              chan struct{} // closed by leave
}

// enter adds a message to the queue. Call it in the order of the messages.
func (q *queue) enter(m mcphttp.Message) *place {
	p := &place{initialize: q.initialize, before: q.initialized, taken: make(chan struct{})}
	switch {
	case m.Method == "initialize":
		*q = queue{initialize: p.taken}
	case m.Method == "notifications/initialized":
		q.initialized, q.notified = p.taken, p.taken
	case m.Method == "notifications/cancelled": // goes at once
	case m.IsRequest():
	case m.Method == "": // the server may ask before it answers initialize
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
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.before:
	case <-t.C:
	case <-ctx.Done():
	}
}

// leave marks the message as accepted.
func (p *place) leave() { close(p.taken) }

// This file remembers what became of one request on the wire. The SDK decodes answers into its own types, which lose unknown members and
// large numbers, and words its errors for people; so the transport below it keeps the truth here, and the SDK is handed a stand-in.

package mcpclient

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
)

// exchange is one JSON-RPC request and what came back. The transport fills it in; the last attempt counts.
type exchange struct {
	method string
	token  string // progress token, "" if none

	mu       sync.Mutex
	progress func(Progress) // nil: not wanted, or not any more
	answer
}

// answer is what became of one attempt.
type answer struct {
	id     string          // JSON-RPC id on the wire; "" while the request has not reached the transport
	result json.RawMessage // byte-exact
	rpc    *RPCError
	status int   // of the HTTP answer, 0 when there was none
	err    error // why there is neither result nor rpc
	auth   bool  // err is that of the authorization, which was given up
	lost   bool  // nobody knows whether the request was carried out
	held   bool  // the request named a session
	early  bool  // it was sent before the server had answered notifications/initialized
}

type exchangeKey struct{}

// with returns a context whose requests are recorded in x.
func (x *exchange) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange of a context, or one that nobody looks at.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// change changes the answer.
func (x *exchange) change(f func(*answer)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(&x.answer)
}

// now returns the answer as it is.
func (x *exchange) now() answer {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.answer
}

// answered records a JSON-RPC response.
func (x *exchange) answered(m message) {
	x.change(func(a *answer) {
		a.err, a.lost = nil, false
		if m.failure == nil {
			a.result = m.result
			return
		}
		a.rpc = &RPCError{status: a.status, Message: unquote(member(m.failure, "message")), Data: member(m.failure, "data")}
		_ = json.Unmarshal(member(m.failure, "code"), &a.rpc.Code)
	})
}

// failed records that there is no answer; lost: nobody knows whether the request was carried out.
func (x *exchange) failed(err error, lost bool) {
	x.change(func(a *answer) {
		if !a.done() {
			a.err, a.lost = err, lost
		}
	})
}

// done reports whether the server has answered.
func (a answer) done() bool { return a.result != nil || a.rpc != nil }

// failure returns why there is no result: the authorization's own error unchanged, a *StatusError, an *RPCError, or that of the network;
// nil when there is one, or when nothing is known.
func (a answer) failure() error {
	switch {
	case a.result != nil:
		return nil
	case a.rpc != nil:
		return a.rpc
	}
	return a.err
}

// report hands out progress, until the call is over.
func (x *exchange) report(p Progress) {
	x.mu.Lock()
	f := x.progress
	x.mu.Unlock()
	if f != nil {
		f(p)
	}
}

// over ends the reports of progress.
func (x *exchange) over() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.progress = nil
}

// message is a JSON-RPC message taken apart: a request has a method and an id, a notification a method, a response neither.
type message struct {
	id, params, result, failure json.RawMessage
	method                      string
}

// parseMessage takes a JSON object apart; ok is false for anything else.
func parseMessage(data []byte) (m message, ok bool) {
	if !valid(data) {
		return m, false
	}
	for name, value := range members(data) {
		ok = true
		switch name {
		case "id":
			m.id = value
		case "method":
			m.method = unquote(value)
		case "params":
			m.params = value
		case "result":
			m.result = value
		case "error":
			if string(value) != "null" {
				m.failure = value
			}
		}
	}
	return m, ok
}

// isResponse reports whether the message answers a request.
func (m message) isResponse() bool { return m.method == "" && (m.result != nil || m.failure != nil) }

// sameID compares ids as servers echo them: some return a number as text.
func sameID(a, b string) bool { return strings.Trim(a, `"`) == strings.Trim(b, `"`) }

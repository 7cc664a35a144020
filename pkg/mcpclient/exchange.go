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
	method   string
	token    string         // progress token, "" if none
	progress func(Progress) // nil: not wanted

	mu     sync.Mutex
	id     string          // JSON-RPC id on the wire
	result json.RawMessage // byte-exact
	rpc    *RPCError
	status int   // of the last HTTP answer, 0 when there was none
	err    error // why there is neither result nor rpc
	auth   bool  // err is that of the authorization, which was given up
	lost   bool  // err came from the network: nobody knows whether the request was carried out
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

// begin prepares for another attempt.
func (x *exchange) begin(m message, held, early bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.method, x.id, x.held, x.early = m.method, string(m.id), held, early
	x.result, x.rpc, x.status, x.err, x.auth, x.lost = nil, nil, 0, nil, false, false
}

// answered records a JSON-RPC response.
func (x *exchange) answered(m message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err, x.lost = nil, false
	if m.failure == nil {
		x.result = m.result
		return
	}
	x.rpc = &RPCError{status: x.status, Message: unquote(member(m.failure, "message")), Data: member(m.failure, "data")}
	_ = json.Unmarshal(member(m.failure, "code"), &x.rpc.Code)
}

// failed records that there is no answer.
func (x *exchange) failed(err error, auth, lost bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.result == nil && x.rpc == nil {
		x.err, x.auth, x.lost = err, auth, lost
	}
}

func (x *exchange) setStatus(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.status = code
}

// done reports whether the answer is there.
func (x *exchange) done() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.result != nil || x.rpc != nil
}

// failure returns why there is no result: the authorization's own error unchanged, a *StatusError, an *RPCError, or that of the network.
// other is what the SDK said, for the case that the transport saw nothing.
func (x *exchange) failure(other error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.result != nil:
		return nil
	case x.rpc != nil:
		return x.rpc
	case x.err != nil:
		return x.err
	}
	return other
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

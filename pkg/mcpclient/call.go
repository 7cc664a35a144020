// This file is the use case: call a tool. What may be sent again, and after what, is decided by next, a function of values.

package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// maxRounds bounds how often a server may ask for input before it gives a result (2026-07-28, Multi Round-Trip Requests, sets none).
const maxRounds = 10

// Call calls a tool.
//
//  1. its definition, from memory or the server
//  2. the arguments, converted and checked by its schema; what an old definition refuses is looked up in a new one
//  3. the call
//  4. while the server wants input: ask Elicit and call again with the answers (2026-07-28; servers of earlier revisions ask in mid-call)
func (c *Client) Call(ctx context.Context, tool string, args Arguments) (Result, error) {
	raw, err := c.call(ctx, tool, args)
	if err != nil {
		return Result{}, err
	}
	return decodeResult(raw)
}

// call is Call without a look into the result.
func (c *Client) call(ctx context.Context, tool string, args Arguments) (json.RawMessage, error) {
	def, object, err := c.prepareCall(ctx, tool, args)
	if err != nil {
		return nil, err
	}
	in := input{}
	for round := 0; ; round++ {
		x, err := c.callOnce(ctx, &def, object, in)
		if err = c.explain(ctx, err); err != nil {
			return nil, err
		}
		if !inputRequired(x.result) || c.known() != eraModern {
			return x.result, nil
		}
		if round == maxRounds {
			return nil, &StatusError{URL: c.place(), StatusCode: http.StatusOK, Reason: "the tool asked for input " + strconv.Itoa(maxRounds) + " times and gave no result"}
		}
		if in, err = c.answerInput(ctx, tool, x.result, round); err != nil {
			return nil, err
		}
	}
}

// prepareCall finds the definition and makes the arguments.
func (c *Client) prepareCall(ctx context.Context, tool string, args Arguments) (Tool, json.RawMessage, error) {
	def, live, err := c.definition(ctx, tool, args, false)
	var object json.RawMessage
	if err == nil {
		object, err = buildArguments(def, args, !c.NoValidate)
	}
	var wrong *ArgumentError
	if errors.As(err, &wrong) && !live {
		def, _, err = c.definition(ctx, tool, args, true)
		if err == nil {
			object, err = buildArguments(def, args, !c.NoValidate)
		}
	}
	return def, object, err
}

// callOnce sends one tools/call and returns when there is a result. A header mismatch fetches the definition anew (2026-07-28, Streamable
// HTTP, Client Behavior).
func (c *Client) callOnce(ctx context.Context, def *Tool, object json.RawMessage, in input) (answer, error) {
	safe := c.Idempotent || def.ReadOnly || def.Idempotent
	send := func(ctx context.Context, s *session, x *exchange) error {
		if err := s.teach(ctx, *def); err != nil {
			return err
		}
		p := c.callParams(def.Name, x, object)
		in.apply(p)
		if s.era == eraModern && c.Log != nil {
			p.Meta["io.modelcontextprotocol/logLevel"] = "info"
		}
		_, err := s.cs.CallTool(ctx, p)
		return err
	}
	x, err := c.request(ctx, "tools/call", safe, send)
	var rpc *RPCError
	if !errors.As(err, &rpc) || rpc.Code != codeHeaderMismatch {
		return x, err
	}
	fresh, _, refetch := c.definition(ctx, def.Name, Arguments{}, true)
	if refetch != nil || string(fresh.Raw) == string(def.Raw) {
		return x, err
	}
	*def = fresh
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		c.drop(s) // it knows the old definition
	}
	return c.request(ctx, "tools/call", safe, send)
}

// request sends one request, and again as long as next says so.
func (c *Client) request(ctx context.Context, method string, safe bool, send func(context.Context, *session, *exchange) error) (answer, error) {
	x := c.newExchange(method)
	defer x.over()
	var tried tally
	for {
		s, err := c.connect(ctx)
		if err != nil {
			return answer{}, err
		}
		x.change(func(a *answer) { *a = answer{} })
		err = send(x.with(ctx), s, x)
		a := x.now()
		if ctx.Err() != nil && !a.done() {
			return a, c.interrupted(ctx, s, a)
		}
		o := a.outcome(s.era, c.known(), method)
		if s.era == eraModern && o.modern {
			c.learn(eraModern, modernVersion)
		}
		if s.era == eraSSE && !a.done() {
			c.drop(s) // such sessions end with the first failure
		}
		switch next(o, tried, safe) {
		case deliver:
			return a, c.reason(a, err)
		case fallBack:
			tried.fallBack = true
			if e := c.fallBack(ctx, s); e != nil {
				return c.stayModern(a, e)
			}
		case renew:
			tried.renew = true
			c.drop(s)
		case hurry:
			tried.hurry = true
			<-s.w.ready
		case again:
			if o.lost {
				if err := c.wait(ctx, pauseBefore(tried.again)); err != nil {
					return a, err
				}
			}
			tried.again++
		}
	}
}

// reason is why there is no result, nil when there is one; err is what the SDK says.
func (c *Client) reason(a answer, err error) error {
	if known := a.failure(); known != nil || a.result != nil {
		return known
	}
	if err == nil {
		err = errors.New("no answer")
	}
	return &StatusError{URL: c.place(), StatusCode: a.status, Reason: httpx.Text(err.Error(), 300)}
}

// stayModern decides what to say when the server is not a legacy one either. A result without the marks of a modern one was an answer
// all the same.
func (c *Client) stayModern(a answer, legacy error) (answer, error) {
	var rpc *RPCError
	switch refused := errors.As(legacy, &rpc) || statusOf(legacy) >= 400; {
	case a.result != nil && refused:
		c.learn(eraModern, modernVersion)
		return a, nil
	case a.rpc != nil && refused:
		return a, a.rpc
	}
	return a, legacy
}

// interrupted returns the error when the caller's context has ended. A legacy server is told before the connection goes (2025-11-25,
// Cancellation), which the SDK does meanwhile; a modern one sees the stream close.
func (c *Client) interrupted(ctx context.Context, s *session, a answer) error {
	if a.auth {
		return a.err
	}
	if s.era != eraModern && a.id != "" {
		select {
		case <-s.w.cancelled:
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("%s: %w", c.place(), context.Cause(ctx))
}

// newExchange makes the record of a request. Only calls ask for progress.
func (c *Client) newExchange(method string) *exchange {
	x := &exchange{method: method}
	if c.Progress == nil || method != "tools/call" {
		return x
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens++
	x.token, x.progress = "call-"+strconv.Itoa(c.tokens), c.Progress
	return x
}

// step is what follows an answer.
type step int

const (
	deliver  step = iota // it is the answer
	again                // the same once more
	renew                // once more in a new session: the server has lost this one
	hurry                // once more when notifications/initialized was answered: the call overtook it
	fallBack             // once more in a legacy session: the server is not a modern one
)

// tally counts what was tried.
type tally struct {
	again                  int
	renew, hurry, fallBack bool
}

// outcome is what next decides by.
type outcome struct {
	session   era    // of the session that was used
	known     era    // of the server, as far as proved
	call      bool   // tools/call; other requests change nothing
	sent      bool   // the request reached the transport; else the SDK's session is broken
	result    bool   // there is a result
	modern    bool   // something in the answer is known to 2026-07-28 only
	code      int64  // of the JSON-RPC error, 0 if none
	supported string // versions that an error names
	words     string // the server's words
	status    int    // of the HTTP answer, 0 if none
	lost      bool   // nobody knows whether the request was carried out
	auth      bool   // authorization was given up
	held      bool   // the request named a session
	early     bool   // see hurry
}

func (a answer) outcome(session, known era, method string) outcome {
	o := outcome{session: session, known: known, call: method == "tools/call", sent: a.id != "", result: a.result != nil, status: a.status, lost: a.lost,
		auth: a.auth, held: a.held, early: a.early}
	if a.rpc != nil {
		o.code, o.words, o.supported = a.rpc.Code, a.rpc.Message, string(member(a.rpc.Data, "supported"))
		if o.code == 0 {
			o.code = -1 // an error all the same
		}
		o.modern = slices.Contains([]int64{codeHeaderMismatch, codeMissingCapability, codeUnsupportedVersion}, o.code) ||
			o.code == codeMethodNotFound && o.status == http.StatusNotFound
	}
	if o.result {
		o.modern = member(a.result, "resultType") != nil || member(a.result, "ttlMs") != nil
	}
	return o
}

// next decides what follows an answer. A call is sent again only when the answer proves that it was not carried out; after a failure
// that proves nothing only where the caller or the tool says that it does no harm (safe). 401 and 403 are dealt with below, see send.
func next(o outcome, tried tally, safe bool) step {
	switch {
	case o.auth:
		return deliver
	case !o.sent && !tried.renew:
		return renew
	case o.session == eraModern && !tried.fallBack && o.legacyServer():
		return fallBack
	case o.result:
		return deliver
	case o.code == codeUnsupportedVersion && strings.Contains(o.supported, modernVersion) && o.session == eraModern && tried.again == 0:
		return again // refused though supported: seen with servers that have just been started
	case o.session == eraLegacy && o.held && !tried.renew && o.sessionLost():
		return renew
	case o.early && !tried.hurry && (o.code == codeInvalidRequest || o.code == codeInvalidParams || o.code != 0 && o.status == http.StatusBadRequest):
		return hurry
	case (safe || !o.call) && tried.again < 2 && (o.lost || o.status == http.StatusRequestTimeout):
		return again
	}
	return deliver
}

// legacyServer reports whether an answer to a modern request is one that a legacy server gives: a 4xx without an error that only modern
// servers know, or a result that shows nothing of the revision. A server that was proved modern is asked again only after answers
// that cannot be about the request itself.
func (o outcome) legacyServer() bool {
	unsupported := o.code == codeUnsupportedVersion && !strings.Contains(o.supported, modernVersion) && strings.Contains(o.supported, "20")
	switch {
	case unsupported:
		return true
	case o.modern:
		return false
	case o.known == eraModern:
		odd := o.code == 0 || o.code == -32000 || o.code == -32001 || o.code == codeInvalidRequest
		return !o.result && odd && (o.status == http.StatusBadRequest || o.status == http.StatusNotFound || o.status == http.StatusMethodNotAllowed)
	case o.result, o.code != 0:
		return true
	}
	switch o.status {
	case 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return o.status >= 400 && o.status < 500 || o.status == http.StatusInternalServerError || o.status == http.StatusNotImplemented
}

// sessionLost reports whether the server does not know the session any more: 404 by the specification (2025-11-25, Streamable HTTP,
// Session Management), 400 with some servers.
func (o outcome) sessionLost() bool {
	return o.status == http.StatusNotFound || o.status == http.StatusBadRequest && strings.Contains(strings.ToLower(o.words), "session")
}

// pauseBefore is how long to wait before an attempt after n that failed.
func pauseBefore(n int) time.Duration {
	return 250 * time.Millisecond << (2 * n)
}

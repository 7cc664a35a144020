package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
	"mcpauth/internal/toolargs"
)

// Arguments are the arguments of a call: one object, single arguments, or both.
type Arguments = toolargs.Arguments

// Arg is one argument of a call.
type Arg = toolargs.Arg

// maxRounds limits how often a server may request input before it returns a result (2026-07-28, Multi Round-Trip Requests, sets no limit).
const maxRounds = 10

// Call calls a tool in these steps:
//
//  1. Find the definition of the tool in the cache or request it.
//  2. Convert and check the arguments by the input schema. If the arguments do not fit a cached schema, fetch the current schema and check
//     again.
//  3. Send the call.
//  4. While the server requests input, get answers from Elicit and send the call again with them (2026-07-28). Servers of earlier revisions
//     request input during the call.
//  5. If the call has become a task, wait until it ends, unless Detach is set.
//
// If the result has a TaskID, the server still stores the result, and Follow can return it again. Call ForgetTask after using the result.
func (c *Client) Call(ctx context.Context, tool string, args Arguments) (Result, error) {
	raw, task, err := c.callRaw(ctx, tool, args)
	if err != nil {
		return Result{}, err
	}
	if task != nil && (c.Detach || !task.Ended()) {
		return Result{Raw: raw, Task: task}, nil
	}
	r := decodeResult(raw)
	if task != nil {
		r.TaskID = task.ID
	}
	return r, nil
}

// callRaw is like Call, but does not parse the result. task is not nil if the call became a task.
func (c *Client) callRaw(ctx context.Context, tool string, args Arguments) (raw json.RawMessage, task *Task, err error) {
	if err := c.prepare(ctx); err != nil {
		return nil, nil, err
	}
	def, object, err := c.prepareCall(ctx, tool, args)
	if err != nil {
		return nil, nil, err
	}
	accepted := false
	raw, kind, err := c.requestRounds(ctx, "tool "+quoteName(tool), func(in retryParams) (json.RawMessage, error) {
		o, err := c.callOnce(ctx, &def, object, in)
		accepted = accepted || o.Status/100 == 2 && o.Answer.Error == nil
		return o.Answer.Result, err
	})
	if err != nil && accepted {
		err = &acceptedError{err}
	}
	if err != nil {
		return nil, nil, err
	}
	old := c.callsAsTask(def)
	if old {
		raw = jsonscan.Member(raw, "task") // 2025-11-25, Tasks, Creating Tasks
	} else if kind != taskCreated {
		return raw, nil, nil
	}
	t, err := c.newTask(tool, raw, old)
	if err != nil || c.Detach {
		return raw, &t, err
	}
	if t.Ended() { // only the answer to tasks/get contains the result
		if t, err = c.getTask(ctx, t); err != nil {
			return nil, &t, c.taskRequestError(t, err)
		}
	}
	raw, err = c.pollTask(ctx, t)
	t.Status = TaskCompleted
	return raw, &t, err
}

// requestRounds sends a request, and answers the server's requests for input (2026-07-28, Multi Round-Trip Requests).
func (c *Client) requestRounds(ctx context.Context, what string, once func(retryParams) (json.RawMessage, error)) (result json.RawMessage, kind string, err error) {
	c.calls.Add(1)
	var in retryParams
	for round := 0; ; round++ {
		result, err := once(in)
		if err = c.callError(ctx, err); err != nil {
			return nil, "", err
		}
		kind, err := c.resultType(result)
		if err != nil || kind != inputRequired {
			return result, kind, err
		}
		if round == maxRounds {
			return nil, "", c.protocolError(what + " requested input " + strconv.Itoa(maxRounds) + " times and gave no result")
		}
		if in, err = c.answerInput(ctx, what, result, round); err != nil {
			return nil, "", err
		}
	}
}

// requestResult is like requestRounds, but for a request that cannot become a task (SEP-2663, Supported Methods).
func (c *Client) requestResult(ctx context.Context, kind, name string, w requestSpec) (json.RawMessage, error) {
	own := w.members
	result, is, err := c.requestRounds(ctx, kind+" "+quoteName(name), func(in retryParams) (json.RawMessage, error) {
		b := bytes.NewBuffer(bytes.Clone(own))
		in.writeMembers(b)
		w.members = b.Bytes()
		o, err := c.requestWithRetries(ctx, w)
		return o.Answer.Result, err
	})
	return result, c.checkComplete(w.method, is, err)
}

// quoteName quotes a name for an error. The result is safe to print and limited in length.
func quoteName(name string) string { return httpx.Quote(name, 200) }

// callsAsTask reports whether the client calls a tool as a task of MCP 2025-11-25. The client does so if the tool requires a task, or if
// the tool allows a task and Detach is set.
func (c *Client) callsAsTask(def Tool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := def.taskSupport == "required" || def.taskSupport == "optional" && c.Detach
	return wanted && c.cache.era == eraLegacy && c.cache.tasks
}

// prepareCall finds the definition of the tool and builds the arguments.
func (c *Client) prepareCall(ctx context.Context, tool string, args Arguments) (Tool, json.RawMessage, error) {
	for refetch := false; ; refetch = true {
		var object json.RawMessage
		def, live, err := c.toolDefinition(ctx, tool, args, refetch)
		if err == nil {
			object, err = args.Build(def.schema, !c.NoValidate)
		}
		if bad, ok := errors.AsType[*toolargs.Error](err); ok {
			reason := bad.Reason + string(c.link.LoginSecrets().CleanJSON([]byte(bad.Listed)))
			err = &ArgumentError{Tool: def.Name, Argument: c.Clean(bad.Argument), Reason: reason, Nearest: c.Clean(bad.Nearest), NearestValue: c.Clean(bad.NearestValue)}
		}
		if _, wrong := errors.AsType[*ArgumentError](err); live || refetch || !wrong {
			return def, object, err
		}
	}
}

// callOnce sends one tools/call and returns its outcome. If the server reports a header mismatch, callOnce fetches the definition of the
// tool and sends the call once more (2026-07-28, Streamable HTTP, Client Behavior).
func (c *Client) callOnce(ctx context.Context, def *Tool, arguments json.RawMessage, in retryParams) (mcphttp.Outcome, error) {
	var tried mcphttp.Tried
	for ; ; tried.Refetch++ {
		w := c.toolCall(*def, arguments, in)
		w.tried = tried
		o, err := c.requestWithRetries(ctx, w)
		if o.Reason != mcphttp.HeaderMismatch || tried.Refetch > 0 {
			return o, err
		}
		fresh, _, failed := c.toolDefinition(ctx, def.Name, Arguments{}, true)
		if failed != nil || string(fresh.Raw) == string(def.Raw) {
			return o, err
		}
		*def = fresh
	}
}

// toolCall returns the request that calls a tool.
func (c *Client) toolCall(def Tool, arguments json.RawMessage, in retryParams) requestSpec {
	var own bytes.Buffer
	own.Grow(len(arguments) + 100)
	own.WriteString(`"name":`)
	own.Write(jsonscan.Quote(def.Name))
	own.WriteString(`,"arguments":`)
	own.Write(arguments)
	in.writeMembers(&own)
	if c.callsAsTask(def) {
		own.WriteString(`,"task":{}`)
	}
	return requestSpec{method: "tools/call", members: own.Bytes(), isCall: true, idempotent: c.Idempotent || def.ReadOnly || def.Idempotent,
		header: mcphttp.ParamHeader(def.InputSchema, arguments)}
}

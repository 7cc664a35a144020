package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// maxRounds bounds how often a server may ask for input before it gives a result (2026-07-28, Multi Round-Trip Requests, sets none).
const maxRounds = 10

// Call calls a tool.
//
//  1. its definition, from memory or the server
//  2. the arguments, converted and checked by its schema; arguments that an old definition refuses are checked by a new one
//  3. the call
//  4. while the server wants input: ask Elicit and call again with the answers (2026-07-28; servers of earlier revisions ask during the call)
func (c *Client) Call(ctx context.Context, tool string, args Arguments) (Result, error) {
	raw, err := c.call(ctx, tool, args)
	if err != nil {
		return Result{}, err
	}
	return decodeResult(raw), nil
}

// call is Call without a look into the result.
func (c *Client) call(ctx context.Context, tool string, args Arguments) (json.RawMessage, error) {
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	def, object, err := c.prepareCall(ctx, tool, args)
	if err != nil {
		return nil, err
	}
	var in input
	for round := 0; ; round++ {
		result, err := c.callOnce(ctx, &def, object, in)
		if err = c.explain(ctx, err); err != nil {
			return nil, err
		}
		kind, err := c.resultType(result)
		if err != nil || kind == complete {
			return result, err
		}
		if round == maxRounds {
			return nil, c.invalid("the tool asked for input " + strconv.Itoa(maxRounds) + " times and gave no result")
		}
		if in, err = c.answerInput(ctx, tool, result, round); err != nil {
			return nil, err
		}
	}
}

// Kinds of results (2026-07-28, Base Protocol, Result Types).
const (
	complete      = "complete"
	inputRequired = "input_required"
)

// resultType returns the kind of a result. A kind that this client does not know is invalid, and a result without one is complete, as in
// earlier revisions.
func (c *Client) resultType(result json.RawMessage) (string, error) {
	if jsonscan.Type(result) != "object" {
		return "", c.invalid("the result is not an object")
	}
	raw := jsonscan.Member(result, "resultType")
	if raw == nil || c.known() != eraModern {
		return complete, nil
	}
	switch kind := jsonscan.Unquote(raw); kind {
	case complete, inputRequired:
		return kind, nil
	}
	return "", c.invalid(fmt.Sprintf("the result is of type %s, which this client does not know", httpx.Text(string(raw), 60)))
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

// callOnce sends one tools/call and returns its result. A header mismatch fetches the definition anew (2026-07-28, Streamable HTTP, Client
// Behavior).
func (c *Client) callOnce(ctx context.Context, def *Tool, arguments json.RawMessage, in input) (json.RawMessage, error) {
	for refetched := false; ; refetched = true {
		o, err := c.request(ctx, c.toolCall(*def, arguments, in))
		if o.Reason != mcphttp.HeaderMismatch || refetched {
			return o.Answer.Result, err
		}
		fresh, _, failed := c.definition(ctx, def.Name, Arguments{}, true)
		if failed != nil || string(fresh.Raw) == string(def.Raw) {
			return nil, err
		}
		*def = fresh
	}
}

// toolCall is the request tools/call.
func (c *Client) toolCall(def Tool, arguments json.RawMessage, in input) want {
	var own bytes.Buffer
	own.Grow(len(arguments) + 100)
	own.WriteString(`"name":`)
	own.Write(jsonscan.Quote(def.Name))
	own.WriteString(`,"arguments":`)
	own.Write(arguments)
	in.members(&own)
	return want{method: "tools/call", own: own.Bytes(), call: true, safe: c.Idempotent || def.ReadOnly || def.Idempotent,
		header: mcphttp.ParamHeader(def.InputSchema, arguments)}
}

// This file answers the questions that a server asks during a call (MCP, Elicitation; 2026-07-28, Multi Round-Trip Requests). In the modern
// era they come in place of a result, in earlier ones as requests of the server on the stream of the call.

package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
)

// Elicitation is a question of a server. Its text is the server's and not safe to print as it is.
type Elicitation struct {
	Server  string          // the address of the server that asks
	Mode    string          // "form" or "url"
	Message string          // why it asks
	Schema  json.RawMessage // of the answer; form only
	URL     string          // to be opened by the user; url only. It was checked (httpx.Check)
}

// Answer is what is replied.
type Answer struct {
	Action  string          // "accept", "decline" or "cancel"
	Content json.RawMessage // an object; accepted forms only
	Reason  string          // why it was not accepted; not sent
}

// Elicitor answers a question. An error ends the call.
type Elicitor func(context.Context, Elicitation) (Answer, error)

// Policy is an Elicitor that asks nobody: p.Elicit. The zero Policy declines everything.
type Policy struct {
	Defaults bool                                     // forms are answered with the defaults of their schemas
	Values   json.RawMessage                          // an object: forms are answered with the members of it that they ask for, else their defaults
	Visit    func(context.Context, Elicitation) error // shows, and may open, the address of a question in URL mode; nil: declined
	Report   func(Elicitation, Answer)                // told of each question and its answer; nil: nobody is
}

// Elicit answers one question.
func (p Policy) Elicit(ctx context.Context, e Elicitation) (Answer, error) {
	a := Answer{Action: "decline", Reason: "questions are not answered"}
	var err error
	switch {
	case e.Mode == "url" && p.Visit != nil:
		if err = p.Visit(ctx, e); err == nil {
			a = Answer{Action: "accept"}
		}
	case e.Mode == "url":
		a.Reason = "it is to be answered in a browser"
	case p.Defaults || p.Values != nil:
		a = fillForm(e.Schema, p.Values)
	}
	if err == nil && p.Report != nil {
		p.Report(e, a)
	}
	return a, err
}

// fillForm answers a form with values and defaults. One that wants more is declined.
func fillForm(form, values json.RawMessage) Answer {
	content, err := toolargs.Parse(form).Fill(values)
	if err != nil {
		return Answer{Action: "decline", Reason: httpx.Text(err.Error(), 300)}
	}
	return Answer{Action: "accept", Content: content}
}

// ask puts one question to the Elicitor.
func (c *Client) ask(ctx context.Context, e Elicitation) (Answer, error) {
	e.Server = c.place()
	if e.Mode == "" {
		e.Mode = "form"
	}
	elicit := c.Elicit
	if elicit == nil {
		elicit = Policy{}.Elicit
	}
	if e.Mode == "url" {
		server, err := url.Parse(c.URL)
		if err != nil {
			return Answer{}, err
		}
		u, err := httpx.Check(e.URL, httpx.Local(server))
		if err != nil {
			return Answer{}, fmt.Errorf("the server wants an address opened: %w", err)
		}
		e.URL = u.String()
	}
	return elicit(ctx, e)
}

// elicitLegacy answers a request of a legacy server.
func (c *Client) elicitLegacy(ctx context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	e := Elicitation{Mode: req.Params.Mode, Message: req.Params.Message, URL: req.Params.URL}
	if req.Params.RequestedSchema != nil {
		schema, err := json.Marshal(req.Params.RequestedSchema)
		if err != nil {
			return nil, err
		}
		e.Schema = schema
	}
	a, err := c.ask(ctx, e)
	if err != nil {
		c.mu.Lock()
		c.asked = errors.Join(c.asked, err)
		c.mu.Unlock()
		return &mcp.ElicitResult{Action: "cancel"}, nil
	}
	res := &mcp.ElicitResult{Action: a.Action}
	if a.Action == "accept" && a.Content != nil {
		err = json.Unmarshal(a.Content, &res.Content)
	}
	return res, err
}

// input is what a call carries beside its arguments when a modern server has asked for more.
type input struct {
	responses mcp.InputResponseMap
	state     string
}

func (in input) apply(p *mcp.CallToolParams) {
	p.InputResponses, p.RequestState = in.responses, in.state
}

// answerInput answers the questions of an input_required result. One without questions asks to call again later.
func (c *Client) answerInput(ctx context.Context, tool string, result json.RawMessage, round int) (input, error) {
	in := input{state: unquote(member(result, "requestState"))}
	questions := member(result, "inputRequests")
	for key, q := range members(questions) {
		params := member(q, "params")
		if method := unquote(member(q, "method")); method != "elicitation/create" {
			return in, &StatusError{URL: c.place(), StatusCode: http.StatusOK,
				Reason: fmt.Sprintf("tool %q asks for %q, which was not offered to it", httpx.Text(tool, 100), httpx.Text(method, 60))}
		}
		a, err := c.ask(ctx, Elicitation{Mode: unquote(member(params, "mode")), Message: unquote(member(params, "message")),
			Schema: member(params, "requestedSchema"), URL: unquote(member(params, "url"))})
		if err != nil {
			return in, err
		}
		res := &mcp.ElicitResult{Action: a.Action}
		if a.Action == "accept" && a.Content != nil {
			res.Content = map[string]any{}
			for name, v := range members(a.Content) {
				res.Content[name] = v
			}
		}
		if in.responses == nil {
			in.responses = mcp.InputResponseMap{}
		}
		in.responses[key] = res
	}
	if in.responses == nil {
		return in, c.wait(ctx, pauseBefore(min(round, 3)))
	}
	return in, nil
}

// explain adds what the Elicitor failed with to the error of a call, and shows the addresses that a server of 2025-11-25 wants visited
// before it takes the call (Elicitation, URLElicitationRequiredError). The call is not made again: only the user knows when that is done.
func (c *Client) explain(ctx context.Context, err error) error {
	c.mu.Lock()
	asked := c.asked
	c.asked = nil
	c.mu.Unlock()
	var rpc *RPCError
	if errors.As(err, &rpc) && rpc.Code == codeURLElicitation {
		for q := range elements(member(rpc.Data, "elicitations")) {
			if _, e := c.ask(ctx, Elicitation{Mode: "url", Message: unquote(member(q, "message")), URL: unquote(member(q, "url"))}); e != nil {
				return e
			}
		}
	}
	if asked != nil {
		return asked
	}
	return err
}

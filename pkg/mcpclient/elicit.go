package mcpclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
	"mcpauth/internal/toolargs"
)

// Elicitation is an elicitation request of a server. The texts of an Elicitation come from the server and are not safe to print.
type Elicitation struct {
	Server  string          // URL of the server
	Mode    string          // "form" or "url"
	Message string          // the server's text for the user
	Schema  json.RawMessage // JSON Schema of the answer; form mode only
	URL     string          // address for the user to open, checked by httpx.Check; url mode only
}

// Answer is the answer to an elicitation request.
type Answer struct {
	Action  string          // "accept", "decline" or "cancel"
	Content json.RawMessage // JSON object with the values of a form; nil unless a form is accepted
	Reason  string          // why the request is declined or cancelled, for the user; never sent to the server
}

// Elicitor answers an elicitation request. If an Elicitor returns an error, the call ends.
type Elicitor func(context.Context, Elicitation) (Answer, error)

// Policy answers elicitation requests without asking the user; use p.Elicit as an Elicitor. The zero Policy declines everything.
type Policy struct {
	Defaults bool                                     // answer forms with the defaults in their schemas
	Values   json.RawMessage                          // JSON object with the values for the fields of forms; a field without a value gets its default; nil: no values
	Visit    func(context.Context, Elicitation) error // shows or opens the address of a request in URL mode; nil: decline such requests
	Report   func(Elicitation, Answer)                // called with each request and its answer; may be nil
}

// Elicit answers one elicitation request.
func (p Policy) Elicit(ctx context.Context, e Elicitation) (Answer, error) {
	a := Answer{Action: "decline", Reason: "elicitation is disabled"}
	var err error
	switch {
	case e.Mode == "url" && p.Visit != nil:
		if err = p.Visit(ctx, e); err == nil {
			a = Answer{Action: "accept"}
		}
	case e.Mode == "url":
		a.Reason = "it must be answered in a browser"
	case p.Defaults || p.Values != nil:
		if content, bad := toolargs.Parse(e.Schema).Fill(p.Values); bad != nil {
			a.Reason = httpx.Text(bad.Error(), 300)
		} else {
			a = Answer{Action: "accept", Content: content}
		}
	}
	if err == nil && p.Report != nil {
		p.Report(e, a)
	}
	return a, err
}

// ask passes one elicitation request to the Elicitor.
func (c *Client) ask(ctx context.Context, e Elicitation) (Answer, error) {
	if len(e.Message)+len(e.Schema) > maxEntry {
		return Answer{}, c.invalid(fmt.Sprintf("it asks a question of more than %d bytes", maxEntry))
	}
	e.Server, e.Message, e.Schema = c.place(), c.link.Clean(e.Message), json.RawMessage(c.link.Clean(string(e.Schema)))
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
			return Answer{}, &QuestionError{err}
		}
		if e.URL = u.String(); c.link.HoldsToken(e.URL) {
			return Answer{}, c.invalid("it asks to open a URL that contains the access token")
		}
	}
	return elicit(ctx, e)
}

// form parses an elicitation request (2025-11-25 and 2026-07-28, Elicitation). A request without a mode is a form.
func form(params json.RawMessage) Elicitation {
	text := func(name string) string { return jsonscan.Unquote(jsonscan.Member(params, name)) }
	return Elicitation{Mode: cmp.Or(text("mode"), "form"), Message: text("message"), Schema: jsonscan.Member(params, "requestedSchema"), URL: text("url")}
}

// result returns the answer as an ElicitResult.
func (a Answer) result() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	addMember(&b, "action", jsonscan.Quote(a.Action))
	if a.Action == "accept" && a.Content != nil {
		addMember(&b, "content", a.Content)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// reply answers a request that a server of an earlier revision has sent.
func (c *Client) reply(ctx context.Context, s *session, m mcphttp.Message) {
	var answer mcphttp.Message
	switch m.Method {
	case "ping":
		answer = mcphttp.NewResult(m.ID, json.RawMessage("{}"))
	case "elicitation/create":
		e := form(m.Params)
		if e.Mode != "form" && e.Mode != "url" {
			answer = mcphttp.NewError(m.ID, -32602, "the mode was not offered")
			break
		}
		if c.questions.Add(1) > maxQuestions*(1+c.calls.Load()) {
			answer = mcphttp.NewError(m.ID, -32600, "too many questions")
			break
		}
		a, err := c.ask(ctx, e)
		if err != nil {
			c.mu.Lock()
			if c.asked == nil {
				c.asked = err
			}
			c.mu.Unlock()
			a = Answer{Action: "cancel"}
		}
		answer = mcphttp.NewResult(m.ID, related(a.result(), m.Params))
	default:
		answer = mcphttp.NewError(m.ID, mcphttp.CodeMethodNotFound, "Method not found")
	}
	c.link.Exchange(ctx, s.Session, mcphttp.Request{Message: answer})
}

// related copies the related task from an elicitation request to its answer (2025-11-25, Tasks, Associating Task-Related Messages).
func related(answer, question json.RawMessage) json.RawMessage {
	const key = "io.modelcontextprotocol/related-task"
	task := jsonscan.Member(jsonscan.Member(question, "_meta"), key)
	if task == nil {
		return answer
	}
	meta := bytes.NewBufferString("{")
	addMember(meta, key, task)
	b := bytes.NewBuffer(answer[:len(answer)-1])
	addMember(b, "_meta", append(meta.Bytes(), '}'))
	return append(b.Bytes(), '}')
}

// input is what the client adds to a call when it repeats the call after an input_required result. Each input is valid for one repetition.
type input struct {
	responses []byte          // the members of inputResponses; nil: none
	state     json.RawMessage // requestState, byte for byte; nil: none
}

// members writes inputResponses and requestState as members of the call's parameters.
func (in input) members(b *bytes.Buffer) {
	if in.responses != nil {
		b.WriteString(`,"inputResponses":{`)
		b.Write(in.responses)
		b.WriteByte('}')
	}
	if in.state != nil {
		b.WriteString(`,"requestState":`)
		b.Write(in.state)
	}
}

// answerInput answers the questions of an input_required result (2026-07-28, Multi Round-Trip Requests). A result without questions asks
// the client to repeat the call later.
func (c *Client) answerInput(ctx context.Context, what string, result json.RawMessage, round int) (input, error) {
	in := input{state: jsonscan.Member(result, "requestState")}
	responses, keys, err := c.answers(ctx, what, jsonscan.Member(result, "inputRequests"), nil)
	switch {
	case err != nil:
		return in, err
	case len(keys) > 0:
		in.responses = responses
		return in, nil
	case in.state == nil:
		return in, c.invalid(what + " requests input, but contains neither inputRequests nor requestState")
	}
	return in, c.link.Wait(ctx, pauseBefore(min(round, 3)))
}

const (
	maxQuestions = 100 // maximum number of elicitation requests in one result or for one task; for servers of earlier revisions, maximum average per call
	maxReplies   = 100 // concurrent replies to a server of an earlier revision
)

// answers passes the elicitation requests in inputRequests to the Elicitor, except those whose keys are in before. The results are the
// members of inputResponses and their keys.
func (c *Client) answers(ctx context.Context, what string, requests json.RawMessage, before map[string]bool) (responses []byte, keys []string, err error) {
	open := len(before)
	for key := range jsonscan.Members(requests) {
		switch open++; {
		case open > maxQuestions:
			return nil, nil, c.invalid(fmt.Sprintf("%s asks more than %d questions", what, maxQuestions))
		case len(key) > maxQuestionKey:
			return nil, nil, c.invalid(fmt.Sprintf("%s asks a question whose key has more than %d bytes", what, maxQuestionKey))
		case c.link.HoldsToken(key):
			return nil, nil, c.invalid(what + " asks a question whose key contains the access token")
		}
	}
	b := bytes.NewBufferString("{")
	for key, q := range jsonscan.Members(requests) {
		if before[key] {
			continue
		}
		e := form(jsonscan.Member(q, "params"))
		if method := jsonscan.Unquote(jsonscan.Member(q, "method")); method != "elicitation/create" || e.Mode != "form" && e.Mode != "url" {
			return nil, nil, c.invalid(fmt.Sprintf("%s requests %q, which the client did not offer", what, httpx.Text(method, 60)))
		}
		a, err := c.ask(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		addMember(b, key, a.result())
		keys = append(keys, key)
	}
	return b.Bytes()[1:], keys, nil
}

// explain replaces the error of a call by an error of the Elicitor, if there is one. A server of 2025-11-25 can refuse a call until the
// user has visited certain URLs (Elicitation, URLElicitationRequiredError). After a URLElicitationRequiredError, explain first passes the
// URLs to the Elicitor. explain does not repeat the call, because only the user knows when the visits are done.
func (c *Client) explain(ctx context.Context, err error) error {
	c.mu.Lock()
	asked := c.asked
	c.asked = nil
	c.mu.Unlock()
	if rpc := isRPC(err); rpc != nil && rpc.Code == mcphttp.CodeURLElicitation {
		questions, count := jsonscan.Elements(jsonscan.Member(rpc.Data, "elicitations")), 0
		for range questions {
			if count++; count > maxQuestions {
				return c.invalid(fmt.Sprintf("the error asks more than %d questions", maxQuestions))
			}
		}
		for q := range questions {
			e := form(q)
			e.Mode = "url"
			if _, e := c.ask(ctx, e); e != nil {
				return e
			}
		}
	}
	if asked != nil {
		return asked
	}
	return err
}

// progress passes a progress notification to its call. Notifications for unknown or finished calls are dropped.
func (c *Client) progress(params json.RawMessage) {
	c.mu.Lock()
	report := c.tracking[jsonscan.Unquote(jsonscan.Member(params, "progressToken"))]
	c.mu.Unlock()
	if report == nil {
		return
	}
	var p Progress
	_ = json.Unmarshal(jsonscan.Member(params, "progress"), &p.Progress)
	_ = json.Unmarshal(jsonscan.Member(params, "total"), &p.Total)
	p.Message = c.link.Clean(jsonscan.Unquote(jsonscan.Member(params, "message")))
	report(p)
}

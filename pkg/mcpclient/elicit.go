package mcpclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	URL     string          // address for the user to open: https, or http on loopback if the server is on loopback; url mode only
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

// askElicitor passes one elicitation request to the Elicitor.
func (c *Client) askElicitor(ctx context.Context, e Elicitation) (Answer, error) {
	if len(e.Message)+len(e.Schema) > maxEntry {
		return Answer{}, c.protocolError(fmt.Sprintf("it asks a question of more than %d bytes", maxEntry))
	}
	e.Server, e.Message, e.Schema = c.plainURL(), c.link.Clean(e.Message), c.link.LoginSecrets().CleanJSON(e.Schema)
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
			if refused, ok := errors.AsType[*httpx.AddressError](err); ok { // Check shortens the URL, so the secrets are removed before
				err = &httpx.AddressError{Address: httpx.Text(httpx.WithoutUser(c.link.Clean(e.URL)), 200), Reason: refused.Reason}
			}
			return Answer{}, &QuestionError{err}
		}
		if e.URL = u.String(); c.link.LoginSecrets().Holds(e.URL) {
			return Answer{}, c.protocolError("it asks to open a URL that contains the access token")
		}
	}
	return elicit(ctx, e)
}

// parseElicitation parses an elicitation request (2025-11-25 and 2026-07-28, Elicitation). A request without a mode asks for a form.
func parseElicitation(params json.RawMessage) Elicitation {
	text := func(name string) string { return jsonscan.Unquote(jsonscan.Member(params, name)) }
	return Elicitation{Mode: cmp.Or(text("mode"), "form"), Message: text("message"), Schema: jsonscan.Member(params, "requestedSchema"), URL: text("url")}
}

// elicitResult encodes the answer as an ElicitResult.
func (a Answer) elicitResult() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	addMember(&b, "action", jsonscan.Quote(a.Action))
	if a.Action == "accept" && a.Content != nil {
		addMember(&b, "content", a.Content)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// startReply answers a request from a server of an earlier revision in the background. While the reply runs, it keeps only what it needs of
// the request, because a server can send requests of many megabytes and never accept the replies. Beyond maxReplies, a request gets no reply.
func (c *Client) startReply(ctx context.Context, s *clientSession, m mcphttp.Message) {
	if len(m.ID) > mcphttp.MaxRequestID {
		return
	}
	kept := mcphttp.Message{ID: bytes.Clone(m.ID)}
	switch m.Method {
	case "ping":
		kept.Method = m.Method
	case "elicitation/create":
		kept.Method = m.Method
		if len(m.Params) <= maxEntry {
			kept.Params = bytes.Clone(m.Params)
		}
	}
	weight := 1 + int64(len(kept.Params)/replyUnit)
	if c.replying.Add(weight) > maxReplies {
		c.replying.Add(-weight)
		return
	}
	c.background.Go(func() {
		defer c.replying.Add(-weight)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.life, cancel)()
		c.answerRequest(ctx, s, kept)
	})
}

// answerRequest answers a request from a server of an earlier revision. m is the request as startReply keeps it.
func (c *Client) answerRequest(ctx context.Context, s *clientSession, m mcphttp.Message) {
	var answer mcphttp.Message
	switch m.Method {
	case "ping":
		answer = mcphttp.NewResult(m.ID, json.RawMessage("{}"))
	case "elicitation/create":
		if m.Params == nil {
			answer = mcphttp.NewError(m.ID, -32602, fmt.Sprintf("the parameters are missing or have more than %d bytes", maxEntry))
			break
		}
		e := parseElicitation(m.Params)
		if e.Mode != "form" && e.Mode != "url" {
			answer = mcphttp.NewError(m.ID, -32602, "the mode was not offered")
			break
		}
		if c.questions.Add(1) > maxQuestions*(1+c.calls.Load()) {
			answer = mcphttp.NewError(m.ID, -32600, "too many questions")
			break
		}
		a, err := c.askElicitor(ctx, e)
		if err != nil {
			c.mu.Lock()
			if c.elicitErr == nil {
				c.elicitErr = err
			}
			c.mu.Unlock()
			a = Answer{Action: "cancel"}
		}
		answer = mcphttp.NewResult(m.ID, withRelatedTask(a.elicitResult(), m.Params))
	default:
		answer = mcphttp.NewError(m.ID, mcphttp.CodeMethodNotFound, "Method not found")
	}
	c.link.Exchange(ctx, s.Session, mcphttp.Request{Message: answer})
}

// withRelatedTask copies the related task from an elicitation request to its answer (2025-11-25, Tasks, Associating Task-Related Messages).
func withRelatedTask(answer, question json.RawMessage) json.RawMessage {
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

// retryParams are the parameters that the client adds to answer an input_required result. Each answer is valid for one call.
type retryParams struct {
	responses []byte          // the members of inputResponses; nil: none
	state     json.RawMessage // requestState, byte for byte; nil: none
}

// writeMembers writes inputResponses and requestState as members of the call's parameters.
func (in retryParams) writeMembers(b *bytes.Buffer) {
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

// answerInput answers the questions of an input_required result (2026-07-28, Multi Round-Trip Requests). If the result contains no
// questions, answerInput waits, because the server asks for the call again later.
func (c *Client) answerInput(ctx context.Context, what string, result json.RawMessage, round int) (retryParams, error) {
	state := jsonscan.Member(result, "requestState")
	if len(state) > maxEntry {
		return retryParams{}, c.protocolError(fmt.Sprintf("%s has a requestState of more than %d bytes", what, maxEntry))
	}
	in := retryParams{state: bytes.Clone(state)} // a copy, because result can have many megabytes
	responses, keys, err := c.answerAll(ctx, what, jsonscan.Member(result, "inputRequests"), nil)
	switch {
	case err != nil:
		return in, err
	case len(keys) > 0:
		in.responses = responses
		return in, nil
	case in.state == nil:
		return in, c.protocolError(what + " requests input, but contains neither inputRequests nor requestState")
	}
	return in, c.link.Wait(ctx, retryPause(min(round, 3)))
}

const (
	maxQuestions = 100 // maximum number of elicitation requests in one result or for one task; in earlier revisions, average per call
	maxReplies   = 100 // concurrent replies to a server of an earlier revision; a reply counts once more for each replyUnit of its question
	replyUnit    = 64 << 10
)

// answerAll passes elicitation requests to the Elicitor, except those whose keys have their shortHash in answered. requests is the object
// inputRequests. responses contains the members of inputResponses, and keys contains their names.
func (c *Client) answerAll(ctx context.Context, what string, requests json.RawMessage, answered map[string]bool) (responses []byte, keys []string, err error) {
	if len(requests) > maxEntry {
		return nil, nil, c.protocolError(fmt.Sprintf("%s asks questions of more than %d bytes", what, maxEntry))
	}
	count := len(answered)
	for key := range jsonscan.Members(requests) {
		if answered[shortHash(key)] {
			continue
		}
		switch count++; {
		case count > maxQuestions:
			return nil, nil, c.protocolError(fmt.Sprintf("%s asks more than %d questions", what, maxQuestions))
		case len(key) > maxQuestionKey:
			return nil, nil, c.protocolError(fmt.Sprintf("%s asks a question whose key has more than %d bytes", what, maxQuestionKey))
		case c.link.LoginSecrets().Holds(key):
			return nil, nil, c.protocolError(what + " asks a question whose key contains the access token")
		}
	}
	b := bytes.NewBufferString("{")
	for key, q := range jsonscan.Members(requests) {
		if answered[shortHash(key)] {
			continue
		}
		e := parseElicitation(jsonscan.Member(q, "params"))
		if method := jsonscan.Unquote(jsonscan.Member(q, "method")); method != "elicitation/create" || e.Mode != "form" && e.Mode != "url" {
			return nil, nil, c.protocolError(fmt.Sprintf("%s requests %s, which the client did not offer", what, httpx.Quote(c.Clean(method), 60)))
		}
		a, err := c.askElicitor(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		addMember(b, key, a.elicitResult())
		keys = append(keys, key)
	}
	return b.Bytes()[1:], keys, nil
}

// callError returns the error to report for a call: the first error of the Elicitor, or err. A server of MCP 2025-11-25 can refuse a call
// until the user has visited certain URLs (Elicitation, URLElicitationRequiredError). In this case callError passes the URLs to the
// Elicitor first. callError does not send the call again, because only the user knows when the visits are done.
func (c *Client) callError(ctx context.Context, err error) error {
	c.mu.Lock()
	asked := c.elicitErr
	c.elicitErr = nil
	c.mu.Unlock()
	if rpc := asRPCError(err); rpc != nil && rpc.Code == mcphttp.CodeURLElicitation {
		questions, count := jsonscan.Elements(jsonscan.Member(rpc.Data, "elicitations")), 0
		for range questions {
			if count++; count > maxQuestions {
				return c.protocolError(fmt.Sprintf("the error asks more than %d questions", maxQuestions))
			}
		}
		for q := range questions {
			e := parseElicitation(q)
			e.Mode = "url"
			if _, e := c.askElicitor(ctx, e); e != nil {
				return e
			}
		}
	}
	if asked != nil {
		return asked
	}
	return err
}

// reportProgress passes a progress notification to the callback of its call. Notifications for unknown or finished calls are dropped.
func (c *Client) reportProgress(params json.RawMessage) {
	c.mu.Lock()
	report := c.progressFuncs[jsonscan.Unquote(jsonscan.Member(params, "progressToken"))]
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

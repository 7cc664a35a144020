// Package mcpproxy lets programs that speak MCP but not OAuth use a login. The Proxy receives the messages of a program over standard input
// and output (Proxy.Stdio) or over HTTP on the loopback interface (Proxy.Listen). The Proxy forwards the messages to one server with
// authorization.
//
//	p := &mcpproxy.Proxy{URL: "https://mcp.example.com/mcp", Auth: handler}
//	err := p.Stdio(ctx, os.Stdin, os.Stdout)
//
// Messages are forwarded byte for byte, except that line breaks become spaces, and that a server's request gets an id of the proxy. The
// program and the server negotiate the protocol revision with each other. The proxy adds authorization and headers, and opens a new session if
// the server loses the old one. The proxy answers every request exactly once, unless the program cancels the request. The answer is a JSON-RPC
// response with the same id.
package mcpproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// Proxy forwards messages of programs to one server. The fields of a Proxy must not change after the first use.
type Proxy struct {
	URL     string            // the MCP endpoint
	Header  http.Header       // sent to the server's origin only
	Auth    auth.OAuthHandler // nil: no authorization
	HTTP    *http.Client      // nil: a client that limits connection time, header size and redirects
	Secrets *httpx.Secrets    // secrets of the login, which are masked in the proxy's own errors; nil: only the secrets in Header and the access tokens
	Log     func(text string) // called for sessions and dropped messages; may be nil
	Warn    func(text string) // called if a subscription or the log level could not be restored; may be nil

	pause func(ctx context.Context, d time.Duration) error // replaces the timer in tests; nil: a timer

	once sync.Once
	link *mcphttp.Link
}

// codeProxy is the code of the errors that the proxy itself reports. The code is in the range that JSON-RPC 2.0 §5.1 reserves for
// implementations.
const codeProxy = -32000

func (p *Proxy) prepare() {
	p.once.Do(func() {
		p.link = &mcphttp.Link{URL: p.URL, Header: p.Header, Auth: p.Auth, HTTP: p.HTTP, Secrets: p.Secrets, Pause: p.pause}
	})
}

func (p *Proxy) log(format string, a ...any) {
	if p.Log != nil {
		p.Log(fmt.Sprintf(format, a...))
	}
}

// conversation is the exchange of messages between one program and the server.
type conversation struct {
	*Proxy
	base          context.Context    // context of the whole conversation
	stop          context.CancelFunc // ends the conversation
	sendToProgram mcphttp.Receive    // sends the program a message that belongs to no request
	overHTTP      bool               // the program speaks HTTP, so it sets the Mcp-Param headers itself

	renewing  chan struct{} // semaphore; full while a lost session is replaced
	answering atomic.Int64  // number of answers that the server has not accepted, see maxAnswers

	mu                 sync.Mutex
	requests           map[*pendingRequest]bool // requests without an answer
	initializeRequest  mcphttp.Message          // the program's initialize request
	initializedMessage mcphttp.Message          // the program's notifications/initialized; zero: not sent yet
	session            *mcphttp.Session         // session of an earlier revision; nil: none
	doubtful           *mcphttp.Session         // session that the server may have lost; nil: none
	endStream          context.CancelFunc       // ends the stream of the session; nil: no stream
	serverLogs         bool                     // the server declared that it sends log messages
	restorable         []mcphttp.Message        // requests to repeat in a new session, in order
	questions          []question               // requests of the server without an answer, oldest first; at most maxQuestions
	asked              int                      // number of questions so far
	annotated          annotations              // input schemas that require Mcp-Param headers
}

func (p *Proxy) converse(ctx context.Context, say mcphttp.Receive) *conversation {
	p.prepare()
	c := &conversation{Proxy: p, sendToProgram: say, renewing: make(chan struct{}, 1), requests: map[*pendingRequest]bool{}}
	c.base, c.stop = context.WithCancel(ctx)
	return c
}

// pendingRequest is an unanswered request of the program.
type pendingRequest struct {
	mcphttp.Message
	header  http.Header                // Mcp-Param headers of a program that speaks HTTP
	receive mcphttp.Receive            // receives the server messages that precede the answer; nil: sendToProgram receives them
	answer  func(mcphttp.Message, int) // receives the answer, and the HTTP status of the server's response; the status is 0 if the server sent none
	cancel  context.CancelFunc
}

// addRequest registers a request. Call addRequest in the order of the messages, so that a cancellation finds its request.
func (c *conversation) addRequest(ctx context.Context, r *pendingRequest) context.Context {
	ctx, r.cancel = context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[r] = true
	return ctx
}

// removeRequest removes a request, and reports whether the request was still waiting for an answer. The caller must answer the request
// before it cancels the context, because Listener sends no answer after the context is cancelled.
func (c *conversation) removeRequest(r *pendingRequest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.requests[r]
	delete(c.requests, r)
	return waiting
}

// findRequest returns the unanswered request with this id, or nil.
func (c *conversation) findRequest(id json.RawMessage) *pendingRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	var alike *pendingRequest
	for r := range c.requests {
		switch {
		case string(r.ID) == string(id):
			return r
		case mcphttp.SameID(r.ID, id):
			alike = r
		}
	}
	return alike
}

// runRequest sends a program's request to the server, and the server's answer to the program. A request that the program has cancelled gets
// no answer (2025-11-25, Cancellation).
func (c *conversation) runRequest(ctx context.Context, r *pendingRequest) {
	var o mcphttp.Outcome
	if r.Method == "initialize" {
		o = c.initializeSession(ctx, r)
	} else {
		o = c.exchangeRequest(ctx, r)
	}
	cancelled := ctx.Err() != nil && c.base.Err() == nil
	answer := c.answerTo(r.Message, o)
	if answer.Error == nil {
		c.recordAnswer(r.Message, answer)
	}
	if c.removeRequest(r) && !cancelled {
		status := 0
		if o.Answer.Raw != nil {
			status = o.Status
		}
		r.answer(answer, status)
	}
	r.cancel()
}

// exchangeRequest sends a request. If the server lost the session or refused a header, the server has not carried out the request, so
// exchangeRequest sends it again. If only some words suggest that the server lost the session, exchangeRequest sends the request again only if
// it may be carried out twice. Otherwise the program gets the response at once, and the next request opens another session.
func (c *conversation) exchangeRequest(ctx context.Context, r *pendingRequest) mcphttp.Outcome {
	for tried := (mcphttp.Tried{}); ; {
		s := c.sessionOf(r.Message)
		if c.isDoubtful(s) {
			if err := c.renewSession(ctx, s, 0); err != nil {
				c.log("%v", err)
			}
			c.setDoubtful(nil)
			s = c.sessionOf(r.Message)
		}
		header := r.header
		if header == nil {
			header = c.paramHeader(r.Message)
		}
		o := c.link.Exchange(ctx, s, mcphttp.Request{Message: r.Message, Header: header, Receive: func(m mcphttp.Message) bool { return c.handleMessage(r, s, m) }})
		switch o.Next(tried, isRepeatable(r.Method)) {
		case mcphttp.Reopen:
			tried.Reopen++
			if err := c.renewSession(ctx, s, 0); err != nil {
				return mcphttp.Outcome{Err: err}
			}
		case mcphttp.Refetch:
			tried.Refetch++
			if c.overHTTP || r.Method != "tools/call" {
				return o
			}
			c.refetchTools(ctx, r.Message)
		default:
			if o.LikelyReason() == mcphttp.UnknownSession && tried.Reopen == 0 {
				c.setDoubtful(s)
			}
			return o
		}
	}
}

// sendOneWay sends a notification or a response, which the server does not answer.
func (c *conversation) sendOneWay(ctx context.Context, m mcphttp.Message) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if m.IsResponse() {
		defer c.answering.Add(-1)
		if c.answering.Add(1) > maxAnswers {
			c.log("dropped a response from the client, because the server has not accepted %d earlier responses", maxAnswers)
			return
		}
	}
	for tried := (mcphttp.Tried{}); ; {
		s := c.sessionOf(m)
		if m.IsResponse() {
			if s, m = c.takeQuestion(m); s == nil {
				c.log("dropped a response from the client to a request of a lost session, or to an unknown request")
				return
			}
		}
		o := c.link.Exchange(ctx, s, mcphttp.Request{Message: m, Receive: func(m mcphttp.Message) bool { return c.handleMessage(nil, s, m) }})
		err := c.link.Failure(o)
		if o.Next(tried, isRepeatable(m.Method)) == mcphttp.Reopen && m.Method != "" && m.Method != "notifications/initialized" {
			tried.Reopen++
			if err = c.renewSession(ctx, s, 0); err == nil {
				continue
			}
		}
		if err != nil && ctx.Err() == nil {
			c.log("%s was not taken: %v", orResponse(c.link.Clean(m.Method)), err)
		}
		return
	}
}

// isRepeatable reports whether a request may be carried out twice without harm. A call of a tool may not, and neither may an unknown method.
func isRepeatable(method string) bool {
	return strings.HasSuffix(method, "/list") || strings.HasPrefix(method, "notifications/") || slices.Contains([]string{"initialize", "ping", "server/discover",
		"resources/read", "resources/subscribe", "resources/unsubscribe", "prompts/get", "completion/complete", "logging/setLevel", "tasks/get", "tasks/result"}, method)
}

func orResponse(method string) string {
	if method == "" {
		return "a response"
	}
	return httpx.Text(method, 100)
}

// cancelRequest cancels a request of the program, and reports whether to forward the notification m to the server. For a request of MCP
// 2026-07-28, the notification is not forwarded, because closing the stream cancels the request (2026-07-28, Streamable HTTP,
// Cancellation). initialize cannot be cancelled, and a cancellation of an unknown or answered request has no effect.
func (c *conversation) cancelRequest(m mcphttp.Message) bool {
	r := c.findRequest(jsonscan.Member(m.Params, "requestId"))
	if r == nil || r.Method == "initialize" {
		return false
	}
	r.cancel()
	return r.Version() == ""
}

// handleMessage handles a message of the server other than the answer to r. r is the request on whose stream the message came, or nil. s is the
// session of the message. The message may answer another request. Messages that are not valid JSON-RPC are dropped, because some programs crash on them.
// The result is false if the message was dropped.
func (c *conversation) handleMessage(r *pendingRequest, s *mcphttp.Session, m mcphttp.Message) bool {
	switch {
	case m.IsResponse():
		other := c.findRequest(m.ID)
		if other == nil {
			c.log("dropped a response from the server to an unknown request")
			return false
		}
		answer := c.answerTo(other.Message, mcphttp.Outcome{Answer: m})
		if c.removeRequest(other) {
			if answer.Error == nil {
				c.recordAnswer(other.Message, answer)
			}
			other.answer(answer, 0)
			other.cancel()
		}
		return true
	case !isValidMessage(m):
		c.log("dropped a message from the server that is not JSON-RPC")
		return false
	case m.IsRequest() && len(m.ID) > mcphttp.MaxRequestID:
		c.log("dropped a request from the server whose id is longer than %d bytes", mcphttp.MaxRequestID)
		return false
	case m.IsRequest():
		m = c.addQuestion(s, m)
	case m.Method == "notifications/cancelled":
		m = c.cancelQuestion(s, m)
	}
	if r != nil && r.receive != nil {
		return r.receive(m)
	}
	return c.sendToProgram(m)
}

// answerTo returns the answer to a request. A valid response of the server is passed on byte for byte. If the server's response is invalid,
// answerTo builds a valid response from the result or error that it contains. If the response contains neither a result nor an error,
// answerTo returns an error of the proxy.
func (p *Proxy) answerTo(r mcphttp.Message, o mcphttp.Outcome) mcphttp.Message {
	a := o.Answer
	switch {
	case a.Raw == nil:
		err := o.Err
		if err == nil {
			err = errors.New("the server did not answer")
		}
		return mcphttp.NewError(r.ID, codeProxy, httpx.Text(err.Error(), 1000))
	case isValidMessage(a) && string(a.ID) == string(r.ID):
		return a
	case a.Result != nil && a.Error == nil:
		return mcphttp.NewResult(r.ID, a.Result)
	case a.Result == nil && isValidError(a.Error):
		raw := append(append(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":`, r.ID), a.Error...), '}')
		return mcphttp.Message{Raw: raw, ID: r.ID, Error: a.Error}
	}
	return mcphttp.NewError(r.ID, codeProxy, "the server's answer is not a JSON-RPC response")
}

// isValidMessage reports whether a message is valid JSON-RPC 2.0. The member jsonrpc must be "2.0", no member may occur twice, and the id
// must have a permitted type. The message must be a request, a notification, or a response with either a result or an error. A member such
// as ID is invalid too, because some programs ignore the case of names (encoding/json does) and would read ID as a second id.
func isValidMessage(m mcphttp.Message) bool {
	seen := map[string]bool{}
	version := false
	for name, value := range jsonscan.Members(m.Raw) {
		for _, known := range []string{"jsonrpc", "id", "method", "params", "result", "error"} {
			if !strings.EqualFold(name, known) {
				continue
			}
			if name != known || seen[name] {
				return false
			}
			seen[name] = true
		}
		version = version || name == "jsonrpc" && jsonscan.Unquote(value) == "2.0"
	}
	idType := jsonscan.Type(m.ID)
	switch {
	case !version, !slices.Contains([]string{"", "string", "integer", "number"}, idType):
		return false
	case seen["method"]:
		return m.Method != "" && !seen["result"] && !seen["error"] && seen["id"] == (m.ID != nil)
	}
	return seen["result"] != seen["error"] && (seen["result"] || isValidError(m.Error))
}

// isValidError reports whether an error object has a code and a message (JSON-RPC 2.0 §5.1).
func isValidError(e json.RawMessage) bool {
	return jsonscan.Type(jsonscan.Member(e, "code")) == "integer" && jsonscan.Type(jsonscan.Member(e, "message")) == "string"
}

package mcphttp

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// Kind classifies outcomes by whether the request was carried out.
type Kind int

const (
	Answered Kind = iota // the server answered; the request may have been carried out
	Refused              // the response proves that the request was not carried out, or the request was not sent
	Lost                 // no answer; it is unknown whether the request was carried out
)

// Reason is why a Refused request was not carried out.
type Reason int

const (
	NoReason           Reason = iota
	NotSent                   // the request did not leave this machine
	Unauthorized              // 401 or 403, or Auth returned an error
	HeaderMismatch            // 2026-07-28, Streamable HTTP, Server Validation
	UnsupportedVersion        // 2026-07-28, Versioning; 2025-11-25, Protocol Version Header
	UnknownSession            // 2025-11-25, Streamable HTTP, Session Management
)

// Outcome is the result of one exchange.
type Outcome struct {
	Kind   Kind
	Reason Reason
	Status int         // status of the HTTP response; 0 if there was none
	Header http.Header // header of the HTTP response
	Answer Message     // the JSON-RPC response as the server sent it; zero if there is none
	Err    error       // why there is no JSON-RPC response; nil if there is a response, or if the message needs none

	guess  Reason // the reason that the words of the response suggest; NoReason if Reason is set
	byText bool   // only the server's text proves Reason

	// unclear is true if a response may contain the answer of a tool that has run, in a form other than one JSON-RPC error, or if the answer is an
	// error without an id in an event stream. Such a response proves nothing.
	unclear bool
}

// Codes of JSON-RPC errors that this package evaluates.
const (
	codeInvalidRequest     = -32600
	CodeMethodNotFound     = -32601
	codeInvalidParams      = -32602
	CodeHeaderMismatch     = -32020 // 2026-07-28, Streamable HTTP, Server Validation
	codeMissingCapability  = -32021
	CodeUnsupportedVersion = -32022 // 2026-07-28, Versioning
	CodeURLElicitation     = -32042 // 2025-11-25, Elicitation, URL mode
)

// classify sets Kind and Reason of an outcome with an HTTP response. code and text are the server's error code and error text.
func (o *Outcome) classify(code, text string, s *Session) {
	r := refusal{status: o.Status, answer: o.Answer, unclear: o.unclear, code: code, text: text, inSession: s.stateful(), hasSessionID: s.ID != ""}
	o.Reason, o.byText = r.proof()
	switch {
	case o.Reason != NoReason:
		o.Kind = Refused
		return
	case o.Answer.Raw == nil && (o.Status >= 500 || o.Status == http.StatusRequestTimeout):
		o.Kind = Lost
	default:
		o.Kind = Answered
	}
	o.guess = r.guess()
}

// LikelyReason returns Reason or, if nothing proves that the request was not carried out, the reason that the words of the response suggest.
// If the result is UnknownSession, the caller opens another session for the next request.
func (o Outcome) LikelyReason() Reason { return cmp.Or(o.Reason, o.guess) }

// Step is the caller's next action after an outcome.
type Step int

const (
	Deliver Step = iota // return the outcome
	Again               // send the request again
	Reopen              // send the request again in a new session
	Refetch             // fetch the tool's definition and send the call again with the new headers
	Switch              // send the request again in a revision that the server supports
)

// Tried counts the steps taken so far for one request.
type Tried struct {
	Again, Reopen, Refetch, Switch int
}

// RetryAfter returns the pause that the Retry-After header requests, or 0.
func (o Outcome) RetryAfter() time.Duration {
	return httpx.RetryAfter(o.Header.Get("Retry-After"), time.Now())
}

// Next returns what the caller does after an outcome. If the outcome proves that the request was not carried out, the request can be sent
// again. If only the server's text is the proof, the request is sent again only if it was sent once so far. An idempotent request is also sent
// again after a Lost outcome, after status 429, and if the words of the response suggest a reason. Before the caller sends a request again,
// the caller waits as long as RetryAfter says. Exchange has already handled 401 and 403. A result is never asked for again.
func (o Outcome) Next(tried Tried, idempotent bool) Step {
	reason := o.Reason
	if idempotent {
		reason = o.LikelyReason()
	}
	switch {
	case o.Answer.Result != nil:
		return Deliver
	case (o.Kind == Lost || o.Status == http.StatusTooManyRequests) && idempotent && tried.Again < 2:
		return Again
	case o.byText && !idempotent && tried != Tried{}:
		return Deliver
	case reason == UnknownSession && tried.Reopen == 0:
		return Reopen
	case reason == HeaderMismatch && tried.Refetch == 0:
		return Refetch
	case reason == UnsupportedVersion && tried.Switch < 2: // twice, because the server may have changed since its revision was cached
		return Switch
	}
	return Deliver
}

// Evidence says which revisions of MCP a server supports, judged by a single response.
type Evidence int

const (
	NoEvidence Evidence = iota
	IsModern            // the response has a member or an error code that only 2026-07-28 defines
	IsLegacy            // a server of MCP 2026-07-28 would not send this response (Versioning, Compatibility Matrix)
	Supports            // the server refused 2026-07-28 but lists it as supported; seen with servers that had just started
)

// Evidence returns the evidence in the answer to a request of MCP 2026-07-28.
func (o Outcome) Evidence() Evidence {
	code := o.Answer.Code()
	switch {
	case code == CodeUnsupportedVersion:
		supported := supportedVersions(o.Answer)
		switch {
		case strings.Contains(supported, Modern):
			return Supports
		case slices.ContainsFunc(Legacy, func(v string) bool { return strings.Contains(supported, v) }):
			return IsLegacy
		}
		return IsModern
	case o.Reason == UnsupportedVersion:
		return IsLegacy
	case code == CodeHeaderMismatch, code == codeMissingCapability,
		code == CodeMethodNotFound && o.Status == http.StatusNotFound,
		jsonscan.Member(o.Answer.Result, "resultType") != nil, jsonscan.Member(o.Answer.Result, "ttlMs") != nil:
		return IsModern
	case o.Kind == Lost && o.Status != http.StatusInternalServerError && o.Status != http.StatusNotImplemented:
		return NoEvidence
	case o.Answer.Raw != nil:
		return IsLegacy
	}
	if o.Status == http.StatusInternalServerError || o.Status >= 400 && !isTemporary(o.Status) {
		return IsLegacy
	}
	return NoEvidence
}

// Odd reports whether the response is one that a server of MCP 2026-07-28 should not send. The response may come from a gateway, so the
// caller sends a probe before it treats the server as a legacy server.
func (o Outcome) Odd() bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}, o.Status) &&
		o.Evidence() == IsLegacy && o.Answer.Result == nil &&
		slices.Contains([]int64{0, -32000, -32001, codeInvalidRequest}, o.Answer.Code())
}

// OldTransport reports whether the server may support only HTTP+SSE, because it refused initialize (2025-11-25, Backwards Compatibility).
// The specification names three status codes. OldTransport accepts more, because some servers send others.
func (o Outcome) OldTransport() bool {
	return o.Answer.Raw == nil && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented}, o.Status)
}

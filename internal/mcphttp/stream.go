package mcphttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/sse"
)

const (
	maxResumption = 5                      // maximum number of consecutive attempts to resume a stream without a new event
	minRetry      = 100 * time.Millisecond // minimum pause before a stream is reopened
	listenRetry   = time.Second            // pause before a stream is reopened, unless the server sends a retry time
	maxListenGap  = time.Minute            // longest pause before a stream is reopened
	maxPollGap    = 5 * time.Second        // the same for a server that polls
	errorGrace    = time.Second            // how long a stream is read on after an error without an id
	steadyTime    = 10 * time.Second       // a stream that was open for this time does not count as a failure
)

// streamEnd describes how an event stream ended.
type streamEnd struct {
	answer      Message       // the response to the request, zero if there was none
	unclear     bool          // see Outcome.unclear
	messages    int           // number of messages of use that the stream contained
	polling     bool          // the stream had an event id and a retry time: the server ends it and expects the client to come back
	lastEventID string        // id of the last event that had an id; empty: no event had an id
	pause       time.Duration // pause before the stream is reopened
	err         error
}

// readEvents reads a stream until the answer to the request arrives or the stream ends. Events that are not JSON-RPC messages are ignored,
// because some servers send them to keep the connection open. An error without an id is the answer only if the stream ends, or stays open for
// errorGrace, without a response with the id of the request. Such an error does not prove that the request was not carried out.
func (l *Link) readEvents(r Request, body io.ReadCloser) streamEnd {
	e := streamEnd{pause: listenRetry}
	var withoutID Message
	grace := time.AfterFunc(errorGrace, func() { body.Close() })
	grace.Stop() // until there is an error without an id
	defer grace.Stop()
	reader := sse.NewReader(body, r.bodyLimit(l.messageLimit()))
	for {
		ev, err := reader.Next()
		if err != nil {
			body.Close()
			e.answer, e.unclear, e.err = withoutID, true, err
			return e
		}
		if ev.ID != "" {
			e.lastEventID = ev.ID
		}
		if ev.Retry != "" {
			e.pause = retryGap(ev.Retry)
		}
		e.polling = e.polling || e.lastEventID != "" && ev.Retry != ""
		if len(ev.Data) == 0 || ev.Name != "" && ev.Name != "message" {
			reader.Ignored()
			continue
		}
		before := e.messages
		for m := range parseMessages(ev.Data) {
			switch {
			case e.answer.Raw == nil && r.isAnsweredBy(m):
				e.answer, e.unclear = m, !isOwnError(m, ev.Data)
			case withoutID.Raw == nil && r.IsRequest() && m.isErrorWithoutID():
				withoutID = m
				grace.Reset(errorGrace)
			case r.Receive != nil && r.Receive(m):
				e.messages++
			}
		}
		if e.answer.Raw != nil {
			drainInBackground(body)
			return e
		}
		if e.messages == before {
			reader.Ignored()
		}
	}
}

// readStream reads the event stream that answers a request. If a stream of an earlier revision ends without the answer, and its events have
// ids, readStream resumes the stream (2025-11-25, Streamable HTTP, Resumability and Redelivery). Revision 2026-07-28 has no resumption.
func (l *Link) readStream(ctx context.Context, s *Session, r Request, res *http.Response, o *Outcome) {
	resumable := r.IsRequest() && r.Version() == ""
	last, failures := "", 0
	for {
		e := l.readEvents(r, res.Body)
		if e.answer.Raw != nil {
			o.Answer, o.unclear = e.answer, e.unclear
			o.classify("", "", s)
			return
		}
		if failures++; e.lastEventID != "" && e.lastEventID != last {
			last, failures = e.lastEventID, 0
		}
		switch {
		case errors.Is(e.err, sse.ErrTooLarge):
			l.setReadError(o, res, e.err)
			return
		case !r.IsRequest():
			return
		case !resumable || last == "" || failures > maxResumption:
			o.Kind, o.Err = Lost, l.networkError(res.Request, streamError(e.err))
			return
		}
		if err := l.Wait(ctx, e.pause); err != nil {
			o.Kind, o.Err = Lost, l.networkError(res.Request, err)
			return
		}
		next, err := l.openStream(ctx, s, last, r.Quiet)
		if err != nil {
			o.Kind, o.Err = Lost, err
			return
		}
		res = next
	}
}

// streamError returns the error for a stream that ended without an answer.
func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the event stream ended without a result: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// openStream opens the event stream of a session by GET. If lastEventID is not empty, the stream resumes after the event with this id.
func (l *Link) openStream(ctx context.Context, s *Session, lastEventID string, quiet bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	s.addSessionHeaders(req.Header)
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	res, _, err := l.sendAuthorized(req, nil, quiet)
	a, refused := errors.AsType[*authorizationError](err)
	switch {
	case refused:
		return nil, a.err
	case err != nil:
		return nil, l.networkError(req, err)
	case res.StatusCode >= 300 || mediaType(res) != "text/event-stream":
		text, _ := readText(res, httpx.MaxBody)
		return nil, l.newStatusError(res, text, "")
	}
	return res, nil
}

// Listen opens the stream on which a server of an earlier revision sends messages outside of responses (2025-11-25, Streamable HTTP,
// Listening for Messages from the Server). Listen reopens the stream each time the stream ends, until ctx ends or the server refuses the
// stream permanently. The pauses grow until a stream delivers a message of use or stays open for steadyTime, unless the stream ends because the
// server sent too much. An event ID alone does not count, because a server that sends a new ID on each stream would otherwise keep the client
// busy; if the server polls (SEP-1699), the pauses grow to maxPollGap only. If opened is not nil, Listen calls opened each time the stream has
// been opened. After 401 or 403, Listen waits and tries again without a login, because the stream is optional. The outcome is Refused with
// UnknownSession if the stream was open before and the server no longer knows the session.
func (l *Link) Listen(ctx context.Context, s *Session, receive Receive, opened func()) Outcome {
	if err := l.prepare(); err != nil {
		return notSentOutcome(err)
	}
	was, last := false, ""
	for failures := 0; ; {
		began, gap, longest := time.Now(), listenRetry, maxListenGap
		res, err := l.openStream(ctx, s, last, true)
		refused, ok := errors.AsType[*StatusError](err)
		switch {
		case err == nil:
			was = true
			if opened != nil {
				opened()
			}
			e := l.readEvents(Request{Receive: receive}, res.Body)
			if gap = e.pause; e.lastEventID != "" {
				last = e.lastEventID
			}
			tooMuch := errors.Is(e.err, sse.ErrTooLarge)
			if !tooMuch && (e.messages > 0 || time.Since(began) > steadyTime) {
				failures = -1
			}
			if e.polling && !tooMuch {
				longest = maxPollGap
			}
		case ok:
			o := Outcome{Status: refused.StatusCode, Err: err}
			o.classify(refused.Code, refused.Text, s)
			if o.LikelyReason() == UnknownSession && was {
				o.Kind, o.Reason = Refused, UnknownSession
				return o
			}
			if !isTemporary(refused.StatusCode) {
				return Outcome{Kind: Answered, Status: refused.StatusCode, Err: err}
			}
		}
		if failures++; failures > 0 {
			gap = max(gap, min(Backoff(failures-1), longest))
		}
		if err := l.Wait(ctx, gap); err != nil {
			return Outcome{Kind: Lost, Err: err}
		}
	}
}

// isTemporary reports whether a request that got this status may succeed later.
func isTemporary(status int) bool {
	return slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests}, status) ||
		status >= 500 && status != http.StatusNotImplemented
}

// Backoff returns the pause after n earlier failures: one second, doubled with each failure, and at most one minute.
func Backoff(n int) time.Duration {
	return min(listenRetry<<min(n, 10), maxListenGap)
}

// retryGap converts the retry field of an event, which is in milliseconds. If the value is invalid or more than a minute, retryGap returns
// listenRetry. If the value is less than minRetry, retryGap returns minRetry, because a server that ends each stream at once would otherwise
// keep the client busy.
func retryGap(retry string) time.Duration {
	if ms, err := strconv.Atoi(retry); err == nil && ms >= 0 && ms <= int(maxListenGap/time.Millisecond) {
		return max(time.Duration(ms)*time.Millisecond, minRetry)
	}
	return listenRetry
}

// This file listens for what a legacy server says outside of any request (2025-11-25, Streamable HTTP, Listening for Messages from the
// Server). A question should come on the stream of the call that needs the answer; servers on the TypeScript SDK that do not say which call
// they mean put it here, and drop it where nobody listens. The SDK's own listener takes a session for broken when this stream ends
// too often, and its call does not wait until the stream is open; so it is given one that lasts as long as the session.

package mcpclient

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	openTimeout  = 2 * time.Second // how long a call waits for the stream to open: some servers send its header with the first event only
	listenRetry  = time.Second     // pause before the stream is opened again, where the server names none
	maxListenGap = time.Minute
)

// standalone answers the SDK's GET with a stream that hear fills.
func (w *wire) standalone(req *http.Request) *http.Response {
	in, out := io.Pipe()
	context.AfterFunc(req.Context(), func() { out.CloseWithError(context.Canceled) })
	go w.hear(req, out)
	res := stub(req, nil, nil)
	res.Header.Set("Content-Type", "text/event-stream")
	res.Body, res.ContentLength = in, -1
	return res
}

// hear copies the server's stream, and opens it again where it ends, until the session does. A server that offers none answers 405.
func (w *wire) hear(req *http.Request, out io.Writer) {
	opened := sync.OnceFunc(func() { close(w.listening) })
	defer opened()
	select {
	case <-w.ready:
	case <-req.Context().Done():
		return
	}
	for last := ""; ; {
		r := req.Clone(req.Context())
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		res, err := w.send(r, nil, true)
		if err != nil {
			return
		}
		if res.StatusCode >= 300 || mediaType(res) != "text/event-stream" {
			discard(res)
			return
		}
		opened()
		s := &stream{w: w, res: res, body: res.Body, events: newEvents(res.Body, w.max())}
		_, err = io.Copy(out, s)
		s.Close()
		gap := s.gap()
		if s.last == "" {
			gap = max(gap, listenRetry) // a server that ends it at once, and wants no pause, would be asked without one
		} else {
			last = s.last
		}
		if err != nil || w.c.wait(req.Context(), gap) != nil {
			return
		}
	}
}

// gap is how long the server wants to be left alone before the stream is opened again.
func (s *stream) gap() time.Duration {
	return retryGap(s.retry)
}

// retryGap reads the milliseconds of a retry field.
func retryGap(retry string) time.Duration {
	if ms, err := strconv.Atoi(retry); err == nil && ms >= 0 && ms <= int(maxListenGap/time.Millisecond) {
		return time.Duration(ms) * time.Millisecond
	}
	return listenRetry
}

// awaitListening holds a call back until the server can ask about it.
func (w *wire) awaitListening(ctx context.Context, method string) {
	if w.listening == nil || method != "tools/call" {
		return
	}
	t := time.NewTimer(openTimeout)
	defer t.Stop()
	select {
	case <-w.listening:
	case <-t.C:
	case <-ctx.Done():
	}
}

// listensFor reports whether a GET of the SDK is for the stream of the session rather than for the rest of an answer.
func (w *wire) listensFor(req *http.Request) bool {
	return w.listening != nil && req.Method == http.MethodGet && exchangeOf(req.Context()).method == ""
}

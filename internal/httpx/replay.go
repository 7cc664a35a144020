package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// maxSends limits how often a request is sent whose server says that it did not process the request, and on how many new connections a
// request without a body is sent.
const maxSends = 5

// errRepeated is the error of a request without a body that net/http would send again without a limit.
var errRepeated = fmt.Errorf("the server reset the request on %d connections", maxSends)

// dialsKey is the key of a context under which sendOnce stores the number of connections that were opened for a request without a body.
type dialsKey struct{}

// sendOnce sends a request with a body so that the server processes it at most once. If an HTTP/2 server resets the stream with PROTOCOL_ERROR,
// net/http alone would send the request again and again, although the server may have run a tool or used up a refresh token. sendOnce sends the
// request again in two cases: an idle connection turned out to be closed before anything was written, or the server says that it did not
// process the request (RFC 9113 §8.7). net/http may repeat a request without a body, but opens at most maxSends connections for it, see dial.
func sendOnce(t *http.Transport, req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody == nil {
		return t.RoundTrip(req.WithContext(context.WithValue(req.Context(), dialsKey{}, new(atomic.Int64))))
	}
	for sends := 1; ; sends++ {
		var reused, written atomic.Bool
		once := req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			GotConn:      func(i httptrace.GotConnInfo) { reused.Store(i.Reused) },
			WroteHeaders: func() { written.Store(true) },
		}))
		once.GetBody = nil // then net/http does not send the body again
		res, err := t.RoundTrip(once)
		if err == nil {
			return res, nil
		}
		err = withoutAdvice(err)
		if sends == maxSends || !isUnprocessed(err) && (written.Load() || !reused.Load()) {
			return nil, err
		}
		if req, err = rewindBody(req); err != nil {
			return nil, err
		}
	}
}

// withoutAdvice returns the error that net/http wraps in advice to set GetBody.
func withoutAdvice(err error) error {
	if rest, ok := strings.CutPrefix(err.Error(), "http2: Transport: cannot retry err ["); ok {
		reason, _, _ := strings.Cut(rest, "]")
		return errors.New(reason)
	}
	return err
}

// isUnprocessed reports whether an HTTP/2 server said that it did not process a request. net/http does not export these errors.
func isUnprocessed(err error) bool {
	text := err.Error()
	return text == "http2: Transport received Server's graceful shutdown GOAWAY" || strings.HasPrefix(text, "stream error: ") && strings.Contains(text, "; REFUSED_STREAM; ")
}

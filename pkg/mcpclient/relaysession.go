// This file keeps the session of a legacy server: a lost one is opened again, and the stream on which the server speaks outside of
// answers (2025-11-25, Streamable HTTP, Listening for Messages from the Server) is kept open for as long as the program runs. That may be
// days: networks go away and come back, servers are started anew, tokens end.

package mcpclient

import (
	"context"
	"net/http"
	"time"
)

// steady is how long a stream stays open for its end to be no failure: idle connections are cut by many a machine in between.
const steady = 10 * time.Second

// listen opens the stream, in place of the one there is. losses is how often in a row the session was found lost by the stream alone.
func (r *relay) listen(losses int) {
	ctx, cancel := context.WithCancel(r.base)
	r.mu.Lock()
	if r.listening != nil {
		r.listening()
	}
	r.listening = cancel
	legacy := r.version != ""
	r.mu.Unlock()
	if !legacy {
		cancel()
		return
	}
	go func() {
		defer cancel()
		r.hear(ctx, losses)
	}()
}

// hear passes on what the stream holds, and opens it again when it ends. A server that offers none says so with 405 or another refusal,
// and is not asked again. What may pass is waited out, a token that is refused too: a stream alone is no reason to log in.
func (r *relay) hear(ctx context.Context, losses int) {
	opened, last := false, ""
	for failures := 0; ; {
		began, gap := r.c.clock(), listenRetry
		session, res, err := r.openStream(ctx, last)
		switch {
		case err == nil && res.StatusCode < 300 && mediaType(res) == "text/event-stream":
			opened = true
			var seen string
			_, seen, gap, _ = r.events(message{}, res)
			if seen != "" {
				last = seen
			}
			if seen != "" || r.c.clock().Sub(began) > steady {
				failures = -1
			}
		case err != nil || passing(res.StatusCode):
			finish(res)
		case opened && session != "" && res.StatusCode == http.StatusNotFound:
			finish(res)
			if r.c.wait(ctx, backOff(losses)) != nil || r.renew(r.base, session, losses+1) == nil {
				return // renew listens anew
			}
		default:
			finish(res)
			return
		}
		if failures++; failures > 0 {
			gap = max(gap, backOff(failures-1))
		}
		if r.c.wait(ctx, gap) != nil {
			return
		}
	}
}

// openStream asks for the stream, and returns the session that it asked for.
func (r *relay) openStream(ctx context.Context, last string) (string, *http.Response, error) {
	req, err := r.newRequest(ctx, http.MethodGet, message{})
	if err != nil {
		return "", nil, err
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := r.w.send(req, nil, true)
	return req.Header.Get("Mcp-Session-Id"), res, err
}

// passing reports whether the same request may well succeed later.
func passing(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= 500 && status != http.StatusNotImplemented
}

// finish ends an answer that nobody reads; nil is none.
func finish(res *http.Response) {
	if res != nil {
		discard(res)
	}
}

// backOff is how long to wait after n failures before: a second, twice as long each time, a minute at most.
func backOff(n int) time.Duration {
	return min(listenRetry<<min(n, 10), maxListenGap)
}

// renew opens a session in place of one that the server has lost, with the program's own words: it does not notice. What was under way
// in the old one is lost with it. losses: see listen.
func (r *relay) renew(ctx context.Context, old string, losses int) error {
	r.renewing.Lock()
	defer r.renewing.Unlock()
	r.mu.Lock()
	current, opened, initialized := r.session, r.opened, r.initialized
	r.mu.Unlock()
	if current != old {
		return nil // another message was faster
	}
	m, _ := parseMessage(opened)
	req, err := r.newRequest(ctx, http.MethodPost, m)
	if err != nil {
		return err
	}
	res, err := r.w.send(req, opened, false)
	if err != nil {
		return r.w.networkError(req, err)
	}
	result, err := r.firstAnswer(req, res, m)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.session, r.version = res.Header.Get("Mcp-Session-Id"), unquote(member(result, "protocolVersion"))
	r.mu.Unlock()
	if initialized == nil {
		return nil
	}
	if req, err = r.newRequest(ctx, http.MethodPost, message{}); err != nil {
		return err
	}
	if res, err = r.w.send(req, initialized, false); err != nil {
		return r.w.networkError(req, err)
	}
	discard(res)
	r.listen(losses)
	return nil
}

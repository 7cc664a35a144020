package mcpclient

import (
	"context"
	"net/http"
	"time"

	"mcpauth/internal/mcphttp"
)

// want describes a request independently of the session and the protocol revision in which it is sent.
type want struct {
	method string
	own    []byte      // members of params, without _meta
	call   bool        // request progress and log messages, and wait until the stream of the session is open
	safe   bool        // the request may be carried out twice without harm
	header http.Header // Mcp-Param headers
}

// request sends a request, repeats it as far as Outcome.Next allows, and returns the last outcome.
func (c *Client) request(ctx context.Context, w want) (mcphttp.Outcome, error) {
	var tried mcphttp.Tried
	for {
		if c.known() == eraUnknown && !w.safe {
			if err := c.discover(ctx); err != nil {
				return mcphttp.Outcome{}, err
			}
		}
		s, err := c.connect(ctx)
		if err != nil {
			return mcphttp.Outcome{}, err
		}
		o, m := c.send(ctx, s, w)
		if o.Answer.Raw == nil && ctx.Err() != nil && o.Reason != mcphttp.Unauthorized {
			c.gaveUp.Store(true)
			if o.Kind == mcphttp.Lost {
				c.link.Cancel(s.Session, m)
			}
			return o, interrupted(ctx, c.place())
		}
		step, err := c.next(ctx, s, o, tried, w.safe)
		if err != nil {
			return o, err
		}
		switch step {
		case mcphttp.Again:
			pause := max(pauseBefore(tried.Again), o.RetryAfter())
			if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
				return o, c.link.Failure(o) // the server's error helps more than a timeout error
			}
			if err := c.link.Wait(ctx, pause); err != nil {
				return o, err
			}
			tried.Again++
		case mcphttp.Reopen:
			tried.Reopen++
			c.drop(s)
		case mcphttp.Switch:
			tried.Switch++
		default:
			return o, c.link.Failure(o)
		}
	}
}

// send sends the request once.
func (c *Client) send(ctx context.Context, s *session, w want) (mcphttp.Outcome, mcphttp.Message) {
	id, token := c.nextID(), ""
	if w.call {
		s.awaitListening(ctx)
		if c.Progress != nil {
			token = id
		}
	}
	m := mcphttp.NewRequest([]byte(id), w.method, c.params(s, w.own, token, w.call && c.Log != nil))
	return c.exchange(ctx, s, mcphttp.Request{Message: m, Header: w.header, Quiet: c.quiet.Load()}, token), m
}

// pauseBefore returns the pause before retry n, counted from 0: 250 ms, and four times as long with each retry.
func pauseBefore(n int) time.Duration {
	return 250 * time.Millisecond << (2 * n)
}

package mcpclient

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mcpauth/internal/mcphttp"
)

// want is a request to be sent in any session and revision.
type want struct {
	method string
	own    []byte      // members of params, without _meta
	call   bool        // it does something: asks for progress and logs, and waits until the server can ask about it
	safe   bool        // carrying it out twice does no harm
	header http.Header // Mcp-Param headers
}

// request sends a request until an outcome is final, and returns its result. Outcome.Next decides what may be sent again.
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
				return o, c.link.Failure(o) // the server's words are more help than the end of the time limit
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

// next decides what follows an outcome, and learns from it what the server is. A server that was proved to be modern is taken for a legacy
// one only after it has refused the version, or a probe: one odd answer may be a gateway's. The error, if any, is final.
func (c *Client) next(ctx context.Context, s *session, o mcphttp.Outcome, tried mcphttp.Tried, safe bool) (mcphttp.Step, error) {
	step := o.Next(tried, safe)
	if s.era != eraModern {
		if step == mcphttp.Switch {
			c.drop(s)
			c.learn(eraUnknown, "")
		}
		return step, nil
	}
	proved := c.known() == eraModern
	switch evidence := o.Evidence(); {
	case evidence == mcphttp.IsModern, evidence == mcphttp.Supports:
		c.learn(eraModern, mcphttp.Modern)
		if evidence == mcphttp.IsModern && step == mcphttp.Switch {
			return mcphttp.Deliver, nil // it supports later revisions only
		}
		return step, nil
	case evidence != mcphttp.IsLegacy, tried.Switch > 1, proved && step != mcphttp.Switch && !(o.Odd() && c.probe(ctx)):
		return step, nil
	}
	if err := c.fallBack(ctx); err != nil {
		return mcphttp.Deliver, c.notLegacy(o, err)
	}
	if safe || step == mcphttp.Switch {
		return mcphttp.Switch, nil
	}
	return mcphttp.Deliver, nil // the answer does not prove that the call was not carried out
}

// discover determines the era of a server with a harmless request, so that no call is sent in the wrong one.
func (c *Client) discover(ctx context.Context) error {
	o, _ := c.send(ctx, modernSession, want{method: "server/discover"})
	switch o.Evidence() {
	case mcphttp.IsModern, mcphttp.Supports:
		c.learn(eraModern, mcphttp.Modern)
		return nil
	case mcphttp.IsLegacy:
		if err := c.fallBack(ctx); err != nil {
			return c.notLegacy(o, err)
		}
		return nil
	}
	if err := interrupted(ctx, c.place()); err != nil && o.Reason != mcphttp.Unauthorized {
		return err
	}
	return c.link.Failure(o)
}

// probe asks a server that was proved to be modern whether it still is. It asks at most once.
func (c *Client) probe(ctx context.Context) (legacy bool) {
	if !c.probed.CompareAndSwap(false, true) {
		return false
	}
	o, _ := c.send(ctx, modernSession, want{method: "server/discover"})
	return o.Evidence() == mcphttp.IsLegacy
}

// notLegacy decides what to report of a server whose answer to a modern request was a legacy one's, and that refuses a session all the
// same. A result was an answer although it lacks the marks of a modern one. A modern server's answer to initialize is not reported, because
// it does not help.
func (c *Client) notLegacy(o mcphttp.Outcome, legacy error) error {
	var status *StatusError
	refused := errors.As(legacy, &status)
	switch {
	case isRPC(legacy) == nil && !refused: // the network, or the authorization
		return legacy
	case o.Answer.Result != nil:
		c.learn(eraModern, mcphttp.Modern)
		return nil
	case o.Answer.Error != nil, !refused, status.StatusCode == http.StatusNotFound, status.StatusCode == http.StatusMethodNotAllowed:
		return c.link.Failure(o)
	}
	return legacy
}

// pauseBefore returns the wait before an attempt after n failed ones.
func pauseBefore(n int) time.Duration {
	return 250 * time.Millisecond << (2 * n)
}

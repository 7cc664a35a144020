package mcpclient

import (
	"context"
	"errors"
	"net/http"

	"mcpauth/internal/mcphttp"
)

// next returns what to do after an outcome, and updates the cached era of the server. A modern server is treated as a legacy server only if
// it refuses the version or if a probe confirms the change, because a single odd response may come from a gateway. If next returns an
// error, the caller must return that error.
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
			return mcphttp.Deliver, nil // the server supports only later revisions
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
	return mcphttp.Deliver, nil // the server may have carried out the call despite this answer
}

// discover determines the era of a server with server/discover, a request without side effects.
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

// probe asks a server known to be modern whether it has become a legacy server. probe sends at most one request per client.
func (c *Client) probe(ctx context.Context) (legacy bool) {
	if !c.probed.CompareAndSwap(false, true) {
		return false
	}
	o, _ := c.send(ctx, modernSession, want{method: "server/discover"})
	return o.Evidence() == mcphttp.IsLegacy
}

// notLegacy is called if the response to a modern request looked like the response of a legacy server, but the server then refused
// initialize. o is the outcome of the modern request, and legacy is the error of initialize. notLegacy returns the error to report. If o
// contains a result, the server is modern and merely omits the members by which a modern server is recognized, so notLegacy returns nil. If
// a modern server refuses initialize, that refusal is not reported, because it does not help the user.
func (c *Client) notLegacy(o mcphttp.Outcome, legacy error) error {
	status, refused := errors.AsType[*StatusError](legacy)
	switch {
	case isRPC(legacy) == nil && !refused: // a network or authorization error
		return legacy
	case o.Answer.Result != nil:
		c.learn(eraModern, mcphttp.Modern)
		return nil
	case o.Answer.Error != nil, !refused, status.StatusCode == http.StatusNotFound, status.StatusCode == http.StatusMethodNotAllowed:
		return c.link.Failure(o)
	}
	return legacy
}

// fallBack opens a session with a legacy server.
func (c *Client) fallBack(ctx context.Context) error {
	if err := c.connecting.enter(ctx); err != nil {
		return err
	}
	defer c.connecting.leave()
	c.mu.Lock()
	other := c.session
	c.mu.Unlock()
	if other != nil && other.era != eraModern {
		return nil // another call was faster
	}
	s, err := c.openLegacy(ctx)
	if err != nil {
		return err
	}
	c.use(s)
	return nil
}

package mcpclient

import (
	"context"
	"errors"
	"net/http"

	"mcpauth/internal/mcphttp"
)

// nextStep returns what to do after an outcome, and updates the cached era of the server. A single unexpected response may come from a
// gateway. Therefore, nextStep treats a modern server as a legacy server only if the server refuses the version or probeLegacy confirms the
// change. If nextStep returns an error, the caller must return that error.
func (c *Client) nextStep(ctx context.Context, s *clientSession, o mcphttp.Outcome, tried mcphttp.Tried, idempotent bool) (mcphttp.Step, error) {
	step := o.Next(tried, idempotent)
	if s.era != eraModern {
		c.leaveLostSession(s, o.LikelyReason())
		return step, nil
	}
	proved := c.serverEra() == eraModern
	switch evidence := o.Evidence(); {
	case evidence == mcphttp.IsModern, evidence == mcphttp.Supports:
		c.setEra(eraModern, mcphttp.Modern)
		if evidence == mcphttp.IsModern && step == mcphttp.Switch {
			return mcphttp.Deliver, nil // the server supports only later revisions
		}
		return step, nil
	case evidence != mcphttp.IsLegacy, tried.Switch > 1, proved && step != mcphttp.Switch && !(o.Odd() && c.probeLegacy(ctx)):
		return step, nil
	}
	if err := c.fallBackToLegacy(ctx); err != nil {
		return mcphttp.Deliver, c.fallBackError(o, err)
	}
	if idempotent || step == mcphttp.Switch {
		return mcphttp.Switch, nil
	}
	return mcphttp.Deliver, nil // the server may have carried out the call despite this answer
}

// leaveLostSession forgets a session if the server has probably lost it, or has probably changed its era. The next request then opens another
// session, even if nothing proves that this request was not carried out.
func (c *Client) leaveLostSession(s *clientSession, likely mcphttp.Reason) {
	switch likely {
	case mcphttp.UnsupportedVersion:
		c.setEra(eraUnknown, "")
	case mcphttp.UnknownSession:
	default:
		return
	}
	c.dropSession(s)
}

// discoverEra determines the era of a server with server/discover, a request without side effects.
func (c *Client) discoverEra(ctx context.Context) error {
	o, _ := c.sendOnce(ctx, modernSession, requestSpec{method: "server/discover"})
	switch o.Evidence() {
	case mcphttp.IsModern, mcphttp.Supports:
		c.setEra(eraModern, mcphttp.Modern)
		return nil
	case mcphttp.IsLegacy:
		if err := c.fallBackToLegacy(ctx); err != nil {
			return c.fallBackError(o, err)
		}
		return nil
	}
	if err := contextError(ctx, c.plainURL()); err != nil && o.Reason != mcphttp.Unauthorized {
		return err
	}
	return c.link.Failure(o)
}

// probeLegacy asks a server known to be modern whether it has become a legacy server. probeLegacy sends at most one request per client.
func (c *Client) probeLegacy(ctx context.Context) (legacy bool) {
	if !c.probed.CompareAndSwap(false, true) {
		return false
	}
	o, _ := c.sendOnce(ctx, modernSession, requestSpec{method: "server/discover"})
	return o.Evidence() == mcphttp.IsLegacy
}

// fallBackError returns the error to report after the response to a modern request looked like that of a legacy server, but the server then
// refused initialize. o is the outcome of the modern request, and initializeErr is the error of initialize. If o contains a result,
// fallBackError returns nil, because the server is modern and only omits the members that identify a modern server. A modern server's
// refusal of initialize is not reported, because it does not help the user.
func (c *Client) fallBackError(o mcphttp.Outcome, initializeErr error) error {
	status, refused := errors.AsType[*StatusError](initializeErr)
	switch {
	case asRPCError(initializeErr) == nil && !refused: // a network or authorization error
		return initializeErr
	case o.Answer.Result != nil:
		c.setEra(eraModern, mcphttp.Modern)
		return nil
	case o.Answer.Error != nil, !refused, status.StatusCode == http.StatusNotFound, status.StatusCode == http.StatusMethodNotAllowed:
		return c.link.Failure(o)
	}
	return initializeErr
}

// fallBackToLegacy opens a session with a legacy server.
func (c *Client) fallBackToLegacy(ctx context.Context) error {
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
	c.setSession(s)
	return nil
}

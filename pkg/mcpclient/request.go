package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// requestSpec describes a request, without the data that depends on the session and the protocol revision.
type requestSpec struct {
	method     string
	members    []byte        // members of params, without _meta
	isCall     bool          // request progress and log messages, and wait until the stream of the session is open
	idempotent bool          // the request may be carried out twice without harm
	header     http.Header   // Mcp-Param headers
	tried      mcphttp.Tried // steps already taken for this request
}

// requestWithRetries sends a request, sends it again as often as Outcome.Next allows, and returns the last outcome.
func (c *Client) requestWithRetries(ctx context.Context, w requestSpec) (mcphttp.Outcome, error) {
	tried := w.tried
	for {
		if c.serverEra() == eraUnknown && !w.idempotent {
			if err := c.discoverEra(ctx); err != nil {
				return mcphttp.Outcome{}, err
			}
		}
		s, err := c.currentSession(ctx)
		if err != nil {
			return mcphttp.Outcome{}, err
		}
		o, m := c.sendOnce(ctx, s, w)
		if o.Answer.Raw == nil && ctx.Err() != nil && o.Reason != mcphttp.Unauthorized {
			c.gaveUp.Store(true)
			if o.Kind == mcphttp.Lost {
				c.link.Cancel(s.Session, m)
			}
			return o, contextError(ctx, c.plainURL())
		}
		step, err := c.nextStep(ctx, s, o, tried, w.idempotent)
		if err != nil {
			return o, err
		}
		switch step {
		case mcphttp.Again:
			pause := max(retryPause(tried.Again), o.RetryAfter())
			if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
				return o, c.link.Failure(o) // the server's error helps more than a timeout error
			}
			if err := c.link.Wait(ctx, pause); err != nil {
				return o, err
			}
			tried.Again++
		case mcphttp.Reopen:
			tried.Reopen++
		case mcphttp.Switch:
			tried.Switch++
		default:
			return o, c.link.Failure(o)
		}
	}
}

func (c *Client) sendOnce(ctx context.Context, s *clientSession, w requestSpec) (mcphttp.Outcome, mcphttp.Message) {
	id, token := c.nextID(), ""
	if w.isCall {
		s.awaitStream(ctx)
		if c.Progress != nil {
			token = id
		}
	}
	m := mcphttp.NewRequest([]byte(id), w.method, c.requestParams(s, w.members, token, w.isCall && c.Log != nil))
	return c.exchangeWithProgress(ctx, s, mcphttp.Request{Message: m, Header: w.header, Quiet: c.quiet.Load()}, token), m
}

// retryPause returns the pause before retry n, counted from 0: 250 ms, and four times as long with each retry.
func retryPause(n int) time.Duration {
	return 250 * time.Millisecond << (2 * n)
}

// requestParams returns the parameters of a request. members contains the parameters other than _meta, as JSON without the braces. If
// progressToken is not empty, the request asks for progress. If wantLog is true, the request asks for log messages.
func (c *Client) requestParams(s *clientSession, members []byte, progressToken string, wantLog bool) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	b.Write(members)
	var meta bytes.Buffer
	if s.era == eraModern {
		meta.Write(c.meta)
	} else {
		meta.WriteByte('{')
		c.Trace.writeMembers(&meta)
	}
	if progressToken != "" {
		addMember(&meta, "progressToken", jsonscan.Quote(progressToken))
	}
	if wantLog && s.era == eraModern {
		addMember(&meta, mcphttp.MetaLogLevel, []byte(`"info"`))
	}
	if meta.Len() > 1 {
		meta.WriteByte('}')
		addMember(&b, "_meta", meta.Bytes())
	}
	if b.Len() == 1 {
		return nil
	}
	b.WriteByte('}')
	return b.Bytes()
}

package discovery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"mcpauth/internal/httpx"
)

// requestChallenge sends a request without a token to get the server's challenge. The request is server/discover, because some servers
// accept initialize without a token and therefore send no challenge. A network error ends the discovery. A response with any status
// continues the discovery, because there may be metadata at the well-known URLs.
func (f *finder) requestChallenge(ctx context.Context) error {
	challenges := f.o.Challenges
	if challenges == nil {
		res, err := f.sendProbe(ctx)
		if err != nil {
			return err
		}
		f.r.Open, f.r.Endpoint = res.StatusCode < 300, f.endpoint.String()
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			challenges = ParseChallenges(res.Header)
		}
		if _, ok := Bearer(challenges); !ok && res.StatusCode == http.StatusUnauthorized {
			if err := f.recordDeviation(f.r.URL, Finding{stageServer, "no_challenge", "the answer 401 holds no Bearer challenge in WWW-Authenticate", "RFC 6750 §3"}, nil); err != nil {
				return err
			}
		}
	}
	if c, ok := Bearer(challenges); ok {
		f.r.Challenge = c
	}
	return f.checkScopes(stageServer, f.r.URL, "the scope of the challenge", f.r.Challenge.Params["scope"])
}

const probeVersion = "2026-07-28"

// maxProbes limits the number of requests to the server: the first one, the GET after it, and three redirects.
const maxProbes = 5

// sendProbe sends a POST. If the status is 404 or 405, it sends a GET, because the server may support only the old HTTP+SSE transport. It follows
// redirects with the status 307 or 308.
func (f *finder) sendProbe(ctx context.Context) (*httpx.Response, error) {
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": map[string]any{"_meta": map[string]any{
		"io.modelcontextprotocol/protocolVersion":    probeVersion,
		"io.modelcontextprotocol/clientInfo":         map[string]string{"name": "mcpauth", "version": "1"},
		"io.modelcontextprotocol/clientCapabilities": map[string]any{},
	}}})
	method := http.MethodPost
	for n := 1; ; n++ {
		res, err := f.sendProbeBy(ctx, method, body)
		switch {
		case err != nil || n == maxProbes:
			return res, err
		case res.StatusCode == http.StatusTemporaryRedirect || res.StatusCode == http.StatusPermanentRedirect:
			if err := f.followRedirect(res); err != nil {
				return nil, err
			}
		case method == http.MethodPost && (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed):
			method, body = http.MethodGet, nil
		default:
			return res, nil
		}
	}
}

// followRedirect follows a redirect of the server. The target must be at or below the server's URL, because later requests send a token to
// the target, and because the target can claim the resource. A redirect to another tenant of the origin could otherwise get a token for that
// tenant, and the caller would use the token at the server's URL.
func (f *finder) followRedirect(res *httpx.Response) error {
	fail := func(format string, args ...any) *Error {
		return &Error{Stage: stageServer, URL: f.endpoint.String(), Reason: fmt.Sprintf("answered %d ", res.StatusCode) + fmt.Sprintf(format, args...), Err: ErrMoved}
	}
	location := res.Header.Get("Location")
	target, err := f.endpoint.Parse(location)
	if err != nil || location == "" {
		return fail("without a Location (RFC 9110 §15.4)")
	}
	to, err := httpx.CheckServer(target.String())
	if err != nil {
		e := fail("with a Location that is refused: %v", err)
		e.Err = err
		return e
	}
	if !httpx.SameOrigin(to, f.server) {
		e := fail("with a redirect to %s, which is on another origin; mcpauth sends no token there", httpx.Quote(to.String(), 300))
		e.Location = to.String()
		return e
	}
	if !httpx.IsBelow(to, f.server) || to.RawQuery != f.server.RawQuery {
		e := fail("with a redirect to %s, which is not below the server's URL and may belong to another server", httpx.Quote(to.String(), 300))
		e.Err, e.Location = ErrSibling, to.String()
		return e
	}
	f.endpoint = to
	return nil
}

func (f *finder) sendProbeBy(ctx context.Context, method string, body []byte) (*httpx.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range f.o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Mcp-Protocol-Version", probeVersion)
		req.Header.Set("Mcp-Method", "server/discover")
	}
	var seen connectionRecorder
	res, err := httpx.DoHeader(httpx.NoRedirects(cmp.Or(f.o.OwnHTTP, f.o.HTTP)), req.WithContext(seen.traceConnection(ctx, req)))
	if f.r.Connection == nil { // a later request may reuse the connection and record less
		f.r.Connection = seen.connection()
	}
	a := Attempt{Stage: stageServer, Method: method, URL: f.endpoint.String()}
	if err != nil {
		err = httpx.Bare(err)
		a.Outcome = "no answer: " + innermostError(err)
		f.r.Attempts = append(f.r.Attempts, a)
		return nil, fmt.Errorf("server %s: %w", f.r.URL, err)
	}
	a.Status, a.OK, a.Outcome = res.StatusCode, true, httpx.ReadRefusal(res, time.Now()).Words()
	if location := res.Header.Get("Location"); res.StatusCode/100 == 3 && location != "" {
		a.Outcome += fmt.Sprintf(" to %s", httpx.Quote(location, 300))
	}
	f.r.Attempts = append(f.r.Attempts, a)
	return res, nil
}

// This file opens sessions in the three eras of MCP over HTTP (2026-07-28, Versioning, Backward Compatibility and Streamable HTTP,
// Backward Compatibility) and finds out which one a server is of, with as few requests as can be.

package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/httpx"
)

// era says how a server is spoken to.
type era string

const (
	eraUnknown era = ""
	eraModern  era = "modern" // 2026-07-28: every request for itself
	eraLegacy  era = "legacy" // 2025-03-26 to 2025-11-25: initialize, then a session
	eraSSE     era = "sse"    // 2024-11-05: HTTP+SSE
)

const modernVersion = "2026-07-28"

// legacyVersions are asked for in this order: some servers answer 400 to versions newer than theirs in place of naming theirs.
var legacyVersions = []string{"2025-11-25", "2025-06-18"}

// closeTimeout bounds what is sent when nobody waits for an answer any more.
const closeTimeout = 5 * time.Second

// session is one session of the SDK and the transport below it.
type session struct {
	w      *wire
	cs     *mcp.ClientSession
	era    era
	cancel context.CancelFunc
}

// connect returns the session of the client, opened where there is none.
func (c *Client) connect(ctx context.Context) (*session, error) {
	c.connecting.Lock() // one at a time: others wait and take its result
	defer c.connecting.Unlock()
	c.mu.Lock()
	s, known := c.session, c.server().era
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	var err error
	switch known {
	case eraLegacy:
		s, err = c.openLegacy(ctx)
	case eraSSE:
		s, err = c.open(ctx, eraSSE, legacyVersions[0])
	default:
		s, err = c.open(ctx, eraModern, modernVersion)
	}
	if err != nil && known != eraUnknown && known != eraModern && wrongEra(err) {
		c.learn(eraUnknown, "") // a server that was upgraded
		s, err = c.open(ctx, eraModern, modernVersion)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	return s, nil
}

// fallBack opens a legacy session with a server that turned out not to be a modern one.
func (c *Client) fallBack(ctx context.Context, modern *session) error {
	c.connecting.Lock()
	defer c.connecting.Unlock()
	c.mu.Lock()
	other := c.session != nil && c.session != modern
	c.mu.Unlock()
	if other {
		return nil // another call was faster
	}
	s, err := c.openLegacy(ctx)
	if err != nil {
		return err
	}
	modern.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	return nil
}

// openLegacy opens a session by initialize, and by HTTP+SSE where the server has nothing else.
func (c *Client) openLegacy(ctx context.Context) (*session, error) {
	versions := legacyVersions
	c.mu.Lock()
	if v := c.server().version; v != "" && v != modernVersion {
		versions = []string{v} // a server that does not speak it any more is asked from the beginning, see connect
	}
	c.mu.Unlock()
	var err error
	for _, v := range versions {
		var s *session
		if s, err = c.open(ctx, eraLegacy, v); err == nil {
			c.learn(eraLegacy, s.cs.InitializeResult().ProtocolVersion)
			return s, nil
		}
		if statusOf(err) != http.StatusBadRequest {
			break
		}
	}
	if !oldTransport(err) {
		return nil, err
	}
	s, sseErr := c.open(ctx, eraSSE, legacyVersions[0])
	if sseErr != nil {
		if statusOf(sseErr) == 0 {
			return nil, sseErr // the network, or the authorization
		}
		return nil, err
	}
	c.learn(eraSSE, s.cs.InitializeResult().ProtocolVersion)
	return s, nil
}

// open opens a session. In the modern era that sends nothing.
func (c *Client) open(ctx context.Context, e era, version string) (*session, error) {
	w, err := c.wire(e)
	if err != nil {
		return nil, err
	}
	if e != eraLegacy {
		close(w.ready)
	} else if c.Listen {
		w.listening = make(chan struct{})
	}
	// No redirect is followed: both the token and the arguments are meant for this address.
	below := &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var t mcp.Transport = &mcp.StreamableClientTransport{Endpoint: c.URL, HTTPClient: below, DisableStandaloneSSE: w.listening == nil, MaxEventSize: -1}
	if e == eraSSE {
		t = &mcp.SSEClientTransport{Endpoint: c.URL, HTTPClient: below, MaxEventSize: -1}
	}
	// The session outlives the call that opens it; until it is open, the call's end is its end.
	x := &exchange{}
	sessionCtx, cancel := context.WithCancel(x.with(context.WithoutCancel(ctx)))
	stop := context.AfterFunc(ctx, cancel)
	cs, err := c.sdk().Connect(sessionCtx, t, &mcp.ClientSessionOptions{ProtocolVersion: version})
	stop()
	if err == nil {
		return &session{w: w, cs: cs, era: e, cancel: cancel}, nil
	}
	cancel()
	return nil, c.openError(ctx, x.now(), err)
}

// wire returns a transport for one session.
func (c *Client) wire(e era) (*wire, error) {
	server, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	hc := c.HTTP
	if hc == nil {
		hc = httpx.Default()
	}
	w := &wire{c: c, base: hc.Transport, server: server, header: http.Header{}, era: e, overruled: &c.overruled, ready: make(chan struct{}),
		cancelled: make(chan struct{}, 1), pending: map[string]*exchange{}}
	for name, values := range c.Header {
		w.header[http.CanonicalHeaderKey(name)] = values
	}
	if w.base == nil {
		w.base = http.DefaultTransport
	}
	return w, nil
}

// openError says why a session could not be opened; err is what the SDK says.
func (c *Client) openError(ctx context.Context, a answer, err error) error {
	var refused *authorizationError
	var network *url.Error
	switch {
	case errors.As(err, &refused):
		return refused.err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: connecting: %w", c.place(), context.Cause(ctx))
	case a.failure() != nil:
		return a.failure()
	case errors.As(err, &network):
		return network
	}
	return &StatusError{URL: c.place(), StatusCode: a.status, Reason: httpx.Text(err.Error(), 300)}
}

// sdk returns the SDK's client as this program wants it: it asks nobody for anything but answers to a server's questions.
func (c *Client) sdk() *mcp.Client {
	version := c.Version
	if version == "" {
		version = "dev"
	}
	return mcp.NewClient(&mcp.Implementation{Name: "mcpauth", Version: version}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: c.elicitLegacy,
		MultiRoundTrip:     &mcp.MultiRoundTripOptions{Disabled: true}, // see Call
	})
}

// close ends a session: DELETE in the legacy era.
func (s *session) close() error {
	done := make(chan error, 1)
	go func() {
		s.w.background.Wait()
		done <- s.cs.Close()
	}()
	defer s.cancel()
	select {
	case err := <-done:
		return err
	case <-time.After(closeTimeout):
		return context.DeadlineExceeded
	}
}

// statusOf returns the HTTP status of the answer that an error tells of, 0 when there was none.
func statusOf(err error) int {
	var s *StatusError
	var r *RPCError
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.As(err, &s):
		return s.StatusCode
	}
	return 0
}

// oldTransport reports whether a failed initialize suggests that the server offers HTTP+SSE only.
func oldTransport(err error) bool {
	var s *StatusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		return true
	}
	return false
}

// wrongEra reports whether a legacy handshake failed in a way that a modern server would make it fail.
func wrongEra(err error) bool {
	var rpc *RPCError
	if errors.As(err, &rpc) {
		return true
	}
	switch statusOf(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

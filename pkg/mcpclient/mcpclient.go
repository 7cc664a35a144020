// Package mcpclient calls the tools of MCP servers, one call at a time, with as few HTTP requests as the protocol allows: one where the
// server speaks 2026-07-28 and is known, three (initialize, initialized, tools/call) where it speaks an earlier revision. The protocol is
// the official SDK's; this package puts a transport below it that authorizes, remembers, and keeps results byte for byte.
//
//	c := &mcpclient.Client{URL: "https://mcp.example.com/mcp", Auth: handler, CacheDir: dir}
//	defer c.Close()
//	r, err := c.Call(ctx, "search", mcpclient.Arguments{Args: []mcpclient.Arg{{Name: "limit", Value: "5"}}})
//
// Revisions: 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26 over Streamable HTTP with JSON and event streams, 2024-11-05 over HTTP+SSE.
// A server's revision is found out by asking for its tools as a modern client would; its answer shows what it is.
//
// The files: session.go (eras), call.go (a call and when it may be sent again), wire.go (the transport), authorize.go (401 and 403),
// answer.go and stream.go (results), exchange.go (what became of a request), tools.go and headers.go (definitions), arguments.go and
// schema.go (arguments), elicit.go (questions of the server), listen.go (those outside of a call), result.go, batch.go (many calls),
// relay.go, relayhttp.go, relaysession.go and relayheaders.go (for programs that speak MCP over standard streams), cache.go, events.go and jsonscan.go
// (readers).
//
// Not supported but by Relay: sampling, roots, resources, prompts, subscriptions.
package mcpclient

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpauth/internal/httpx"
)

// Client calls the tools of one server. Its methods may be called from several goroutines at once; its fields are not to be changed
// after the first call.
type Client struct {
	URL    string      // the MCP endpoint
	Header http.Header // sent with every request to the server's origin and nowhere else; headers of the protocol win. Authorization is
	// used as it stands until the server answers 401 to it; then Auth takes over, where there is one.
	Auth auth.OAuthHandler // nil: none. If it also has Decorate(*http.Request, *oauth2.Token) error, that sets the Authorization header (DPoP)
	HTTP *http.Client      // nil: httpx.Default(). Only its Transport is used

	Version  string // of this program, told to the server; empty: "dev"
	CacheDir string // folder of what is remembered of servers between processes; empty: nothing is
	CacheKey string // whose list of tools it is, where servers show each user another; any text that names the login. Not secret
	NoCache  bool   // neither read nor write CacheDir

	Idempotent bool                             // calls may be sent again when nobody knows whether they were carried out
	NoValidate bool                             // send the arguments as they are; the server has the last word
	Progress   func(Progress)                   // called in order, before the call returns; nil: progress is not asked for
	Log        func(level, logger, text string) // log messages of the server, in order; nil: not asked for
	Elicit     Elicitor                         // answers the server's questions; nil: declines
	Listen     bool                             // hear questions that a legacy server asks outside of a call, which costs a request; see listen.go
	MaxResult  int64                            // bytes of one result; 0: 512 MiB

	connecting sync.Mutex // held while a session is opened
	fetching   sync.Mutex // held while a call fetches the list of tools
	overruled  atomic.Bool
	now        func() time.Time                                 // nil: time.Now
	pause      func(ctx context.Context, d time.Duration) error // nil: waits

	mu      sync.Mutex // guards what follows
	session *session
	hidden  []string // the credentials that were sent, in the forms in which a server may give them back
	memory  *memory  // nil: not loaded
	tokens  int      // progress tokens handed out
	asked   error    // what the Elicitor failed with while a legacy server waited for its answer
}

// Progress is how far a call is.
type Progress struct {
	Progress, Total float64 // Total is 0 where the server does not know it
	Message         string  // the server's words: not safe to print as they are
}

// Close ends the session, with DELETE where the server keeps one, and writes the cache. It is called after the result is used, for it may
// take a round trip; at most five seconds.
func (c *Client) Close() error {
	c.revalidate()
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	c.save()
	if s == nil {
		return nil
	}
	return s.close()
}

// drop forgets a session that is of no more use, so that the next request opens another.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	mine := c.session == s
	if mine {
		c.session = nil
	}
	c.mu.Unlock()
	if mine && s.era != eraLegacy {
		s.close()
	}
	s.cancel()
}

func (c *Client) clock() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// wait pauses between attempts. After the end of ctx it never returns nil, so that whoever tries again and again comes to an end.
func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.pause != nil {
		return c.pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// place is the server's address as errors show it.
func (c *Client) place() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return httpx.Text(c.URL, 200)
	}
	return plainURL(u)
}

// teach tells the SDK of a tool whose arguments go into headers as well.
func (s *session) teach(ctx context.Context, t Tool) error {
	if s.era != eraModern || !hasHeaders(t.InputSchema) {
		return nil
	}
	ctx = context.WithValue(ctx, toolKey{}, t.Raw)
	_, err := s.cs.ListTools(ctx, &mcp.ListToolsParams{Cursor: "tool " + t.Name})
	return err
}

// callParams are the parameters of a tools/call.
func (c *Client) callParams(tool string, x *exchange, arguments any) *mcp.CallToolParams {
	p := &mcp.CallToolParams{Name: tool, Arguments: arguments, Meta: mcp.Meta{}}
	if x.token != "" {
		p.Meta["progressToken"] = x.token
	}
	return p
}

// Package mcpclient calls the tools of MCP servers with as few HTTP requests as the protocol allows: a warm call is one request, on every
// revision with Streamable HTTP. It caches the server's protocol revision, tools and session between processes, separately for each login.
//
//	c := &mcpclient.Client{URL: "https://mcp.example.com/mcp", Auth: handler, CacheDir: dir}
//	defer c.Close()
//	r, err := c.Call(ctx, "search", mcpclient.Arguments{Args: []mcpclient.Arg{{Name: "limit", Value: "5"}}})
//
// It supports the revisions 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26 over Streamable HTTP, and 2024-11-05 over HTTP+SSE. If the
// revision of a server is not known, the client sends a request of 2026-07-28, and the answer shows the revision.
//
// It does not support sampling and roots.
package mcpclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"mcpauth/internal/httpx"
	"mcpauth/internal/mcphttp"
)

// closeTimeout limits the requests of Close.
const closeTimeout = time.Second

// Client calls the tools of one server. Several goroutines may call its methods. Its fields must not change after the first call.
type Client struct {
	URL    string      // the MCP endpoint
	Header http.Header // sent with every request to the server's origin and nowhere else; headers of the protocol win. Authorization is
	// used as it is until the server answers 401 to it; then Auth takes over if there is one
	Auth auth.OAuthHandler // nil: none. If it also has Decorate(*http.Request, *oauth2.Token) error, that sets the Authorization header
	// (DPoP); if it has Grant(context.Context) (string, error), that names the login, for which alone things are remembered
	HTTP    *http.Client // nil: httpx.Default(). Only its Transport is used
	Secrets []string     // values in Header that must not appear in errors and logs

	Version  string // of this program, sent to the server; empty: "dev"
	CacheDir string // private folder of what is remembered between processes; empty: nothing is
	CacheKey string // name of the login among several at one server. Not secret
	NoCache  bool   // neither read nor write CacheDir; a session is the client's own, and Close ends it
	Trace    Trace  // trace context, sent with every request

	TaskDir string // private folder where the ids of tasks are kept until they have ended; empty: nowhere
	Detach  bool   // do not wait for a call that becomes a task; let it become one if the server leaves that to the client

	Idempotent bool                             // calls may be sent again when nobody knows whether they were carried out
	NoValidate bool                             // send the arguments as they are; the server decides
	Progress   func(Progress)                   // called in order, before the call returns; nil: progress is not asked for
	Log        func(level, logger, text string) // log messages of the server, in order; nil: not asked for
	Warn       func(text string)                // called if a list of tools is cut short, or a tool is left out because it is invalid; nil: nobody is told
	Elicit     Elicitor                         // answers the server's questions; nil: declines
	Listen     bool                             // hear questions that a server of an earlier revision asks outside of a call. Costs a request, and a session of its own
	MaxResult  int64                            // bytes of one result; 0: 512 MiB

	once       sync.Once
	link       *mcphttp.Link
	meta       []byte             // members of _meta that all requests of 2026-07-28 have
	life       context.Context    // ends with Close: of answers to questions that belong to no call
	end        context.CancelFunc //
	background sync.WaitGroup     // answers that are being given
	ids        atomic.Int64       // the last request id
	calls      atomic.Int64       // begun
	questions  atomic.Int64       // of a server of an earlier revision, whose streams may hold any number
	replying   atomic.Int64       // answers that are being given
	probed     atomic.Bool        // see probe
	quiet      atomic.Bool        // no authorization is begun any more
	gaveUp     atomic.Bool        // a caller has left before the answer came
	connecting gate               // held while a session is opened
	fetching   gate               // held while the list of tools is fetched for a call

	now   func() time.Time                                 // nil: time.Now
	pause func(ctx context.Context, d time.Duration) error // nil: waits

	mu       sync.Mutex // guards what follows
	session  *session
	memory   *memory                   // nil: not loaded
	grant    string                    // the login that memory belongs to
	tracking map[string]func(Progress) // of calls under way, by progress token
	asked    error                     // what the Elicitor failed with while a server of an earlier revision waited for its answer
}

// Progress is the progress of a call.
type Progress struct {
	Progress, Total float64 // Total is 0 if the server does not know it
	Message         string  // the server's words: not safe to print as they are
}

// prepare initializes the client once: it determines the login and loads the cache for it.
func (c *Client) prepare(ctx context.Context) error {
	c.init()
	c.mu.Lock()
	loaded := c.memory != nil
	c.mu.Unlock()
	if loaded {
		return nil
	}
	grant, err := c.login(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory == nil { // else another call was faster
		c.grant, c.memory = grant, c.load(grant)
	}
	return nil
}

func (c *Client) init() {
	c.once.Do(func() {
		c.link = &mcphttp.Link{URL: c.URL, Header: c.Header, Auth: c.Auth, HTTP: c.HTTP, Secrets: c.Secrets, Max: c.MaxResult, Pause: c.pause}
		c.life, c.end = context.WithCancel(context.Background())
		c.ids.Store(int64(rand.Int32N(1 << 30))) // processes that share a session must not use the same ids
		c.meta = c.commonMeta()
		c.tracking, c.connecting, c.fetching = map[string]func(Progress){}, make(gate, 1), make(gate, 1)
	})
}

// granter is a handler that identifies the login of its token.
type granter interface {
	Grant(context.Context) (string, error)
}

// login identifies the login of this client. A static Authorization header counts as a login of its own and is part of the name of the
// cache file.
func (c *Client) login(ctx context.Context) (string, error) {
	g, ok := c.Auth.(granter)
	if !ok || c.Header.Get("Authorization") != "" && !c.link.Overruled() {
		return "", nil
	}
	return g.Grant(ctx)
}

// Close writes the cache and ends the session, unless the session is kept for the next process. Call it after the result was used, because
// it may send a request. It takes at most two seconds.
func (c *Client) Close() error {
	c.init()
	defer c.end()
	c.revalidate()
	c.save()
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	if s != nil {
		c.leave(s)
	}
	c.end()
	c.background.Wait()
	return nil
}

// exchange sends one request and reports its progress. token is empty if no progress is requested.
func (c *Client) exchange(ctx context.Context, s *session, r mcphttp.Request, token string) mcphttp.Outcome {
	r.Receive = func(m mcphttp.Message) { c.receive(ctx, s, m) }
	if token != "" {
		c.mu.Lock()
		c.tracking[token] = c.Progress
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			delete(c.tracking, token)
			c.mu.Unlock()
		}()
	}
	return c.link.Exchange(ctx, s.Session, r)
}

// nextID returns a new request ID, which is also the progress token.
func (c *Client) nextID() string { return strconv.FormatInt(c.ids.Add(1), 10) }

func (c *Client) clock() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// place returns the server's URL for errors, without its query, which may contain a key.
func (c *Client) place() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return httpx.Text(c.URL, 200)
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return httpx.Text(u.String(), 500)
}

// invalid returns the error for an answer that the protocol does not allow.
func (c *Client) invalid(reason string) error {
	return &StatusError{URL: c.place(), StatusCode: http.StatusOK, Reason: c.link.Clean(reason)}
}

// gate is a mutex whose waiters stop waiting when their context ends.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }

// isRPC returns the *RPCError in an error, or nil.
func isRPC(err error) *RPCError {
	var rpc *RPCError
	errors.As(err, &rpc)
	return rpc
}

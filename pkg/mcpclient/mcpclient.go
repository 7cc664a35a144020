// Package mcpclient calls the tools of MCP servers with as few HTTP requests as the protocol allows. With a filled cache, a call over
// Streamable HTTP is one request. The cache contains the server's revision, tools and session, separately for each login.
//
//	c := &mcpclient.Client{URL: "https://mcp.example.com/mcp", Auth: handler, CacheDir: dir}
//	defer c.Close()
//	r, err := c.Call(ctx, "search", mcpclient.Arguments{Args: []mcpclient.Arg{{Name: "limit", Value: "5"}}})
//
// The package supports the revisions 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26 over Streamable HTTP, and 2024-11-05 over HTTP+SSE.
// If the revision of a server is not known, the client sends a request of MCP 2026-07-28 and recognizes the revision from the answer.
//
// The package does not support sampling or roots.
package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Client calls the tools of one server. A Client is safe for concurrent use, but its fields must not change after the first call.
type Client struct {
	URL string // the MCP endpoint

	// Header is sent with every request to the server's origin, and nowhere else. Headers of the protocol take precedence. An Authorization
	// header in Header is sent until the server answers it with 401. After the 401, the client uses Auth, if Auth is set.
	Header http.Header

	// Auth may be nil. If Auth has a method Decorate(*http.Request, *oauth2.Token) error, that method sets the Authorization header (DPoP).
	// If Auth has a method Grant(context.Context) (string, error), each grant has a cache of its own.
	Auth auth.OAuthHandler

	HTTP *http.Client // only its Transport is used; nil: one that limits connection time and header size

	// Secrets contains the secrets of the login. The Client masks them in messages of the server and never stores them. If Secrets is nil, the
	// Client knows only the secrets in Header and the access tokens.
	Secrets *httpx.Secrets

	Version  string // version of this program, which is sent to the server; empty: "dev"
	CacheDir string // private folder for data cached between processes; empty: no such cache
	CacheURL string // URL of the server that names the files in CacheDir and TaskDir, also if URL changes; empty: URL
	CacheKey string // label that keeps the caches of several logins at one server apart; not secret

	// Certificate is a name of the client certificate that HTTP presents, such as its path. Each certificate has a cache of its own.
	Certificate string

	NoCache bool  // do not read or write CacheDir, and end the session in Close
	Trace   Trace // trace context, sent with every request

	TaskDir string // private folder for records of unfinished tasks; empty: no records
	Detach  bool   // do not wait for a call that becomes a task; request a task if the tool makes that optional

	Idempotent bool                             // send a call again even if the server may have carried it out
	NoValidate bool                             // do not check the arguments against the tool's input schema
	Progress   func(Progress)                   // called with progress notifications in order, before the call returns; nil: not requested
	Log        func(level, logger, text string) // called with log messages of the server in order; nil: not requested
	Warn       func(text string)                // called if a list is incomplete, a tool is invalid, or a task cannot be stored; may be nil
	Elicit     Elicitor                         // answers elicitation requests; nil: they are declined

	MaxMessage int64 // limit of one message from the server in bytes; 0: 512 MiB

	// Listen opens the stream of a session, on which some servers of earlier revisions send elicitation requests. Opening the stream takes
	// one more request. A session with an open stream is not shared with other processes.
	Listen bool

	once       sync.Once
	link       *mcphttp.Link
	meta       []byte             // members of _meta that are the same in all requests of MCP 2026-07-28
	life       context.Context    // ends in Close; context of replies to server requests outside of a call
	endLife    context.CancelFunc // cancels life
	background sync.WaitGroup     // replies to server requests, and the stream of the session
	lastID     atomic.Int64       // last request ID
	calls      atomic.Int64       // number of calls begun
	questions  atomic.Int64       // number of elicitation requests in an earlier revision, see maxQuestions
	replying   atomic.Int64       // number of running replies, see maxReplies
	probed     atomic.Bool        // probeLegacy has sent its request
	quiet      atomic.Bool        // set before Close fetches a list: from then on, a 401 or 403 starts no authorization
	gaveUp     atomic.Bool        // the context of a request ended before its answer came
	connecting gate               // locked while a session is opened
	fetching   gate               // locked while the list of tools is fetched for a call

	now   func() time.Time                                 // nil: time.Now
	pause func(ctx context.Context, d time.Duration) error // nil: a timer

	mu            sync.Mutex // guards the following fields
	session       *clientSession
	cache         *cacheEntry               // nil: not loaded yet
	grant         string                    // ID of the login that the cache belongs to
	progressFuncs map[string]func(Progress) // progress callbacks of the running calls, by progress token
	elicitErr     error                     // first error of Elicit for a server of an earlier revision, see callError
}

// Progress is the progress of a call.
type Progress struct {
	Progress, Total float64 // Total is 0 if the server does not know it
	Message         string  // the server's text, not safe to print
}

// prepare initializes the client once: prepare determines the login and loads the login's cache.
func (c *Client) prepare(ctx context.Context) error {
	c.init()
	c.mu.Lock()
	loaded := c.cache != nil
	c.mu.Unlock()
	if loaded {
		return nil
	}
	grant, err := c.loginID(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cache == nil { // another call may have loaded the cache in the meantime
		c.grant, c.cache = grant, c.loadCache(grant)
	}
	return nil
}

func (c *Client) init() {
	c.once.Do(func() {
		c.link = &mcphttp.Link{URL: c.URL, Header: c.Header, Auth: c.Auth, HTTP: c.HTTP, Secrets: c.Secrets, Pause: c.pause, MaxMessage: c.MaxMessage}
		c.life, c.endLife = context.WithCancel(context.Background())
		c.lastID.Store(int64(rand.Int32N(1 << 30))) // random, because processes that share a session must not use the same ids
		c.meta = c.commonMeta()
		c.progressFuncs, c.connecting, c.fetching = map[string]func(Progress){}, make(gate, 1), make(gate, 1)
	})
}

// granter is an OAuth handler that returns the ID of its login.
type granter interface {
	Grant(context.Context) (string, error)
}

// loginID returns the ID of this client's login. For a static Authorization header, loginID returns "", because the name of the cache file
// already depends on the header, see cacheFile.
func (c *Client) loginID(ctx context.Context) (string, error) {
	g, ok := c.Auth.(granter)
	if !ok || c.Header.Get("Authorization") != "" && !c.link.Overruled() {
		return "", nil
	}
	return g.Grant(ctx)
}

// Close writes the cache and ends the session, unless the session is stored for the next process. Close may send requests and take two
// seconds, so the caller should print its result first.
func (c *Client) Close() error {
	c.init()
	defer c.endLife()
	c.refreshTools()
	c.saveCache()
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	if s != nil {
		c.leaveSession(s)
	}
	c.endLife()
	c.background.Wait()
	return nil
}

// exchangeWithProgress sends one request and reports its progress. If progressToken is empty, no progress is requested.
func (c *Client) exchangeWithProgress(ctx context.Context, s *clientSession, r mcphttp.Request, progressToken string) mcphttp.Outcome {
	r.Receive = func(m mcphttp.Message) bool { return c.handleMessage(ctx, s, m) }
	if progressToken != "" {
		c.mu.Lock()
		c.progressFuncs[progressToken] = c.Progress
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			delete(c.progressFuncs, progressToken)
			c.mu.Unlock()
		}()
	}
	return c.link.Exchange(ctx, s.Session, r)
}

// nextID returns a new request ID, which is also the progress token.
func (c *Client) nextID() string { return strconv.FormatInt(c.lastID.Add(1), 10) }

func (c *Client) warn(format string, a ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, a...))
	}
}

func (c *Client) clock() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// plainURL returns the server's URL without user information and query, because an error message must not contain a key.
func (c *Client) plainURL() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return httpx.Text(c.URL, 200)
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return httpx.Text(u.String(), 500)
}

// Clean removes the secrets of the login from a text of the server, such as the name of a tool, for a message.
func (c *Client) Clean(text string) string {
	c.init()
	return c.link.Clean(text)
}

// cleanJSON returns at most 64 kB of a JSON text of the server without the secrets of the login.
func (c *Client) cleanJSON(raw json.RawMessage) string {
	return string(c.link.LoginSecrets().CleanJSON(raw[:min(len(raw), 64<<10)]))
}

// The method shown returns a text of the server in a form that is safe to print and contains no secret.
func (c *Client) shown(text string, limit int) string { return httpx.Text(c.Clean(text), limit) }

// protocolError returns the error for a response that violates the protocol.
func (c *Client) protocolError(reason string) error {
	return &StatusError{URL: c.plainURL(), StatusCode: http.StatusOK, Reason: reason}
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

// asRPCError returns the *RPCError in an error, or nil.
func asRPCError(err error) *RPCError {
	rpc, _ := errors.AsType[*RPCError](err)
	return rpc
}

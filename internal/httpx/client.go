// Package httpx is the HTTP client of mcpauth. Every request, from discovery to the tool call, uses this package, so that limits, proxies,
// certificate authorities, redirects and traces are the same everywhere.
//
//	hc, err := httpx.New(httpx.Options{CAFile: "corporate.pem"})
//	res, err := httpx.Do(hc, req)
package httpx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// MaxBody limits the body of every OAuth response and of an MCP server's error response, in bytes after decompression.
const MaxBody = 1 << 20

// RequestLimit limits the time of every OAuth request, from the connection to the end of the body. It is shorter than the time limit of a
// whole command.
const RequestLimit = 30 * time.Second

// maxHeader limits the header of every response, in bytes.
const maxHeader = 64 << 10

// ErrTooLarge is returned if a response is longer than MaxBody.
var ErrTooLarge = errors.New("answer larger than 1 MiB")

// Options configures New. The zero value is a client with the system's certificate authorities and no trace.
type Options struct {
	CAFile    string    // PEM file of certificate authorities, added to the system's; empty: none
	UserAgent string    // User-Agent header of requests that do not set one; empty: "mcpauth"
	Trace     io.Writer // every exchange is printed here, with secrets redacted; nil: nothing is printed

	// RootMemory is the path of a file in which the client records, for each host, which of the system's certificate authorities verified
	// the host. The next process then need not parse all of them. Empty: nothing is recorded.
	RootMemory string
}

// New returns a client with the limits of this package. The client has no overall timeout: the context of a request limits its time, and Do
// limits the time of an OAuth request.
func New(o Options) (*http.Client, error) {
	var rt http.RoundTripper
	rt, err := newRootsTransport(rootMemory(o.RootMemory), o.CAFile)
	if err != nil {
		return nil, err
	}
	if o.Trace != nil {
		rt = &tracer{next: rt, out: o.Trace}
	}
	return &http.Client{Transport: &userAgent{next: rt, agent: cmp.Or(o.UserAgent, "mcpauth")}, CheckRedirect: checkRedirect}, nil
}

// Default returns the client that is used instead of a nil *http.Client. Default calls New with zero Options, once.
var Default = sync.OnceValue(func() *http.Client {
	hc, _ := New(Options{}) // New fails only if it cannot read the CAFile
	return hc
})

// userAgent is a transport that sets the User-Agent header, because some servers and load balancers refuse requests without one.
type userAgent struct {
	next  http.RoundTripper
	agent string
}

func (t *userAgent) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.agent)
	}
	return t.next.RoundTrip(req)
}

// Drain reads up to 64 kB of a body, so that the connection can be reused, and closes the body.
func Drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	body.Close()
}

// Bare returns a network error without the method and URL that net/http adds, for callers that add the URL themselves. errors.As still
// finds the *url.Error and the errors that it wraps.
func Bare(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	return &cleanError{err, u.Err.Error()}
}

// Response is a response whose body was read completely.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
	URL        string // URL of the response, after redirects

	Secrets *Secrets // ReadRefusal removes these secrets from the texts that it decodes; nil: none
}

// Do sends an OAuth request and reads the whole response. The error is ErrTooLarge if the body has more than MaxBody bytes. A request that
// takes longer than RequestLimit fails with a net.Error whose text states the limit. This error is not a context error, so the caller can
// distinguish it from the end of its own context. If c is nil, Do uses Default. If c does not come from Secrets.Client, Do removes only the
// secrets of this one exchange.
func Do(c *http.Client, req *http.Request) (*Response, error) {
	return do(c, req, readAny, RequestLimit)
}

// DoHeader is Do for a response whose body may be an event stream, which may never end. It reads the body only if the status is an error.
func DoHeader(c *http.Client, req *http.Request) (*Response, error) {
	return do(c, req, readErrors, RequestLimit)
}

// DoIssuing is Do for an endpoint that issues tokens or clients. If the response is successful, the tokens and secrets in it belong to the
// secrets of the login.
func DoIssuing(c *http.Client, req *http.Request) (*Response, error) {
	return do(c, req, readIssued, RequestLimit)
}

func do(c *http.Client, req *http.Request, read readBody, limit time.Duration) (*Response, error) {
	c = cmp.Or(c, Default())
	if _, ok := c.Transport.(*cleaner); !ok {
		c = new(Secrets).Client(c)
	}
	ctx, cancel := context.WithTimeoutCause(context.WithValue(req.Context(), bodyKey{}, read), limit, slowError(limit))
	defer cancel()
	res, err := c.Do(req.WithContext(ctx))
	if err != nil {
		return nil, orSlowError(ctx, err)
	}
	defer res.Body.Close()
	r := &Response{StatusCode: res.StatusCode, Header: res.Header, URL: res.Request.URL.String(), Secrets: c.Transport.(*cleaner).secrets}
	if read == readErrors && res.StatusCode < http.StatusBadRequest {
		return r, nil
	}
	r.Body, err = io.ReadAll(res.Body)
	if err == nil || read == readErrors { // an incomplete error message is still useful
		return r, nil
	}
	return r, fmt.Errorf("%s %s: reading the answer: %w", req.Method, redactURL(req.URL), orSlowError(ctx, err))
}

// orSlowError returns err or, if the time limit of do has passed, a slowError in its place.
func orSlowError(ctx context.Context, err error) error {
	late, ok := context.Cause(ctx).(slowError)
	if !ok {
		return err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return &url.Error{Op: u.Op, URL: u.URL, Err: late}
	}
	return late
}

type slowError time.Duration

func (e slowError) Error() string   { return "no answer within " + time.Duration(e).String() }
func (e slowError) Timeout() bool   { return true }
func (e slowError) Temporary() bool { return true }

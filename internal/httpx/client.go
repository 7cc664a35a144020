// Package httpx is the one HTTP client of mcpauth: every leg of the flow, from discovery to the tool call, goes through it, so that
// limits, proxies, certificate authorities, redirects and traces are the same on all of them.
//
//	hc, err := httpx.New(httpx.Options{CAFile: "corporate.pem"})
//	res, err := httpx.Do(hc, req)
//
// The files: client.go (limits, agent), roots*.go (certificate authorities), clientcertificate.go (client
// certificates), url.go (which addresses are allowed), redirect.go (which redirects
// are followed, and with what), text.go (foreign text and JSON made safe), refusal.go (the words of an error answer),
// trace.go (what --verbose prints, without secrets).
package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// MaxBody bounds the body of every OAuth answer, in bytes, after decompression.
const MaxBody = 1 << 20

// maxHeader bounds the header of every answer, in bytes.
const maxHeader = 64 << 10

// ErrTooLarge says that an answer was longer than MaxBody.
var ErrTooLarge = errors.New("answer larger than 1 MiB")

// Options configures New. The zero value is a client with the system's certificate authorities and no trace.
type Options struct {
	CAFile    string    // PEM file of certificate authorities, added to the system's; empty: none
	UserAgent string    // sent where a request names none; empty: "mcpauth"
	Trace     io.Writer // every exchange is printed here, secrets redacted; nil: none

	// RootMemory is a file in which New remembers which of the system's certificate authorities verified which host, so that the next
	// process need not parse them all; empty: none.
	RootMemory string
}

// New returns a client with the limits of this package. It has no overall timeout: contexts decide how long a request may take.
func New(o Options) (*http.Client, error) {
	dialer := func(roots *x509.CertPool, own *Certificate) *http.Transport {
		t := &http.Transport{
			Proxy:                  proxyFor,
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    30 * time.Second, // a thousand processes that start at once wait for the processor longer than 10
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    64, // a batch may use so many
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
		}
		if own != nil {
			own.use(t)
		}
		return t
	}
	var rt http.RoundTripper
	rt, err := newRooted(rootMemory(o.RootMemory), o.CAFile, dialer)
	if err != nil {
		return nil, err
	}
	if o.Trace != nil {
		rt = &tracer{next: rt, out: o.Trace}
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "mcpauth"
	}
	return &http.Client{Transport: &userAgent{next: rt, agent: agent}, CheckRedirect: checkRedirect}, nil
}

// Default returns the client that a nil HTTP field means: New with the zero Options, made once.
var Default = sync.OnceValue(func() *http.Client {
	hc, _ := New(Options{}) // only a CAFile can fail
	return hc
})

// userAgent names the program where a request does not: some servers and load balancers refuse requests without a User-Agent.
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

// Bare is a network error without the method and address that net/http puts before it, for callers that name the address themselves. It
// still matches *url.Error and what that wraps.
func Bare(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	return &bare{err, u.Err}
}

type bare struct{ whole, inner error }

func (b *bare) Error() string { return b.inner.Error() }
func (b *bare) Unwrap() error { return b.whole }

// Response is an answer read to its end.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
	URL        string // where the answer came from, after redirects
}

// Do sends a request of an OAuth leg and reads the whole answer, at most MaxBody bytes of it (else ErrTooLarge). A nil client is Default.
func Do(c *http.Client, req *http.Request) (*Response, error) {
	if c == nil {
		c = Default()
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	r := &Response{StatusCode: res.StatusCode, Header: res.Header, URL: res.Request.URL.String()}
	r.Body, err = io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		return r, fmt.Errorf("%s %s: reading the answer: %w", req.Method, redactURL(req.URL), err)
	}
	if len(r.Body) > MaxBody {
		return r, fmt.Errorf("%s %s: %w", req.Method, redactURL(req.URL), ErrTooLarge)
	}
	return r, nil
}

// Within returns a client whose requests take no longer than limit, from the connection to the end of the body, whatever time their contexts
// allow. A nil client is Default. The error of a request that takes longer is a net.Error that names the limit; it is not the error of a
// context, so a caller can tell this limit from its own.
func Within(c *http.Client, limit time.Duration) *http.Client {
	if c == nil {
		c = Default()
	}
	limited := *c
	limited.Transport = &within{next: c.Transport, limit: limit}
	return &limited
}

type within struct {
	next  http.RoundTripper
	limit time.Duration
}

func (t *within) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.limit, slowError(t.limit))
	res, err := cmp.Or(t.next, http.DefaultTransport).RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, slow(ctx, err)
	}
	res.Body = &withinBody{res.Body, ctx, cancel}
	return res, nil
}

// withinBody is the body of an answer under a limit.
type withinBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelFunc
}

func (b *withinBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = slow(b.ctx, err)
	}
	return n, err
}

func (b *withinBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// slow is the error of a request whose limit has passed, else err.
func slow(ctx context.Context, err error) error {
	if late, ok := context.Cause(ctx).(slowError); ok {
		return late
	}
	return err
}

type slowError time.Duration

func (e slowError) Error() string   { return "no answer within " + time.Duration(e).String() }
func (e slowError) Timeout() bool   { return true }
func (e slowError) Temporary() bool { return true }

// Package callback opens the browser and receives the authorization response. A loopback listener receives the response from the browser,
// or the user pastes the URL of the response.
//
//	l, err := callback.Listen(ctx, callback.Options{Port: kept})
//	defer l.Close()
//	code, err := l.Wait(ctx, callback.Expect{State: state, Issuer: issuer, IssRequired: announced})
//
// The package implements RFC 8252 §7.3 (loopback redirection), RFC 6749 §4.1.2 (authorization response) and RFC 9207 (iss parameter).
package callback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mcpauth/internal/httpx"
)

// ErrPortInUse is returned if another program listens on the requested port.
var ErrPortInUse = errors.New("the port is in use")

// callbackPath is the path of every redirect URI.
const callbackPath = "/callback"

// Options configures a Listener. The zero value listens on 127.0.0.1, on a free port.
type Options struct {
	Host string // "127.0.0.1", or "localhost" to listen on 127.0.0.1 and ::1; empty: "127.0.0.1"
	Port int    // 0: a free port

	// If Ignored is not nil, Wait calls it for the first request that looks like an authorization response but is ignored. The reason may
	// quote the authorization server, and is safe to print.
	Ignored func(reason string)
}

// Listener is an HTTP server at a loopback redirect URI (RFC 8252 §7.3).
type Listener struct {
	host      string
	port      int
	listeners []net.Listener
	server    http.Server
	strangers httpx.Strangers
	ignored   func(why string)
	ignoring  sync.Once
}

// Listen opens the port on 127.0.0.1. If Options.Host is localhost, Listen also opens the port on ::1, because browsers resolve localhost
// to one of the two. On a machine without IPv6, Listen opens only 127.0.0.1. Listen returns ErrPortInUse if another program uses the port.
func Listen(ctx context.Context, o Options) (*Listener, error) {
	l := &Listener{host: cmp.Or(o.Host, "127.0.0.1"), port: o.Port, ignored: o.Ignored}
	if l.host != "127.0.0.1" && l.host != "localhost" {
		return nil, fmt.Errorf("callback host %q: expected 127.0.0.1 or localhost (RFC 8252 §7.3)", l.host)
	}
	var conf net.ListenConfig
	v4, err := conf.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port)))
	if err != nil {
		return nil, inUse(l.port, err)
	}
	l.port = v4.Addr().(*net.TCPAddr).Port
	l.listeners = []net.Listener{v4}
	if l.host != "localhost" {
		return l, nil
	}
	v6, err := conf.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(l.port)))
	switch {
	case err == nil:
		l.listeners = append(l.listeners, v6)
	case isInUse(err):
		l.Close() // another program listens on this port of ::1, and could receive the response
		return nil, inUse(l.port, err)
	}
	return l, nil
}

func inUse(port int, err error) error {
	if isInUse(err) {
		err = ErrPortInUse
	}
	return fmt.Errorf("callback port %d: %w", port, err)
}

// isInUse reports whether err means that the port is in use. On Windows the error is WSAEADDRINUSE, which syscall.EADDRINUSE does not
// match.
func isInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048))
}

// Port returns the port of the listener.
func (l *Listener) Port() int { return l.port }

// RedirectURI returns the redirect URI to register and to send in the authorization request.
func (l *Listener) RedirectURI() string { return "http://" + l.authority() + callbackPath }

func (l *Listener) authority() string { return net.JoinHostPort(l.host, strconv.Itoa(l.port)) }

// Close frees the port at once. After Close, the callback page cannot be reloaded.
func (l *Listener) Close() error {
	err := l.server.Close()
	for _, ln := range l.listeners { // server.Close closes only listeners that were passed to Serve
		if e := ln.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	return err
}

// These limits stop a local program that keeps a connection open or sends a large request.
const (
	headerTime = 5 * time.Second
	headerSize = 128 << 10 // in bytes; large, because browsers send the cookies of every server on this host, whatever its port is
)

type waitResult struct {
	code string
	err  error
}

// Wait waits for the authorization response and returns its code. The error is an *AuthorizationError, ErrIssuer, ErrMalformed or the error
// of ctx. Wait ignores a request with the wrong method, host, path or state, a prefetch, and a request that a script sends. The page with
// the result can be reloaded until Close. Wait may be called only once.
func (l *Listener) Wait(ctx context.Context, e Expect) (string, error) {
	answers := make(chan waitResult, 1)
	s := &l.server
	s.Handler = l.newHandler(e, answers)
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = headerTime, headerTime, headerTime, headerTime
	s.MaxHeaderBytes, s.ErrorLog, s.DisableGeneralOptionsHandler = headerSize, log.New(io.Discard, "", 0), true
	l.strangers.Watch(s)
	for _, ln := range l.listeners {
		go s.Serve(ln)
	}
	select {
	case <-ctx.Done():
		l.Close()
		return "", ctx.Err()
	case a := <-answers:
		return a.code, a.err
	}
}

func (l *Listener) newHandler(e Expect, answers chan<- waitResult) http.Handler {
	var answered atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if status, why := l.checkRequest(r); status != 0 {
			w.Header().Set("Allow", http.MethodGet)
			sendPage(w, status, notResponsePage)
			if why != "" {
				l.reportIgnored(why)
			}
			return
		}
		code, err := parseResponse(r.URL.RawQuery, e)
		if errors.Is(err, ErrState) {
			sendPage(w, http.StatusBadRequest, notResponsePage)
			l.reportIgnored(ignoredReason(r.URL.RawQuery, e))
			return
		}
		first := answered.CompareAndSwap(false, true) // a reload sends the same response again
		showAnswer(w, err)
		_ = http.NewResponseController(w).Flush() // send the page now, because the process may exit after Wait returns
		if first {
			answers <- waitResult{code, err}
		}
	})
}

// checkRequest returns a 4xx status if the request cannot be an authorization response, and 0 for any other request. It does not check the
// state. If the refused request looks like an authorization response, the result reason states why the request is refused.
func (l *Listener) checkRequest(r *http.Request) (status int, reason string) {
	switch {
	case !slices.Contains(l.validHosts(), r.Host):
		// In a DNS rebinding attack, the host name of a web page resolves to 127.0.0.1, and the Host header contains the host name.
		status, reason = http.StatusMisdirectedRequest, fmt.Sprintf("its Host header is %s", httpx.Quote(r.Host, 100))
	case r.URL.Path != callbackPath:
		status, reason = http.StatusNotFound, fmt.Sprintf("its path is %s, expected %q", httpx.Quote(r.URL.Path, 100), callbackPath)
	case r.Method == http.MethodPost:
		return http.StatusMethodNotAllowed, "it is a POST (response_mode=form_post), expected a redirect"
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, ""
	case !isNavigation(r.Header):
		return http.StatusForbidden, ""
	}
	if q := r.URL.Query(); !q.Has("code") && !q.Has("error") {
		reason = "" // for example, a request for /favicon.ico
	}
	return status, reason
}

// isNavigation reports whether the user navigated to the URL, according to the headers (Fetch Metadata, Sec-Purpose). A request without
// these headers counts as a navigation. A prefetch or a script must not consume the response before the user sees the page.
func isNavigation(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if purpose := strings.ToLower(h.Get(name)); strings.HasPrefix(purpose, "prefetch") || strings.HasPrefix(purpose, "preview") {
			return false
		}
	}
	mode := h.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// reportIgnored calls Options.Ignored for the first ignored response.
func (l *Listener) reportIgnored(why string) {
	if l.ignored != nil {
		l.ignoring.Do(func() { l.ignored(why) })
	}
}

// validHosts returns the values of the Host header that are valid for the redirect URI.
func (l *Listener) validHosts() []string {
	port := strconv.Itoa(l.port)
	hosts := []string{l.authority()}
	if l.host == "localhost" {
		hosts = append(hosts, net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port))
	}
	return hosts
}

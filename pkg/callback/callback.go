// Package callback receives the authorization response, either on a loopback listener to which the browser is redirected, or as an address
// that the user pastes. It also opens the browser.
//
//	l, err := callback.Listen(ctx, callback.Options{Port: kept})
//	defer l.Close()
//	code, err := l.Wait(ctx, callback.Expect{State: state, Issuer: issuer, IssRequired: announced})
//
// It implements RFC 8252 §7.3 (loopback redirection), RFC 6749 §4.1.2 and RFC 9207. Wait refuses requests that are not the response to this
// authorization request, and continues. It also refuses prefetches and requests by web pages, because only a navigation by the user counts.
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

// Options configures a Listener. The zero value listens on 127.0.0.1, on a free port, at /callback.
type Options struct {
	Host string // "127.0.0.1" (default), or "localhost" to listen on 127.0.0.1 and ::1
	Port int    // 0: a free one
	Path string // empty: "/callback"

	// Ignored, if set, is called for the first request that looks like an authorization response but does not belong to this login. why is
	// the reason. It may contain text of the authorization server and is safe to print.
	Ignored func(why string)
}

// Listener listens at a redirect URI.
type Listener struct {
	host, path string
	port       int
	listeners  []net.Listener
	server     http.Server
	strangers  httpx.Strangers
	ignored    func(why string)
	ignoring   sync.Once
}

// Listen opens the port on 127.0.0.1 and, for localhost, also on ::1, because browsers resolve that name to either. It succeeds without ::1
// if the machine has no IPv6. It returns ErrPortInUse if another program listens on the port.
func Listen(ctx context.Context, o Options) (*Listener, error) {
	l := &Listener{host: cmp.Or(o.Host, "127.0.0.1"), path: cmp.Or(o.Path, "/callback"), port: o.Port, ignored: o.Ignored}
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
	case taken(err):
		l.Close() // another program listens on the IPv6 address of this port, and could receive the response there
		return nil, inUse(l.port, err)
	}
	return l, nil
}

func inUse(port int, err error) error {
	if taken(err) {
		err = ErrPortInUse
	}
	return fmt.Errorf("callback port %d: %w", port, err)
}

// taken reports whether err means that the port is in use. On Windows the error is WSAEADDRINUSE, which syscall.EADDRINUSE does not match.
func taken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048))
}

// Port returns the port of the listener.
func (l *Listener) Port() int { return l.port }

// RedirectURI returns the redirect URI to register and to send in the authorization request.
func (l *Listener) RedirectURI() string { return "http://" + l.authority() + l.path }

func (l *Listener) authority() string { return net.JoinHostPort(l.host, strconv.Itoa(l.port)) }

// Close frees the port at once. After Close, the callback page cannot be reloaded.
func (l *Listener) Close() error {
	err := l.server.Close()
	for _, ln := range l.listeners { // server.Close does not close a listener before Serve has been called with it
		if e := ln.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	return err
}

// Limits of the HTTP server, so that another local program cannot hold a connection for long or send much.
const (
	headerTime = 5 * time.Second
	headerSize = 1 << 20 // bytes; large, because browsers send the cookies of all servers on this host, on any port
)

// answer is the result of Wait.
type answer struct {
	code string
	err  error
}

// Wait serves the redirect URI until the authorization response arrives or ctx ends. It answers requests with a wrong method, host, path or
// state with a 4xx status and ignores them. It returns the code in the response, or an *AuthorizationError, ErrIssuer or ErrMalformed. The
// page stays available for a reload until Close. Wait may be called only once.
func (l *Listener) Wait(ctx context.Context, e Expect) (string, error) {
	answers := make(chan answer, 1)
	s := &l.server
	s.Handler = l.handler(e, answers)
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

// handler serves the redirect URI.
func (l *Listener) handler(e Expect, answers chan<- answer) http.Handler {
	var answered atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if status, why := l.refuses(r); status != 0 {
			w.Header().Set("Allow", http.MethodGet)
			page(w, status, notResponsePage)
			if why != "" {
				l.ignore(why)
			}
			return
		}
		code, err := parse(r.URL.RawQuery, e)
		if errors.Is(err, ErrState) {
			page(w, http.StatusBadRequest, notResponsePage)
			l.ignore(ignoredReason(r.URL.RawQuery, e))
			return
		}
		first := answered.CompareAndSwap(false, true) // a reload sends the same response again
		showAnswer(w, err)
		_ = http.NewResponseController(w).Flush() // send the page before the response is reported, because the process may end soon
		if first {
			answers <- answer{code, err}
		}
	})
}

// refuses returns a 4xx status if the request cannot be the authorization response, regardless of its state, and otherwise 0. why is set if
// the request looks like a response.
func (l *Listener) refuses(r *http.Request) (status int, why string) {
	switch {
	case !slices.Contains(l.hosts(), r.Host):
		// With DNS rebinding, a web page's own host name resolves to 127.0.0.1, and Host contains that name.
		status, why = http.StatusMisdirectedRequest, fmt.Sprintf("its Host header is %q", httpx.Text(r.Host, 100))
	case r.URL.Path != l.path:
		status, why = http.StatusNotFound, fmt.Sprintf("its path is %q, expected %q", httpx.Text(r.URL.Path, 100), l.path)
	case r.Method == http.MethodPost:
		return http.StatusMethodNotAllowed, "it is a POST (response_mode=form_post), expected a redirect"
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, ""
	case !navigation(r.Header):
		return http.StatusForbidden, ""
	}
	if q := r.URL.Query(); !q.Has("code") && !q.Has("error") {
		why = "" // such as a request for /favicon.ico
	}
	return status, why
}

// navigation reports whether the headers are those of a navigation by the user (Fetch Metadata, Sec-Purpose). A request without these
// headers counts as a navigation. A prefetch or a script must not use up the response before the user sees the page.
func navigation(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if purpose := strings.ToLower(h.Get(name)); strings.HasPrefix(purpose, "prefetch") || strings.HasPrefix(purpose, "preview") {
			return false
		}
	}
	mode := h.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// ignore calls Options.Ignored for the first ignored response.
func (l *Listener) ignore(why string) {
	if l.ignored != nil {
		l.ignoring.Do(func() { l.ignored(why) })
	}
}

// hosts returns the Host headers that are valid for the redirect URI.
func (l *Listener) hosts() []string {
	port := strconv.Itoa(l.port)
	hosts := []string{l.authority()}
	if l.host == "localhost" {
		hosts = append(hosts, net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port))
	}
	return hosts
}

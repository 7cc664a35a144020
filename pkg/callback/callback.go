// Package callback receives the answer of the authorization server: on a loopback listener that the browser is redirected to, or as an
// address that a person pastes. It also opens the browser.
//
//	l, err := callback.Listen(ctx, callback.Options{Port: kept})
//	defer l.Close()
//	code, err := l.Wait(ctx, callback.Expect{State: state, Issuer: issuer, IssRequired: announced})
//
// It implements RFC 8252 §7.3 (loopback redirection), RFC 6749 §4.1.2 and RFC 9207 (response.go). A request that is not the answer to this
// attempt is answered and ignored; the wait goes on.
package callback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// ErrPortInUse says that another program listens on the wanted port.
var ErrPortInUse = errors.New("the port is in use")

// Options says where to listen. The zero value is 127.0.0.1, a free port, and /callback.
type Options struct {
	Host string // "127.0.0.1" (default), or "localhost": both address families
	Port int    // 0: a free one
	Path string // empty: "/callback"
}

// Listener holds the port of a redirect address.
type Listener struct {
	host, path string
	port       int
	listeners  []net.Listener
}

// Listen opens the port. It fails with ErrPortInUse when the port is taken.
func Listen(ctx context.Context, o Options) (*Listener, error) {
	l := &Listener{host: o.Host, path: o.Path, port: o.Port}
	if l.host == "" {
		l.host = "127.0.0.1"
	}
	if l.path == "" {
		l.path = "/callback"
	}
	if l.host != "127.0.0.1" && l.host != "localhost" {
		return nil, fmt.Errorf("callback host %q: expected 127.0.0.1 or localhost (RFC 8252 §7.3)", l.host)
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// open listens on 127.0.0.1 and, for localhost, on ::1 too: browsers resolve the name to either. A machine without IPv6 is fine.
func (l *Listener) open(ctx context.Context) error {
	var conf net.ListenConfig
	v4, err := conf.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port)))
	if err != nil {
		return inUse(l.port, err)
	}
	l.port = v4.Addr().(*net.TCPAddr).Port
	l.listeners = []net.Listener{v4}
	if l.host != "localhost" {
		return nil
	}
	v6, err := conf.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(l.port)))
	switch {
	case err == nil:
		l.listeners = append(l.listeners, v6)
	case errors.Is(err, syscall.EADDRINUSE):
		l.Close() // half of localhost would go to a stranger
		return inUse(l.port, err)
	}
	return nil
}

func inUse(port int, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("callback port %d: %w", port, ErrPortInUse)
	}
	return fmt.Errorf("callback port %d: %w", port, err)
}

// Port returns the port that is held.
func (l *Listener) Port() int { return l.port }

// RedirectURI returns the address to register and to send with the authorization request.
func (l *Listener) RedirectURI() string { return "http://" + l.authority() + l.path }

func (l *Listener) authority() string { return net.JoinHostPort(l.host, strconv.Itoa(l.port)) }

// Close frees the port at once.
func (l *Listener) Close() error {
	var err error
	for _, ln := range l.listeners {
		if e := ln.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	return err
}

// Limits of the little server: a stranger on this machine may hold a connection, but not for long, nor make it read much.
const (
	headerTime = 5 * time.Second
	headerSize = 16 << 10
	goodbye    = 2 * time.Second // for the browser to read its page after the answer came
)

// answer is the end of a wait.
type answer struct {
	code string
	err  error
}

// Wait serves the redirect address until the answer to this attempt comes or ctx ends. Requests by another method, host or path, or with
// another state, are answered 4xx and ignored. The answer itself ends the wait, whatever it says: the code, an *AuthorizationError, or
// ErrIssuer when it comes from another authorization server than was asked.
func (l *Listener) Wait(ctx context.Context, e Expect) (string, error) {
	answers := make(chan answer, 1)
	s := &http.Server{
		Handler:           l.handler(e, answers),
		ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: headerTime, IdleTimeout: headerTime, MaxHeaderBytes: headerSize,
		ErrorLog: silent(),
	}
	for _, ln := range l.listeners {
		go s.Serve(ln)
	}
	defer l.Close() // the port is free when Wait returns, even if serving had not begun
	defer s.Close()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answers:
		bye, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		_ = s.Shutdown(bye) // lets the page reach the browser; a slow one is cut off
		return a.code, a.err
	}
}

// handler decides about each request.
func (l *Listener) handler(e Expect, answers chan<- answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		switch {
		case !slices.Contains(l.hosts(), r.Host):
			// A page that made its own name point here (DNS rebinding) shows itself by the name.
			page(w, http.StatusMisdirectedRequest, strangerPage)
			return
		case r.URL.Path != l.path:
			page(w, http.StatusNotFound, strangerPage)
			return
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			page(w, http.StatusMethodNotAllowed, strangerPage)
			return
		}
		code, err := parse(r.URL.RawQuery, e)
		if errors.Is(err, ErrState) {
			page(w, http.StatusBadRequest, strangerPage)
			return
		}
		showAnswer(w, err)
		select {
		case answers <- answer{code, err}:
		default: // the same answer again, while the first one is being told
		}
	})
}

// hosts are the Host headers by which our own redirect address is asked for.
func (l *Listener) hosts() []string {
	port := strconv.Itoa(l.port)
	hosts := []string{l.authority()}
	if l.host == "localhost" {
		hosts = append(hosts, net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port))
	}
	return hosts
}

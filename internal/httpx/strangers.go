package httpx

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxStrangers is the maximum number of open connections without an admitted request.
const maxStrangers = 64

// Strangers limits the number of open connections to a local server. After a request for which the server calls Admit, a connection no
// longer counts. Any user of the machine can open connections. If there are too many, a new connection closes the oldest one, so that the
// process does not run out of file descriptors.
type Strangers struct {
	mu   sync.Mutex
	open []net.Conn // oldest first
}

type connectionKey struct{}

// Watch applies the limit to a server. Call Watch before the server begins to serve.
func (s *Strangers) Watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.add(c)
		case http.StateClosed:
			s.remove(c)
		}
	}
}

// Admit exempts the connection of a request from the limit.
func (s *Strangers) Admit(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		s.remove(c)
	}
}

func (s *Strangers) add(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, c)
	if len(s.open) > maxStrangers {
		s.open[0].Close()
		s.open = s.open[1:]
	}
}

func (s *Strangers) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(other net.Conn) bool { return other == c })
}

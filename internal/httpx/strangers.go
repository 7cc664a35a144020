package httpx

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxStrangers is the number of connections that Strangers keeps.
const maxStrangers = 256

// Strangers are the connections to a local server on which no request was admitted yet. Any user of the machine can open them. If there are
// too many, a new one closes the oldest, so that they do not use up the files that the process can open.
type Strangers struct {
	mu   sync.Mutex
	open []net.Conn // oldest first
}

type connectionKey struct{}

// Watch limits the connections of a server that does not serve yet.
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

// Admit ends the limit for the connection of a request.
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

package httpx

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxStrangers = 512                   // maximum number of open connections without an admitted request
	requestTime  = 50 * time.Millisecond // the time that a connection has at least for its request
)

// Strangers limits the number of open connections to a local server. After a request for which the server calls Admit, a connection no
// longer counts. Any user of the machine can open connections. If there are too many, a new connection closes the oldest one, so that the
// process does not run out of file descriptors. If the oldest one has not had requestTime yet, the server accepts no connection until then.
// Otherwise, a user who opens many connections at once could make the requests of other users fail.
type Strangers struct {
	mu   sync.Mutex
	open []*stranger // oldest first
}

type stranger struct {
	net.Conn
	since  time.Time
	closed bool
}

type strangerKey struct{}

// Watch applies the limit to a server. Call Watch before the server begins to serve.
func (s *Strangers) Watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, strangerKey{}, s.add(c))
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew: // net/http waits for this function before it accepts the next connection
			s.makeRoom()
		case http.StateClosed:
			s.remove(c)
		}
	}
}

// Admit exempts the connection of a request from the limit. If Admit returns false, Strangers has already closed the connection, so that no
// response can arrive.
func (s *Strangers) Admit(r *http.Request) bool {
	c, ok := r.Context().Value(strangerKey{}).(*stranger)
	if !ok {
		return true
	}
	s.remove(c.Conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !c.closed
}

func (s *Strangers) add(c net.Conn) *stranger {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := &stranger{Conn: c, since: time.Now()}
	s.open = append(s.open, added)
	return added
}

// makeRoom closes the oldest connection if there are too many.
func (s *Strangers) makeRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.open) > maxStrangers {
		oldest := s.open[0]
		if rest := requestTime - time.Since(oldest.since); rest > 0 {
			s.mu.Unlock()
			time.Sleep(rest)
			s.mu.Lock()
			continue // the connection may have been admitted
		}
		oldest.closed = true
		oldest.Close()
		s.open = s.open[1:]
	}
}

func (s *Strangers) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(other *stranger) bool { return other.Conn == c })
}

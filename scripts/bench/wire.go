package main

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// wire opens listeners that simulate a network with a round-trip time. A client receives the first byte of the response after two round
// trips: one round trip to connect, and one for the request.
type wire struct {
	roundTrip atomic.Int64 // round-trip time of new connections, a time.Duration
}

func (w *wire) far(d time.Duration) { w.roundTrip.Store(int64(d)) }

func (w *wire) listen(network, address string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
	return &wireListener{ln, w}, err
}

type wireListener struct {
	net.Listener
	wire *wire
}

func (l *wireListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	d := time.Duration(l.wire.roundTrip.Load())
	if err != nil || d == 0 {
		return c, err
	}
	f := &farConn{Conn: c, roundTrip: d, connected: time.Now().Add(d), queue: make(chan packet, 1024)}
	go f.deliver()
	return f, nil
}

// farConn delays all data that the server writes by one round trip.
type farConn struct {
	net.Conn
	roundTrip time.Duration
	connected time.Time // earliest time at which a distant client could send its first byte
	queue     chan packet

	mu     sync.Mutex
	closed bool
}

type packet struct {
	due  time.Time
	data []byte
}

func (c *farConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	due := time.Now().Add(c.roundTrip)
	if first := c.connected.Add(c.roundTrip); due.Before(first) {
		due = first
	}
	c.queue <- packet{due, slices.Clone(p)}
	return len(p), nil
}

// Close closes the connection after all data has been delivered.
func (c *farConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	return nil
}

func (c *farConn) deliver() {
	defer c.Conn.Close()
	for p := range c.queue {
		time.Sleep(time.Until(p.due))
		if _, err := c.Conn.Write(p.data); err != nil {
			break
		}
	}
	for range c.queue { // discard data from the server until the server closes the connection
	}
}

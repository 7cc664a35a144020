package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxOverhead  = 8 << 20 // bytes that a connection may receive in overheadTime, besides the bodies of responses
	overheadTime = time.Minute
	maxBuffer    = 4 << 20 // bytes of one body that an HTTP/2 connection may receive before the caller reads them
	bodyWeight   = 64      // bytes that a connection may receive for each byte of a body; a server may send each byte in a frame and a TLS record of its own
)

// ErrOverhead is the error of a connection on which a server sends too much that belongs to no response body.
var ErrOverhead = errors.New("the server sent more than 8 MiB in a minute that belong to no response body")

// errRepeated is the error of a request without a body that net/http would send again without a limit.
var errRepeated = fmt.Errorf("the server reset the request on %d connections", maxSends)

// meteredConn is a connection that fails if the server sends too much that belongs to no body, such as HTTP/2 frames without data, or
// compressed blocks that contain nothing. Without this limit, a server could keep the client busy for as long as a stream is open.
type meteredConn struct {
	net.Conn
	open     atomic.Int64 // bodies that are open, and those in closed
	closed   atomic.Int64 // bodies that were closed before their end since overhead began to count; their bytes arrived, but nobody read them
	overhead atomic.Int64 // bytes received, less those that account has subtracted
	since    time.Time    // when overhead began to count
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.overhead.Add(int64(n)) <= maxOverhead+maxBuffer*c.open.Load() {
		return n, err
	}
	if time.Since(c.since) < overheadTime {
		return 0, ErrOverhead
	}
	c.since = time.Now()
	c.overhead.Store(0)
	c.open.Add(-c.closed.Swap(0))
	return n, err
}

// account subtracts n bytes that the connection was expected to receive.
func (c *meteredConn) account(n int64) {
	if c.overhead.Add(-n) < 0 {
		c.overhead.Store(0)
	}
}

// dialMetered is dial with a limit of the overhead.
func dialMetered(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &meteredConn{Conn: conn, since: time.Now()}, nil
}

// meterOf returns the meter of a connection, which may be below TLS.
func meterOf(c net.Conn) *meteredConn {
	switch c := c.(type) {
	case *meteredConn:
		return c
	case *tls.Conn:
		return meterOf(c.NetConn())
	}
	return new(meteredConn) // a connection of another dialer has no meter
}

// exchange is a request and its response. net/http calls gotConn in the goroutine of RoundTrip, so that no field needs a lock.
type exchange struct {
	conn   *meteredConn
	dialed int // number of new connections that carried the request
	cancel context.CancelFunc
	read   atomic.Bool // whether the caller has read the body to its end
}

// gotConn is called each time net/http has a connection for the request. If net/http sends a request without a body again and again, gotConn
// cancels the request.
func (e *exchange) gotConn(i httptrace.GotConnInfo) {
	e.conn.open.Add(-1)
	e.conn = meterOf(i.Conn)
	e.conn.open.Add(1)
	e.conn.account(maxHeader)
	if !i.Reused {
		e.dialed++
	}
	if e.dialed > maxSends {
		e.cancel()
	}
}

// end is called when the body is closed, or if there is no response.
func (e *exchange) end() {
	if e.read.Load() {
		e.conn.open.Add(-1)
	} else {
		e.conn.closed.Add(1)
	}
	e.cancel()
}

// roundTrip sends a request with sendOnce. The bytes that the caller reads from the body are subtracted from the overhead of the connection.
func roundTrip(t *http.Transport, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	e := &exchange{conn: new(meteredConn), cancel: cancel}
	res, err := sendOnce(t, req.WithContext(ctx), e.gotConn)
	if err != nil {
		if e.end(); e.dialed > maxSends {
			err = errRepeated
		}
		return nil, err
	}
	res.Body = &meteredBody{ReadCloser: res.Body, exchange: e}
	return res, nil
}

// meteredBody is the body of a response.
type meteredBody struct {
	io.ReadCloser
	*exchange
	once sync.Once
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.conn.account(bodyWeight * int64(n)); err == io.EOF {
		b.read.Store(true)
	}
	return n, err
}

func (b *meteredBody) Close() error {
	defer b.once.Do(b.end)
	return b.ReadCloser.Close()
}

package httpx

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A request with a body is sent again only if the server says that it did not process the request (RFC 9113 §8.7).
func TestSendOnce(t *testing.T) {
	const (
		rst    = 3
		goAway = 7
	)
	refused, protocol, internal, cancel := []byte{0, 0, 0, 7}, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 2}, []byte{0, 0, 0, 8}
	for _, tt := range []struct {
		name    string
		kind    byte // type of the frame that answers a request
		payload []byte
		times   int64 // number of requests that the server answers so; then it sends a response
		sent    int64
		err     string
	}{
		{"no error", rst, nil, 0, 1, ""},
		{"refused", rst, refused, 1, 2, ""},
		{"always refused", rst, refused, 1000, maxSends, "REFUSED_STREAM"},
		{"shut down before the request", goAway, make([]byte, 8), 1, 2, ""},
		{"protocol error", rst, protocol, 1000, 1, "stream error: stream ID 1; PROTOCOL_ERROR; received from peer"},
		{"internal error", rst, internal, 1000, 1, "INTERNAL_ERROR"},
		{"canceled", rst, cancel, 1000, 1, "CANCEL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var received atomic.Int64
			url, c := newFrameServer(t, func(conn io.Writer, stream uint32) {
				if received.Add(1) > tt.times {
					writeFrame(conn, 1, 5, stream, []byte{0x88}) // HEADERS with :status 200 that end the stream
					return
				}
				if tt.kind == goAway {
					stream = 0
				}
				writeFrame(conn, tt.kind, 0, stream, tt.payload)
			})
			res, err := c.Post(url, "text/plain", strings.NewReader("body"))
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.HasSuffix(err.Error(), tt.err) && !strings.Contains(err.Error(), tt.err+";") {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if n := received.Load(); n != tt.sent {
				t.Errorf("the server received %d requests, want %d", n, tt.sent)
			}
		})
	}
}

// If an HTTP/2 server resets a request without a body with PROTOCOL_ERROR, net/http alone sends it again on a new connection, without a limit.
func TestSendsWithoutABodyAreBounded(t *testing.T) {
	var received atomic.Int64
	url, c := newFrameServer(t, func(conn io.Writer, stream uint32) {
		received.Add(1)
		writeFrame(conn, 3, 0, stream, []byte{0, 0, 0, 1})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if _, err := c.Do(req); !errors.Is(err, errRepeated) {
		t.Errorf("%v, want %v", err, errRepeated)
	}
	if n := received.Load(); n > maxSends {
		t.Errorf("the server received %d requests, want at most %d", n, maxSends)
	}
}

// newFrameServer starts an HTTP/2 server that calls answer for each request. The result is its URL, and a client that trusts the server.
func newFrameServer(t *testing.T, answer func(conn io.Writer, stream uint32)) (string, *http.Client) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(s), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveFrames(conn, answer)
		}
	}()
	c, err := New(Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return "https://" + l.Addr().String(), c
}

// serveFrames reads the frames of a connection (RFC 9113 §4.1), and calls answer at the end of each request.
func serveFrames(conn net.Conn, answer func(conn io.Writer, stream uint32)) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := in.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return
	}
	writeFrame(conn, 4, 0, 0, nil) // SETTINGS
	for {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		if _, err := in.Discard(int(binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))); err != nil {
			return
		}
		switch kind, flags := head[3], head[4]; {
		case kind == 4 && flags&1 == 0: // SETTINGS that are not acknowledged yet
			writeFrame(conn, 4, 1, 0, nil)
		case kind <= 1 && flags&1 != 0: // the end of a request
			answer(conn, binary.BigEndian.Uint32(head[5:]))
		}
	}
}

func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload []byte) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	w.Write(append(frame, payload...))
}

// With the header Idempotency-Key, net/http would send a request again after any lost connection.
func TestSendOnceWithAnIdempotencyKey(t *testing.T) {
	var received atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if received.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer s.Close()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		req, _ := http.NewRequest(http.MethodPost, s.URL, strings.NewReader("body"))
		req.Header.Set("Idempotency-Key", "k-1")
		if res, err := c.Do(req); err == nil {
			res.Body.Close()
		}
	}
	if n := received.Load(); n != 2 {
		t.Errorf("the server received %d requests, want 2", n)
	}
}

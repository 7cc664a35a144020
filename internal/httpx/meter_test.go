package httpx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A server sends much, but no byte of a body arrives: HTTP/2 frames without data, or compressed blocks that contain nothing. The connection fails.
func TestConnectionsOfNothing(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    byte
		payload []byte
	}{
		{"empty DATA", 0, nil},
		{"SETTINGS", 4, bytes.Repeat([]byte{0, 3, 0, 0, 0, 100}, 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, c := newFrameServer(t, func(conn io.Writer, stream uint32) {
				if writeFrame(conn, 1, 4, stream, []byte{0x88}); tt.kind != 0 { // HEADERS with :status 200
					stream = 0
				}
				var frames bytes.Buffer
				for range 1000 {
					writeFrame(&frames, tt.kind, 0, stream, tt.payload)
				}
				go func() {
					for { // until the client closes the connection
						if _, err := conn.Write(frames.Bytes()); err != nil {
							return
						}
					}
				}()
			})
			readNothing(t, c, url)
		})
	}
	t.Run("gzip", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
			for r.Context().Err() == nil {
				w.Write(bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), 1000)) // stored blocks of length 0
			}
		}))
		defer s.Close()
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		readNothing(t, c, s.URL)
	})
}

// readNothing reads a body that contains nothing.
func readNothing(t *testing.T, c *http.Client, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n > 0 || !errors.Is(err, ErrOverhead) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// newHTTP2Server returns a client and the URL of an HTTP/2 server that answers with f.
func newHTTP2Server(t *testing.T, f http.HandlerFunc) (*http.Client, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(f)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(s), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return c, s.URL
}

// A connection carries large bodies that nobody reads for a moment, such as those of parallel calls. It does not fail.
func TestBodiesThatWait(t *testing.T) {
	const bodies, size = 8, 5 << 20
	c, url := newHTTP2Server(t, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, size)) })
	first, err := c.Get(url) // opens the connection
	if err != nil {
		t.Fatal(err)
	}
	all := []*http.Response{first}
	var received int64
	for range bodies - 1 {
		res, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, res)
	}
	conn := first.Body.(*meteredBody).conn
	for received <= maxOverhead && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
		received = conn.overhead.Load()
	}
	var wait sync.WaitGroup
	for _, res := range all {
		wait.Go(func() {
			defer res.Body.Close()
			if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil || res.Body.(*meteredBody).conn != conn {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	wait.Wait()
	if n := conn.open.Load(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
}

// A server writes a body in pieces of one byte, each in an HTTP/2 frame and a TLS record of its own. The connection does not fail.
func TestBodiesInPieces(t *testing.T) {
	const pieces = 600_000
	url, c := newFrameServer(t, func(conn io.Writer, stream uint32) {
		writeFrame(conn, 1, 4, stream, []byte{0x88}) // HEADERS with :status 200
		for range pieces {
			writeFrame(conn, 0, 0, stream, []byte("7"))
		}
		writeFrame(conn, 0, 1, stream, nil) // END_STREAM
	})
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != pieces || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A program cancels large requests within a minute, before it has read their bodies. Another body on the same connection does not fail.
func TestCancelledBodies(t *testing.T) {
	const bodies, size = 6, 6 << 20
	done := make(chan struct{})
	c, url := newHTTP2Server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Write(make([]byte, size))
			return
		}
		w.(http.Flusher).Flush()
		<-done
	})
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	conn := res.Body.(*meteredBody).conn
	for range bodies {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/large", nil)
		before := conn.overhead.Load()
		large, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); conn.overhead.Load() < before+3<<20 && time.Since(start) < 10*time.Second; {
			time.Sleep(time.Millisecond)
		}
		cancel()
		large.Body.Close()
	}
	close(done)
	if _, err := io.Copy(io.Discard, res.Body); err != nil || conn.overhead.Load() < maxOverhead {
		t.Errorf("%v after %d bytes of overhead", err, conn.overhead.Load())
	}
}

package httpx

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// watch starts a server with the limit, and returns a function that opens a connection to it.
func watch(t *testing.T, s *Strangers, h http.HandlerFunc) (connect func(said string) net.Conn) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	s.Watch(server.Config)
	server.Start()
	t.Cleanup(server.Close)
	return func(said string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, said)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		return c
	}
}

// Admit reports whether the response can arrive. It cannot after Strangers has closed the connection.
func TestAdmit(t *testing.T) {
	var s Strangers
	begun, release, admitted := make(chan bool), make(chan bool), make(chan bool, 1)
	connect := watch(t, &s, func(_ http.ResponseWriter, r *http.Request) {
		begun <- true
		<-release
		admitted <- s.Admit(r)
	})
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	kept := connect("")
	for range 2 { // an admitted connection can send more requests
		_, _ = io.WriteString(kept, request)
		<-begun
		release <- true
		if !<-admitted {
			t.Error("the request of an open connection was not admitted")
		}
	}
	closed := connect(request)
	<-begun
	for range maxStrangers {
		connect("")
	}
	if _, err := closed.Read(make([]byte, 1)); err == nil {
		t.Error("the connection was answered")
	}
	release <- true
	if <-admitted {
		t.Error("the request of a closed connection was admitted")
	}
}

// However many connections are opened, each has some time to send its request.
func TestStrangersHaveTime(t *testing.T) {
	var s Strangers
	connect := watch(t, &s, func(http.ResponseWriter, *http.Request) {})
	start := time.Now()
	first := connect("")
	go func() { // until the server closes the first one
		for range 10 * maxStrangers {
			if c, err := net.Dial("tcp", first.RemoteAddr().String()); err == nil {
				t.Cleanup(func() { c.Close() })
			}
		}
	}()
	if _, err := first.Read(make([]byte, 1)); err == nil || time.Since(start) < requestTime {
		t.Errorf("closed after %s: %v", time.Since(start), err)
	}
}

package httpx

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A neighbour fills the queue of a server on 127.0.0.1, and listens on the same port of ::1. The neighbour gets no connection.
func TestFullQueueLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(address.(*syscall.SockaddrInet4).Port)
	thief, err := net.Listen("tcp6", "[::1]:"+port)
	if err != nil {
		t.Log("no ::1 on this machine: ", err)
		return
	}
	defer thief.Close()
	for range 10 { // until no more connections fit into the queue
		c, err := net.DialTimeout("tcp4", "127.0.0.1:"+port, 300*time.Millisecond)
		if err != nil {
			break
		}
		defer c.Close()
	}
	if c, err := dial(t.Context(), "tcp", "localhost:"+port); err == nil {
		t.Errorf("connected to %s", c.RemoteAddr())
		c.Close()
	}
}

package keystore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// The session bus must belong to this user or to root. mcpauth sends nothing to the bus of another user, and never uses the file store
// instead.
func TestBusOfAStranger(t *testing.T) {
	folder, err := os.MkdirTemp("/tmp", "b") // a short path, because sockets need one
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	at := func(name string) string { return filepath.Join(folder, name) }
	listen := func(uid int, network, address string) net.Listener {
		t.Helper()
		l, err := asUser(uintptr(uid), func() (net.Listener, error) { return net.Listen(network, address) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	me := os.Geteuid()
	listen(me, "unix", at("mine"))
	mine, err := dbus.Dial("unix:path=" + at("mine"))
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	if err := checkBus(mine, me); err != nil {
		t.Errorf("the bus of this user: %v", err)
	}
	if err := checkBus(mine, me+1); errors.Is(err, ErrForeignBus) == (me == 0) {
		t.Errorf("a bus of user %d for another user: %v", me, err)
	}
	// The D-Bus library sends the content of a noncefile to the host.
	if err := os.WriteFile(at("key"), []byte("private key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"tcp:host=127.0.0.1,port=%d", "nonce-tcp:host=127.0.0.1,port=%d,noncefile=" + at("key"),
		"unix:path=" + at("missing") + ";nonce-tcp:host=127.0.0.1,port=%d,noncefile=" + at("key"), "autolaunch:;tcp:host=127.0.0.1,port=%d"} {
		tcp := listen(me, "tcp", "127.0.0.1:0")
		refusesBus(t, fmt.Sprintf(address, tcp.Addr().(*net.TCPAddr).Port), tcp)
	}
	for _, address := range []string{"unixexec:path=touch,argv1=" + at("started"), "launchd:env=X", "autolaunch:scope=*user", "UNIX:path=" + at("mine"), ";:"} {
		refusesBus(t, address, listen(me, "tcp", "127.0.0.1:0"))
	}
	for _, address := range []string{"disabled:", "/dev/null"} { // the user wants no bus
		if err := checkAddress(address, folder); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := os.Stat(at("started")); err == nil {
		t.Error("unixexec: started a program")
	}
	if me != 0 {
		t.Log("only root can listen as another user; CI runs the test as root in its container")
		return
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	theirs := listen(12345, "unix", at("theirs"))
	if err := os.Chown(at("theirs"), 0, 0); err != nil { // the owner of the process counts, not that of the socket
		t.Fatal(err)
	}
	refusesBus(t, "unix:path="+at("theirs"), theirs)
	refusesBus(t, "unix:path="+at("missing")+";unix:path="+at("theirs2"), listen(12345, "unix", at("theirs2")))
	abstract := listen(12345, "unix", "@"+at("abstract"))
	refusesBus(t, "unix:abstract="+at("abstract"), abstract)
	// The folder of the other user's bus is closed, as /run/user/UID is.
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+at("mine"))
	_, err = asUser(12345, func() (net.Listener, error) { return nil, guardBus() })
	if !errors.Is(err, ErrForeignBus) {
		t.Errorf("a folder that this user cannot enter: %v", err)
	}
}

// refusesBus checks that a store refuses the session bus at an address, and that the listener receives nothing.
func refusesBus(t *testing.T, address string, l net.Listener) {
	t.Helper()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	received := recordFrom(l)
	for _, backend := range []string{Auto, Keychain} {
		items, p := systemKeychain()
		s := openTest(t, t.TempDir(), backend, items, p)
		_, getErr := s.Get(t.Context(), testKey())
		_, putErr := s.tryPut(t, testKey(), "token")
		for op, err := range map[string]error{"get": getErr, "put": putErr, "writable": s.Writable(t.Context(), testKey())} {
			if !errors.Is(err, ErrForeignBus) {
				t.Errorf("%s, %s, %s: %v", address, backend, op, err)
			}
		}
		if found, _ := filepath.Glob(filepath.Join(s.dir, "keys", "*")); len(found) != 0 {
			t.Errorf("%s, %s: the file store contains %q", address, backend, found)
		}
	}
	if data := received(t); data != "" {
		t.Errorf("%s: the bus received %q", address, data)
	}
}

// recordFrom accepts connections, and closes them after the first read. The result is a function that returns the data of all connections.
func recordFrom(l net.Listener) func(t *testing.T) string {
	const end = "end of the test"
	received := make(chan string, 1)
	go func() {
		all := ""
		for !strings.HasSuffix(all, end) {
			conn, err := l.Accept()
			if err != nil {
				all += err.Error()
				break
			}
			data := make([]byte, 1000)
			n, _ := conn.Read(data)
			conn.Close()
			all += string(data[:n])
		}
		received <- strings.TrimSuffix(all, end)
	}()
	return func(t *testing.T) string {
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err == nil {
			_, err = conn.Write([]byte(end))
			conn.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return <-received
	}
}

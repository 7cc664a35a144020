package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// DBUS_SESSION_BUS_ADDRESS names the session bus of another user, for example after su or sudo -E. No command sends anything to this bus, opens
// a browser or uses the file store instead. The command in the hint works.
func TestSessionBusOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can listen as another user; CI runs the test as root in its container")
		return
	}
	u := newUser(t)
	if err := os.Chmod(u.home, 0o777); err != nil {
		t.Fatal(err)
	}
	bus, err := listenAs(12345, filepath.Join(u.home, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := os.Chmod(u.home, 0o700); err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 1)
	go func() {
		all := ""
		for !strings.HasSuffix(all, "end") {
			conn, err := bus.Accept()
			if err != nil {
				break
			}
			data := make([]byte, 1000)
			n, _ := conn.Read(data)
			conn.Close()
			all += string(data[:n])
		}
		received <- all
	}()
	u.env = append(u.env, "MCPAUTH_KEYSTORE=auto", "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(u.home, "bus"))
	hint := "mcpauth login " + u.good.URL() + " --name m --keystore file"
	for _, args := range [][]string{{"login", u.good.URL(), "--name", "m"}, {"login", u.good.URL(), "--name", "m", "--json"}, {"login", u.good.URL(), "--name", "m", "--keystore", "keychain"}} {
		u.must(t, exitKeystore, args...)
		if s := u.stderr.String(); !strings.Contains(s, "it belongs to user 12345, but mcpauth runs as user 0") || !strings.Contains(s, "unset the variable DBUS_SESSION_BUS_ADDRESS, or") || !strings.Contains(s, hint) {
			t.Errorf("%q: %s", args, s)
		}
	}
	if _, err := os.Stat(filepath.Join(u.home, ".local", "share", "mcpauth")); err == nil || u.good.Count("requests")+u.good.Count("authorize")+u.good.Count("token") != 0 {
		t.Errorf("%d requests, file store: %v", u.good.Count("requests"), err)
	}
	u.must(t, exitDone, strings.Fields(hint)[1:]...)
	u.must(t, exitDone, "call", "m", "whoami") // the login in the file store needs no bus
	last, err := net.Dial("unix", filepath.Join(u.home, "bus"))
	if err == nil {
		_, err = last.Write([]byte("end"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if data := <-received; data != "end" {
		t.Errorf("the bus received %q", data)
	}
}

// A nonce-tcp address of DBUS_SESSION_BUS_ADDRESS names a file, which the D-Bus library sends to a host. mcpauth does not connect to such a bus.
func TestSessionBusNamesAFile(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	key := filepath.Join(u.home, "id_ed25519")
	if err := os.WriteFile(key, []byte("private key"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	u.env = append(u.env, "MCPAUTH_KEYSTORE=auto", "DBUS_SESSION_BUS_ADDRESS=nonce-tcp:host=127.0.0.1,port="+port+",noncefile="+key)
	for _, args := range [][]string{{"token", u.good.URL()}, {"login", u.good.URL()}} {
		u.must(t, exitKeystore, args...)
		if !strings.Contains(u.stderr.String(), "not a Unix socket") {
			t.Errorf("%q: %s", args, u.stderr.String())
		}
	}
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Second / 10)); err != nil {
		t.Fatal(err)
	}
	if conn, err := l.Accept(); err == nil {
		data, _ := io.ReadAll(conn)
		t.Errorf("mcpauth connected to the bus and sent %q", data)
	}
}

// listenAs listens on a Unix socket as another user. Only the thread of this function changes its user.
func listenAs(uid uintptr, path string) (net.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uid, same); errno != 0 {
		return nil, errno
	}
	defer syscall.RawSyscall(syscall.SYS_SETRESUID, same, 0, same)
	return net.Listen("unix", path)
}

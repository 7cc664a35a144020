//go:build !darwin && !windows

// Access to the Secret Service of Linux and BSD desktops (https://specifications.freedesktop.org/secret-service/) through the D-Bus session
// bus. Unlike the D-Bus library, mcpauth never starts a session bus.

package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/godbus/dbus/v5"
)

const (
	secretsName = "org.freedesktop.secrets"
	collections = "/org/freedesktop/secrets/collection/login"
)

func systemKeychain() (itemStore, platform) {
	return goKeyring{}, platform{maxSize: maxSizeSecretService, available: secretsAvailable, isLocked: secretsLocked, guard: guardBus,
		classify: func(op string, err error) error { return classifySecretService(op, replyName(err), err) },
		vanished: func(err error) bool { return isGone(replyName(err)) }}
}

// replyName returns the name of a D-Bus error, or "" if err is not one.
func replyName(err error) string {
	if reply, ok := errors.AsType[dbus.Error](err); ok {
		return reply.Name
	}
	return ""
}

// guardBus returns an error if the keychain must not be used, because there is no session bus that mcpauth trusts.
func guardBus() error {
	_, err := sessionBus()
	return err
}

// sessionBus returns the connection to the session bus, which go-keyring uses, too. The environment may name the bus of another user, for
// example after su or sudo -E, or a socket that another user has created at an old address. The Secret Service of that user would get the
// tokens. Therefore sessionBus checks the user of the bus before it sends anything, and again on the connection that go-keyring will use.
func sessionBus() (*dbus.Conn, error) {
	if conn := checkedBus.Load(); conn != nil && conn.Connected() {
		return conn, nil
	}
	if err := checkAddress(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), filepath.Join("/run/user", strconv.Itoa(os.Getuid()))); err != nil {
		return nil, err
	}
	silent, err := dbus.SessionBusPrivateNoAutoStartup()
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: %w", ErrForeignBus, err)
	}
	if err != nil {
		return nil, err
	}
	err = checkBus(silent, os.Geteuid())
	silent.Close()
	if err != nil {
		return nil, err
	}
	conn, err := dbus.SessionBus()
	if err != nil {
		return nil, err
	}
	if err := checkBus(conn, os.Geteuid()); err != nil {
		conn.Close()
		return nil, err
	}
	checkedBus.Store(conn)
	return conn, nil
}

// checkedBus is the connection that sessionBus has checked. The D-Bus library uses it until it ends.
var checkedBus atomic.Pointer[dbus.Conn]

// checkBus returns an error if the process at the other end of a connection belongs neither to the user nor to root.
func checkBus(conn *dbus.Conn, uid int) error {
	socket, ok := socketOf(conn)
	if !ok {
		return fmt.Errorf("%w: it is not a Unix socket, so that its user is unknown", ErrForeignBus)
	}
	peer, err := peerOfSocket(socket)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // not on Linux
		return nil
	case err != nil:
		return fmt.Errorf("%w: its user is unknown: %w", ErrForeignBus, err)
	case peer != 0 && int(peer) != uid:
		return fmt.Errorf("%w: it belongs to user %d, but mcpauth runs as user %d", ErrForeignBus, peer, uid)
	}
	return nil
}

// socketOf returns the Unix socket of a connection. The D-Bus library has no method for that, so socketOf reads a private field.
func socketOf(conn *dbus.Conn) (socket syscall.Conn, ok bool) {
	field := reflect.ValueOf(conn).Elem().FieldByName("transport")
	if !field.IsValid() {
		return nil, false
	}
	socket, ok = reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Interface().(syscall.Conn)
	return socket, ok
}

// checkAddress returns an error unless an address of the session bus names only Unix sockets. For a nonce-tcp address, the D-Bus library would
// send a file to the host of the address, before checkBus can refuse the bus. If there is no address, systemd must have created a bus in the
// runtime folder.
func checkAddress(address, runtimeDir string) error {
	if address == "" || address == "autolaunch:" {
		if _, err := os.Stat(filepath.Join(runtimeDir, "bus")); err != nil {
			return fmt.Errorf("%w: no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not set, %s/bus does not exist)", ErrUnavailable, runtimeDir)
		}
		return nil
	}
	if address == "disabled:" || !strings.Contains(address, ":") { // such as /dev/null, which images of headless browsers set
		return fmt.Errorf("%w: DBUS_SESSION_BUS_ADDRESS names no bus", ErrUnavailable)
	}
	for part := range strings.SplitSeq(address, ";") {
		if !strings.HasPrefix(part, "unix:") {
			return fmt.Errorf("%w: DBUS_SESSION_BUS_ADDRESS names a bus that is not a Unix socket, so that its user is unknown", ErrForeignBus)
		}
	}
	return nil
}

// secretsAvailable asks the bus whether a program provides the Secret Service or can be started to provide it. No program is started.
func secretsAvailable() error {
	conn, err := sessionBus()
	if err != nil {
		return err
	}
	var owned bool
	if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, secretsName).Store(&owned); err != nil || owned {
		return err
	}
	var startable []string
	if err := conn.BusObject().Call("org.freedesktop.DBus.ListActivatableNames", 0).Store(&startable); err != nil {
		return err
	}
	if !slices.Contains(startable, secretsName) {
		return fmt.Errorf("%w: no program on the session bus provides %s", ErrUnavailable, secretsName)
	}
	return nil
}

// secretsLocked reports whether the collection that go-keyring uses is locked.
func secretsLocked() bool {
	conn, err := sessionBus()
	if err != nil {
		return false
	}
	for _, path := range []dbus.ObjectPath{collections, "/org/freedesktop/secrets/aliases/default"} {
		if v, err := conn.Object(secretsName, path).GetProperty("org.freedesktop.Secret.Collection.Locked"); err == nil {
			locked, _ := v.Value().(bool)
			return locked
		}
	}
	return false
}

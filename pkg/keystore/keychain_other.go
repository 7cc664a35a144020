//go:build !darwin && !windows

// Access to the Secret Service of Linux and BSD desktops (https://specifications.freedesktop.org/secret-service/) through the D-Bus session
// bus. Unlike the D-Bus library, mcpauth never starts a session bus.

package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/godbus/dbus/v5"
)

const (
	secretsName = "org.freedesktop.secrets"
	collections = "/org/freedesktop/secrets/collection/login"
)

func systemKeychain() (itemStore, platform) {
	return goKeyring{}, platform{maxSize: maxSizeSecretService, available: secretsAvailable, isLocked: secretsLocked, guard: sessionBus,
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

// sessionBus checks that the environment names a session bus, or that systemd has created one in the runtime folder.
func sessionBus() error {
	return busIn(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), filepath.Join("/run/user", strconv.Itoa(os.Getuid())))
}

func busIn(address, runtimeDir string) error {
	if address != "" && address != "autolaunch:" {
		return nil
	}
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(filepath.Join(runtimeDir, name)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not set, %s/bus does not exist)", ErrUnavailable, runtimeDir)
}

// secretsAvailable asks the bus whether a program provides the Secret Service or can be started to provide it. No program is started.
func secretsAvailable() error {
	if err := sessionBus(); err != nil {
		return err
	}
	conn, err := dbus.SessionBus()
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
	conn, err := dbus.SessionBus()
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

//go:build secretservice && linux

package keystore

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// openReal is a store over the session's Secret Service. scripts/secretservice starts one for each test here.
func openReal(t *testing.T) *testStore {
	t.Helper()
	r, p := systemKeychain()
	return openTest(t, t.TempDir(), Keychain, r, p)
}

// items counts what the Secret Service holds for us.
func items(t *testing.T) int {
	t.Helper()
	conn, err := dbus.SessionBus()
	if err != nil {
		t.Fatal(err)
	}
	var unlocked, locked []dbus.ObjectPath
	if err := conn.Object(secretsName, "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.SearchItems", 0,
		map[string]string{"service": service}).Store(&unlocked, &locked); err != nil {
		t.Fatal(err)
	}
	return len(unlocked) + len(locked)
}

func TestSecretService(t *testing.T) {
	for _, n := range []int{1, 100, 4 << 10, 64 << 10, 1 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, before := openReal(t), items(t)
			if err := s.Writable(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
			first := s.put(t, testKey(), text(n))
			s.want(t, testKey(), text(n))
			second := s.put(t, testKey(), text(n+1))
			s.want(t, testKey(), text(n+1))
			if second.Generation != first.Generation+1 {
				t.Errorf("generation %d after %d", second.Generation, first.Generation)
			}
			if err := s.Delete(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
			_, err := s.Get(t.Context(), testKey())
			wantErr(t, err, ErrNotFound)
			if after := items(t); after != before {
				t.Errorf("%d items are left", after-before)
			}
		})
	}
}

// Readers beside a writer find an item, and it is gone before they have read it: they see the record before or after it all the same.
// Each reader is a store of its own, as another process is.
func TestSecretServiceReaders(t *testing.T) {
	s := openReal(t)
	r, p := systemKeychain()
	readersBesideAWriter(t, s, func() *testStore { return openTest(t, s.dir, Keychain, r, p) })
}

// A locked keyring is locked: not absent, not asked for with a prompt that nobody sees.
func TestSecretServiceLocked(t *testing.T) {
	s := openReal(t)
	s.put(t, testKey(), "x")
	conn, err := dbus.SessionBus()
	if err != nil {
		t.Fatal(err)
	}
	var done []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := conn.Object(secretsName, "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.Lock", 0,
		[]dbus.ObjectPath{collections}).Store(&done, &prompt); err != nil || len(done) != 1 {
		t.Fatalf("lock: %v, %v", done, err)
	}
	s.keychain.timeout = 3 * time.Second
	s.nextProcess()
	_, err = s.Get(t.Context(), testKey())
	wantErr(t, err, ErrLocked)
	_, err = s.tryPut(t, testKey(), "y")
	wantErr(t, err, ErrLocked)
	wantErr(t, s.Writable(t.Context(), testKey()), ErrLocked)
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("the index is read without the keyring: %v, %v", list, err)
	}
}

// The service ends in mid-run: an error that is no absence. The bus may start another one, which is locked.
func TestSecretServiceVanishes(t *testing.T) {
	s := openReal(t)
	s.put(t, testKey(), "x")
	s.keychain.timeout = 3 * time.Second
	conn, err := dbus.SessionBus()
	if err != nil {
		t.Fatal(err)
	}
	var pid uint32
	if err := conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, secretsName).Store(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.nextProcess()
	_, err = s.Get(t.Context(), testKey())
	var e *Error
	if err == nil || errors.Is(err, ErrNotFound) || !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
	if _, err := s.tryPut(t, testKey(), "y"); err == nil {
		t.Error("written to nothing")
	}
}

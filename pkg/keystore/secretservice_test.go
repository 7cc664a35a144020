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

// openReal opens a store on the session's Secret Service. scripts/secretservice starts a service for each test.
func openReal(t *testing.T) *testStore {
	t.Helper()
	r, p := systemKeychain()
	return openTest(t, t.TempDir(), Keychain, r, p)
}

// items returns the number of items of mcpauth in the Secret Service.
func items(t *testing.T) int {
	t.Helper()
	conn, err := dbus.SessionBus()
	if err != nil {
		t.Fatal(err)
	}
	var unlocked, locked []dbus.ObjectPath
	if err := conn.Object(secretsName, "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.SearchItems", 0,
		map[string]string{"service": serviceName}).Store(&unlocked, &locked); err != nil {
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

// While a writer replaces records, a reader may find an item that is deleted before it is read. The reader must still get the old or the
// new record. Each reader has a separate store, like another process.
func TestSecretServiceReaders(t *testing.T) {
	s := openReal(t)
	r, p := systemKeychain()
	readersBesideAWriter(t, s, func() *testStore { return openTest(t, s.dir, Keychain, r, p) })
}

// A locked keyring leads to ErrLocked. It does not lead to ErrNotFound or to a prompt that nobody sees.
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

// If the Secret Service ends, Get does not return ErrNotFound. The bus may start another service, which is locked.
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

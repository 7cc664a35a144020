package keystore

import (
	"os"
	"path/filepath"
	"testing"
)

// Put and Writable delete the temporary files of killed writers.
func TestFilesOfKilledWritersAreDeleted(t *testing.T) {
	s := openTest(t, t.TempDir(), File, nil, keyless())
	s.put(t, testKey(), "a")
	killed := filepath.Join(s.o.Dir, testKey().name()+".credential.abcdefghijkl.tmp")
	for name, operation := range map[string]func() error{
		"put":      func() error { _, err := s.tryPut(t, testKey(), "b"); return err },
		"writable": func() error { return s.Writable(t.Context(), testKey()) },
	} {
		if err := os.WriteFile(killed, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := operation(); err != nil {
			t.Fatal(name, err)
		}
		if left := files(t, s.o.Dir); len(left) != 1 {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

// Writable waits while another process holds the lock of the credential, because that process may be writing.
func TestWritableWaitsForAWriter(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
		if err != nil {
			t.Fatal(err)
		}
		s.o.LockWait = 1
		wantErr(t, s.Writable(t.Context(), testKey()), ErrBusy)
		unlock()
		s.o.LockWait = defaultTimeout
		if err := s.Writable(t.Context(), testKey()); err != nil {
			t.Error(err)
		}
	})
}

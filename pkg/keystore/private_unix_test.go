//go:build linux

package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sync of a folder in /proc returns EINVAL, like one on CIFS, 9p and some FUSE file systems.
func TestFolderThatCannotBeSynced(t *testing.T) {
	f, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Sync() == nil {
		t.Fatal("this kernel syncs /proc: the test proves nothing")
	}
	if err := syncFolder("/proc"); err != nil {
		t.Error(err)
	}
	if err := syncFolder(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a folder that is not there was synced")
	}
}

// A key file that another user can write or replace is refused. One that others can read is used with a notice at login.
func TestKeyFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	key := identity(t, dir, "key", false)
	for mode, want := range map[os.FileMode]string{0o600: "", 0o400: "", 0o644: "lets other users read", 0o440: "lets other users read", 0o660: "lets other users write", 0o602: "lets other users write"} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		s := openFile(t, t.TempDir(), key)
		s.o.KeyFile = key
		err := s.Writable(t.Context(), testKey())
		if refused := strings.HasSuffix(want, "write"); refused != errors.Is(err, ErrKeyFile) || !refused && err != nil {
			t.Errorf("%04o: %v", mode, err)
		}
		if said := fmt.Sprint(s.notices, err); !strings.Contains(said, want) || want == "" && len(s.notices) > 0 {
			t.Errorf("%04o: %s", mode, said)
		}
	}
}

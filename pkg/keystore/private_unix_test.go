//go:build linux

package keystore

import (
	"os"
	"path/filepath"
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

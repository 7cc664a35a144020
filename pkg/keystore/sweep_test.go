package keystore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Put does not delete the file of a probe that runs at the same time. When Put deleted that file, one of two simultaneous logins failed
// with "not writable".
func TestPutLeavesAnothersProbeAlone(t *testing.T) {
	s := openTest(t, t.TempDir(), File, nil, keyless())
	s.put(t, testKey(), "a")
	record := filepath.Join(s.o.Dir, testKey().name()+".credential")
	probing, killed := record+".probe.abcdefghijkl.tmp", record+".abcdefghijkl.tmp"
	for _, path := range []string{probing, killed} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := s.Lock(t.Context(), testKey(), "probe")
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, testKey(), "b")
	unlock()
	left := files(t, s.o.Dir)
	if !slices.Contains(left, filepath.Base(probing)) {
		t.Error("the probe of another process is gone")
	}
	if slices.Contains(left, filepath.Base(killed)) {
		t.Error("the file of a killed writer is still there")
	}
	if err := s.Writable(t.Context(), testKey()); err != nil { // it holds the lock "probe", so the remaining file belongs to a killed probe
		t.Fatal(err)
	}
	if left := files(t, s.o.Dir); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}

package mcphttp

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func keep(t *testing.T) Keep {
	return Keep{Path: filepath.Join(t.TempDir(), "cache", "x.session"), URL: "https://mcp.example.com/mcp"}
}

// If several processes open sessions at the same time, Put stores one of them and returns it to every process.
func TestOneSessionIsKept(t *testing.T) {
	k := keep(t)
	var mu sync.Mutex
	kept := map[string]int{}
	var all sync.WaitGroup
	for _, id := range strings.Fields("a b c d e f g h") {
		all.Go(func() {
			s := k.Put(t.Context(), &Session{Version: "2025-11-25", ID: id})
			mu.Lock()
			defer mu.Unlock()
			kept[s.ID]++
		})
	}
	all.Wait()
	if len(kept) != 1 || kept[k.Load().ID] != 8 {
		t.Errorf("kept: %v", kept)
	}
	if info, err := os.Stat(k.Path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// The first process that notices a lost session replaces it, and the others load the new session.
func TestKeptSessionIsReplaced(t *testing.T) {
	k := keep(t)
	lost, first, second := &Session{Version: "2025-11-25", ID: "lost"}, &Session{Version: "2025-11-25", ID: "1"}, &Session{Version: "2025-11-25", ID: "2"}
	k.Put(t.Context(), lost)
	k.Forget(t.Context(), lost)
	if got := k.Put(t.Context(), first); got != first {
		t.Errorf("replaced by %+v", got)
	}
	k.Forget(t.Context(), lost)
	if got := k.Put(t.Context(), second); got.ID != "1" {
		t.Errorf("then by %+v", got)
	}
	k.Forget(t.Context(), first)
	if k.Load() != nil {
		t.Error("the session is still there")
	}
}

// Load returns nil if anything is wrong with the file.
func TestKeptSessionIsDamaged(t *testing.T) {
	k := keep(t)
	good := &Session{Version: "2025-11-25", ID: "1"}
	k.Put(t.Context(), good)
	whole, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func() error{
		func() error { return os.WriteFile(k.Path, whole[:len(whole)/2], 0o600) },
		func() error { return os.WriteFile(k.Path, nil, 0o600) },
		func() error {
			return os.WriteFile(k.Path, []byte(strings.Replace(string(whole), "2025", "2099", 1)), 0o600)
		},
		func() error {
			return os.WriteFile(k.Path, []byte(strings.Replace(string(whole), `"1"`, `"1\n2"`, 1)), 0o600)
		},
		func() error {
			return os.WriteFile(k.Path, []byte(strings.Replace(string(whole), "example.com", "example.org", 1)), 0o600)
		},
		func() error { return os.WriteFile(k.Path, make([]byte, maxKept+1), 0o600) },
		func() error { return errors.Join(os.WriteFile(k.Path, whole, 0o600), os.Chmod(k.Path, 0o644)) }, // readable by others, as the file of another user would be
		func() error { return os.Remove(k.Path) },
		func() error { return os.Mkdir(k.Path, 0o700) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if s := k.Load(); s != nil {
			t.Errorf("%+v", s)
		}
	}
	if got := k.Put(t.Context(), good); got != nil {
		t.Errorf("kept %+v where nothing can be written", got)
	}
}

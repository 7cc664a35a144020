package mcphttp

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"mcpauth/internal/httpx"
)

const (
	keptFormat  = 1
	maxKept     = 64 << 10 // size limit of the file in bytes
	lockTimeout = 2 * time.Second
)

// Keep is a private file that stores the session of one grant for later processes. If the file is missing, damaged or not writable, each
// process opens a session of its own.
type Keep struct {
	Path string
	URL  string // URL of the server
}

// keptSession is the content of the file. A session without an id is stored too, so that the next process needs no handshake.
type keptSession struct {
	Format  int    `json:"format"`
	URL     string `json:"url"`
	Version string `json:"version"`
	ID      string `json:"session,omitempty"`
}

// Load returns the stored session, or nil if there is none.
func (k Keep) Load() *Session {
	data, err := httpx.ReadFile(k.Path, maxKept)
	if err != nil {
		return nil
	}
	var v keptSession
	if json.Unmarshal(data, &v) != nil || v.Format != keptFormat || v.URL != k.URL {
		return nil
	}
	s := &Session{Version: v.Version, ID: v.ID}
	if s.validate(func(string) string { return "" }) != nil {
		return nil
	}
	return s
}

// Put stores a session, unless another process has already stored one. The result is the session that is now stored, or nil if the file
// cannot be written. If the result is the session of another process, the caller must end its own session.
func (k Keep) Put(ctx context.Context, opened *Session) *Session {
	unlock, err := k.lockFolder(ctx)
	if err != nil {
		return nil
	}
	defer unlock()
	if now := k.Load(); now != nil {
		return now
	}
	data, err := json.Marshal(keptSession{keptFormat, k.URL, opened.Version, opened.ID})
	if err != nil || httpx.WriteFile(k.Path, data) != nil {
		return nil
	}
	return opened
}

// Forget removes a session that the server has lost, unless another process has already stored a new one.
func (k Keep) Forget(ctx context.Context, s *Session) {
	unlock, err := k.lockFolder(ctx)
	if err != nil {
		return
	}
	defer unlock()
	if now := k.Load(); now != nil && now.ID == s.ID && now.Version == s.Version {
		_ = os.Remove(k.Path)
	}
}

// lockFolder locks the folder against changes by other processes.
func (k Keep) lockFolder(ctx context.Context) (unlock func(), err error) {
	dir := filepath.Dir(k.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	f := flock.New(filepath.Join(dir, ".lock"), flock.SetPermissions(0o600))
	if _, err := f.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// This file is the locks: one flock per key and purpose, released by the kernel when the process dies. Lock files stay where they are:
// deleting one that somebody waits for would let two in.

package keystore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

const (
	firstPoll = 2 * time.Millisecond
	lastPoll  = 25 * time.Millisecond
)

// Lock waits for the key's lock of that purpose, for as long as ctx allows: then ErrBusy. Call unlock when done; more often does no harm.
func (s *Store) Lock(ctx context.Context, key Key, purpose string) (unlock func(), err error) {
	for wait := firstPoll; ; wait = min(wait*3/2, lastPoll) {
		unlock, err = s.tryLock(key, purpose)
		if !errors.Is(err, ErrBusy) {
			return unlock, err
		}
		pause := time.NewTimer(wait/2 + rand.N(wait)) // jitter: a hundred waiters must not wake as one
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if errors.Is(ctx.Err(), context.Canceled) {
				err = ctx.Err() // interrupted: the lock is not the reason
			}
			return nil, fail("lock", "", at(s.lockPath(key, purpose), err))
		}
	}
}

func (s *Store) lockPath(key Key, purpose string) string {
	return filepath.Join(s.o.StateDir, "locks", key.name()+"."+purpose+".lock")
}

// tryLock takes the lock or returns ErrBusy at once.
func (s *Store) tryLock(key Key, purpose string) (unlock func(), err error) {
	path := s.lockPath(key, purpose)
	if err := makeLockFile(s.o.StateDir, path); err != nil {
		return nil, fail("lock", "", err)
	}
	f := flock.New(path)
	ok, err := f.TryLock()
	if err != nil {
		return nil, fail("lock", "", unwritable(path, err))
	}
	if !ok {
		return nil, fail("lock", "", at(path, ErrBusy))
	}
	var once sync.Once
	return func() { once.Do(func() { _ = f.Unlock() }) }, nil
}

// makeLockFile makes the file with a mode that no umask changes.
func makeLockFile(root, path string) error {
	if err := ensureState(root, filepath.Dir(path)); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil {
		if !info.Mode().IsRegular() {
			return at(path, fmt.Errorf("%w: it is not a regular file", ErrInsecure))
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return unwritable(path, err)
	}
	return unwritable(path, errors.Join(f.Chmod(0o600), f.Close()))
}

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

	// releaseWait limits the time for freeing reserved space.
	releaseWait = 5 * time.Second
)

// Lock acquires a lock of the key. Lock waits at most Options.LockWait. For LockLogin, it waits until ctx ends. If another process still
// holds the lock, Lock returns ErrBusy. unlock may be called more than once.
func (s *Store) Lock(ctx context.Context, key Key, purpose string) (unlock func(), err error) {
	if purpose != LockLogin {
		limited, cancel := context.WithTimeout(ctx, s.o.LockWait)
		defer cancel()
		ctx = limited
	}
	return s.lock(ctx, key, purpose, true)
}

// TryLock acquires a lock of the key, or returns ErrBusy at once if another process holds it.
func (s *Store) TryLock(ctx context.Context, key Key, purpose string) (unlock func(), err error) {
	return s.lock(ctx, key, purpose, false)
}

// lock acquires the lock in the state folder and then, for the postgres store, the lock in the database. For a record in a file, lock also
// acquires a lock beside the record, because two processes with different state folders may use the same file. If wait is false, lock tries
// once.
func (s *Store) lock(ctx context.Context, key Key, purpose string, wait bool) (unlock func(), err error) {
	free, err := s.locks.lock(ctx, key, purpose, wait)
	if err == nil && (purpose == LockCredential || purpose == LockLogin) {
		if b, _ := s.backendForReading(ctx, key); b == backend(s.file) {
			freeState := free
			freeFile, err := s.file.locksBeside().lock(ctx, key, purpose, wait)
			if err != nil {
				freeState()
				return nil, withOp("lock", "", err)
			}
			free = func() { freeFile(); freeState() }
		}
	}
	if err == nil && s.postgres != nil {
		free, err = s.postgres.lock(ctx, key, purpose, s.locks.path(key, purpose), free, wait)
	}
	if err != nil {
		return nil, withOp("lock", "", err)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			if purpose == LockCredential {
				s.release(key)
			}
			free()
		})
	}, nil
}

// localLocks are the locks on this machine: one flock per key and purpose. The kernel releases a lock when its process dies. Lock files are
// never deleted: if a lock file were deleted while a process waits for its lock, two processes could hold the lock.
type localLocks struct {
	dir    string // contains the folder, or is the folder
	folder string
	suffix string // differs between the two kinds of locks, so that their files differ even if the user gives one folder for both
}

func stateLocks(dir string) localLocks { return localLocks{dir, filepath.Join(dir, "locks"), ".lock"} }

// locksBeside returns the locks in the folder of the records.
func (f *fileStore) locksBeside() localLocks { return localLocks{f.dir, f.dir, ".record.lock"} }

func (l localLocks) path(key Key, purpose string) string {
	return filepath.Join(l.folder, key.name()+"."+purpose+l.suffix)
}

func (l localLocks) lock(ctx context.Context, key Key, purpose string, wait bool) (unlock func(), err error) {
	unlock, err = l.tryLock(key, purpose)
	if wait && errors.Is(err, ErrBusy) {
		unlock, err = l.waitForLock(ctx, key, purpose)
	}
	return unlock, err
}

// waitForLock polls, because flock has no time limit. The pauses are random, so that many waiting processes do not try at the same time.
func (l localLocks) waitForLock(ctx context.Context, key Key, purpose string) (unlock func(), err error) {
	for wait := firstPoll; ; wait = min(wait*3/2, lastPoll) {
		unlock, err = l.tryLock(key, purpose)
		if !errors.Is(err, ErrBusy) {
			return unlock, err
		}
		if !sleepRandomly(ctx, wait) {
			if errors.Is(ctx.Err(), context.Canceled) {
				err = withPath(l.path(key, purpose), ctx.Err()) // if the context was cancelled, report the cancellation and not a busy lock
			}
			return nil, err
		}
	}
}

// sleepRandomly sleeps for a random time between mean/2 and mean*3/2, and returns true. If ctx ends first, it returns false.
func sleepRandomly(ctx context.Context, mean time.Duration) bool {
	timer := time.NewTimer(mean/2 + rand.N(mean))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tryLock acquires the lock, or returns ErrBusy at once if another process holds it.
func (l localLocks) tryLock(key Key, purpose string) (unlock func(), err error) {
	if err := l.makeFile(key, purpose); err != nil {
		return nil, err
	}
	path := l.path(key, purpose)
	f := flock.New(path)
	ok, err := f.TryLock()
	if err != nil {
		return nil, writeError(path, err)
	}
	if !ok {
		return nil, withPath(path, ErrBusy)
	}
	return func() { _ = f.Unlock() }, nil
}

// makeFile creates the lock file with mode 0600, whatever the umask.
func (l localLocks) makeFile(key Key, purpose string) error {
	path := l.path(key, purpose)
	if err := ensureState(l.dir, l.folder); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil {
		if !info.Mode().IsRegular() {
			return withPath(path, fmt.Errorf("%w: it is not a regular file", ErrInsecure))
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return writeError(path, err)
	}
	return writeError(path, errors.Join(f.Chmod(0o600), f.Close()))
}

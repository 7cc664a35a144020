//go:build linux || darwin

// These tests need features that Windows lacks: symbolic links without privileges, named pipes, file modes, and resource limits of a
// process.

package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// childUnix runs in a process with restrictions. With "fsize N" it cannot write more than N bytes to a file, as on a full disk. With
// "other" it runs as another user, if the test runs as root. childUnix returns an error unless a probe, a reservation and a write fail and
// the record that was stored before can still be read.
func childUnix(argument string) error {
	var what, dir string
	var limit, stored int
	if _, err := fmt.Sscan(argument, &what, &limit, &stored, &dir); err != nil {
		return err
	}
	if what == "fsize" {
		signal.Ignore(syscall.SIGXFSZ) // the write fails instead
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(limit), Max: uint64(limit)}); err != nil {
			return err
		}
	} else if err := beOther(); err != nil {
		return err
	}
	s, err := openDisk(dir, File)
	if err != nil {
		return err
	}
	if what == "unsynced" {
		return storeUnsynced(s)
	}
	for name, do := range map[string]func() error{
		"probe": func() error { return s.Writable(context.Background(), testKey()) },
		"reserve": func() error {
			unlock, err := s.Lock(context.Background(), testKey(), LockCredential)
			if err != nil {
				return err
			}
			defer unlock()
			return s.Reserve(context.Background(), testKey())
		},
		"put": func() error {
			unlock, err := s.Lock(context.Background(), testKey(), LockCredential)
			if err != nil {
				return err
			}
			defer unlock()
			_, err = s.Put(context.Background(), testKey(), Record{Secret: []byte(text(200 << 10))})
			return err
		},
	} {
		if err := do(); !errors.Is(err, ErrUnwritable) && !errors.Is(err, ErrDenied) {
			return fmt.Errorf("%s: got %v, want an error of writing", name, err)
		}
	}
	r, err := s.Get(context.Background(), testKey())
	if what == "fsize" && string(r.Secret) != text(stored) {
		return fmt.Errorf("the old record: %w", err)
	}
	return nil
}

// storeUnsynced stores a record in a folder that can be written to but not opened, so that the sync of the folder fails after the rename.
func storeUnsynced(s *Store) error {
	said := ""
	s.o.Notice = func(text string) { said = text }
	unlock, err := s.Lock(context.Background(), testKey(), LockCredential)
	if err != nil {
		return err
	}
	defer unlock()
	if r, err := s.Put(context.Background(), testKey(), Record{Secret: []byte("new")}); err != nil || r.Generation != 2 {
		return fmt.Errorf("put: generation %d, %w", r.Generation, err)
	}
	if r, err := s.Get(context.Background(), testKey()); err != nil || string(r.Secret) != "new" {
		return fmt.Errorf("get: %w", err)
	}
	if !strings.Contains(said, "may not survive a power failure") {
		return fmt.Errorf("notice %q", said)
	}
	return nil
}

// beOther drops root privileges, because file modes do not restrict root.
func beOther() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534))
}

// other makes the user that beOther switches to the owner of the paths.
func other(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Chown(path, 65534, 65534); os.Geteuid() == 0 && err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, args ...any) {
	t.Helper()
	if out, err := child(t, "unix", args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// If the disk is full, put, reserve and probe fail, the old record can be read, and no temporary file is left.
func TestFullDisk(t *testing.T) {
	for _, tt := range []struct{ limit, stored int }{{0, 1000}, {1, 1000}, {4 << 10, 1000}, {64 << 10, 180 << 10}, {150 << 10, 180 << 10}} {
		t.Run(fmt.Sprint(tt.limit), func(t *testing.T) {
			dir := t.TempDir()
			s, err := openDisk(dir, File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), testKey(), Record{Secret: []byte(text(tt.stored))}); err != nil {
				t.Fatal(err)
			}
			run(t, "fsize", tt.limit, tt.stored, dir)
			if r, err := s.Get(t.Context(), testKey()); err != nil || string(r.Secret) != text(tt.stored) || r.Generation != 1 {
				t.Errorf("generation %d, %v", r.Generation, err)
			}
			if left := append(files(t, dir+"/keys"), files(t, dir+"/state/index")...); len(left) != 1 {
				t.Errorf("left %q", left)
			}
		})
	}
}

// If the folder of records or locks is read-only, put, reserve and probe return ErrUnwritable or ErrDenied.
func TestReadOnlyFolders(t *testing.T) {
	for _, sub := range []string{"keys", "state/locks"} {
		t.Run(sub, func(t *testing.T) {
			dir := t.TempDir()
			s, err := openDisk(dir, File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), testKey(), Record{Secret: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
			if err != nil {
				t.Fatal(err)
			}
			unlock()
			err = filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
				other(t, path)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			closed := filepath.Join(dir, sub)
			if sub == "state/locks" { // the folder is removed, so that the store must create it in a read-only parent folder
				if err := os.RemoveAll(closed); err != nil {
					t.Fatal(err)
				}
				closed = filepath.Dir(closed)
			}
			if err := os.Chmod(closed, 0o500); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(closed, 0o700)
			run(t, "other", 0, 0, dir)
		})
	}
}

// If the sync of the folder fails after the rename, put succeeds with a warning, because the new record is stored.
func TestFailedFolderSync(t *testing.T) {
	dir := t.TempDir()
	s, err := openDisk(dir, File)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), testKey(), Record{Secret: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
		other(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/keys", 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir+"/keys", 0o700)
	run(t, "unsynced", 0, 0, dir)
}

// The store rejects records and folders that are symbolic links or pipes, are accessible to other users, or belong to another user. It does
// not change them.
func TestInsecureFiles(t *testing.T) {
	for name, plant := range map[string]func(dir, record string) error{
		"a link to the record": func(dir, record string) error {
			return errors.Join(os.Rename(record, dir+"/real"), os.Symlink(dir+"/real", record))
		},
		"a link to the folder": func(dir, _ string) error {
			return errors.Join(os.Rename(dir+"/keys", dir+"/real"), os.Symlink(dir+"/real", dir+"/keys"))
		},
		"a pipe":                      func(_, record string) error { return errors.Join(os.Remove(record), syscall.Mkfifo(record, 0o600)) },
		"a record that all may read":  func(_, record string) error { return os.Chmod(record, 0o644) },
		"a record for the group":      func(_, record string) error { return os.Chmod(record, 0o620) },
		"a folder that all may enter": func(dir, _ string) error { return os.Chmod(dir+"/keys", 0o755) },
		"another user's record":       func(_, record string) error { return foreign(record) },
		"another user's folder":       func(dir, _ string) error { return foreign(dir + "/keys") },
	} {
		t.Run(name, func(t *testing.T) {
			s := openFile(t, t.TempDir(), "")
			s.put(t, testKey(), "canary")
			if err := plant(s.dir, s.file.path(testKey().name())); err != nil {
				t.Fatal(err)
			}
			before := tree(t, s.dir)
			_, err := s.Get(t.Context(), testKey())
			wantErr(t, err, ErrInsecure)
			_, err = s.tryPut(t, testKey(), "new")
			wantErr(t, err, ErrInsecure)
			wantErr(t, s.Writable(t.Context(), testKey()), ErrInsecure)
			if after := tree(t, s.dir); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// The store rejects index files and folders in the same way.
func TestInsecureIndex(t *testing.T) {
	for name, plant := range map[string]func(entry string) error{
		"a link": func(entry string) error {
			return errors.Join(os.Rename(entry, entry+".aside"), os.Symlink(entry+".aside", entry))
		},
		"another user's file": foreign,
		"a link to the folder": func(entry string) error {
			folder := filepath.Dir(entry)
			return errors.Join(os.Rename(folder, folder+".aside"), os.Symlink(folder+".aside", folder))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, t.TempDir(), Keychain, newFake(), generous())
			s.put(t, testKey(), "canary")
			if err := plant(s.keychain.index.path(testKey().name())); err != nil {
				t.Fatal(err)
			}
			_, err := s.tryPut(t, testKey(), "new")
			wantErr(t, err, ErrInsecure)
			wantErr(t, s.Writable(t.Context(), testKey()), ErrInsecure)
			if name != "a link to the folder" { // Get follows this link, and the file in the folder is private
				_, err = s.Get(t.Context(), testKey())
				wantErr(t, err, ErrInsecure)
			}
		})
	}
}

// Writable reports a symbolic link in place of the lock file, although it does not acquire that lock.
func TestLockIsALink(t *testing.T) {
	s := openFile(t, t.TempDir(), "")
	s.put(t, testKey(), "canary")
	lock := s.locks.path(testKey(), LockCredential)
	if err := errors.Join(os.Rename(lock, lock+".aside"), os.Symlink(lock+".aside", lock)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, s.Writable(t.Context(), testKey()), ErrInsecure)
}

// foreign makes another user the owner of path. Only root can do that. If the test does not run as root, foreign makes path accessible to
// other users instead, and checks that checkOwner rejects a folder of root.
func foreign(path string) error {
	if os.Geteuid() == 0 {
		return os.Chown(path, 65534, 65534)
	}
	info, err := os.Lstat("/")
	if err == nil {
		err = checkOwner("/", info, 0)
	}
	if !errors.Is(err, ErrInsecure) {
		return fmt.Errorf("a folder of root's passes: %w", err)
	}
	return os.Chmod(path, 0o777)
}

// tree lists the files of the file store and the index with their modes and sizes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, sub := range []string{"keys", "real", "state/index"} {
		_ = filepath.WalkDir(filepath.Join(dir, sub), func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				if info, err := d.Info(); err == nil && !d.IsDir() {
					fmt.Fprintln(&b, path, info.Mode(), info.Size())
				}
			}
			return nil
		})
	}
	return b.String()
}

func stop(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

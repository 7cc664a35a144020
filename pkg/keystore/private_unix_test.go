//go:build linux

package keystore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
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

// The socket of another user in a folder that everybody can write to does not get the password.
func TestSocketOfAStranger(t *testing.T) {
	folder, err := os.MkdirTemp("/tmp", "s") // a short path, because sockets need one
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, ".s.PGSQL.5432")
	link := filepath.Join(folder, "link") // the owner of the process counts, not the path
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", filepath.Join(link, filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := checkSocket(conn, os.Geteuid()); err != nil {
		t.Errorf("my own: %v", err)
	}
	if os.Geteuid() != 0 { // root is accepted for every user
		if err := checkSocket(conn, os.Geteuid()+1); !errors.Is(err, errDistrust) {
			t.Errorf("%v", err)
		}
		return
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	theirsAt := filepath.Join(folder, "theirs")
	stranger, err := asUser(12345, func() (net.Listener, error) { return net.Listen("unix", theirsAt) })
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	// no folder of the path can be written by everybody now, and the path seems to lead to a socket of root
	if err := errors.Join(os.Chmod(folder, 0o755), os.Chown(theirsAt, 0, 0)); err != nil {
		t.Fatal(err)
	}
	theirs, err := net.Dial("unix", filepath.Join(link, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := checkSocket(theirs, 0); !errors.Is(err, errDistrust) {
		t.Errorf("%v", err)
	}
}

// asUser runs f as another user. Only the thread of f changes its user.
func asUser(uid uintptr, f func() (net.Listener, error)) (net.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uid, same); errno != 0 {
		return nil, errno
	}
	defer syscall.RawSyscall(syscall.SYS_SETRESUID, same, 0, same)
	return f()
}

// A pipe in place of a file of the connection does not hold the store past its time limit.
func TestPasswordFileIsAPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", pipe)
	s, err := Open(Options{Backend: Postgres, URL: "postgres://u@127.0.0.1:1/db", KeyFile: identity(t, dir, "key", false), StateDir: dir + "/state", Dir: dir + "/keys", Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = s.Get(t.Context(), testKey())
	wantErr(t, err, ErrTimeout)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if f, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // ends the reader
		f.Close()
	}
}

// A key file may become a named pipe at any time. Reading it ends at once.
func TestKeyFileBecomesAPipe(t *testing.T) {
	dir := t.TempDir()
	key, pipe, spare := identity(t, dir, "key", false), filepath.Join(dir, "pipe"), filepath.Join(dir, "spare")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _, _ = os.Rename(key, spare), os.Rename(pipe, key), os.Rename(spare, pipe)
			}
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 {
			_, _ = readKeys(key)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("hangs")
	}
}

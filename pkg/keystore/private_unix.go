//go:build unix

package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// openPrivate opens a file without following a symbolic link or blocking on a named pipe.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: it is a symbolic link", ErrInsecure)
	}
	return f, err
}

// checkFile returns an error if the open file belongs to another user, or if other users can read or write it.
func checkFile(f *os.File, info fs.FileInfo) error { return checkOwner(f.Name(), info, 0o077) }

// checkOwner returns an error if a file or folder belongs to another user, or if its mode contains one of the forbidden bits.
func checkOwner(path string, info fs.FileInfo, forbiddenBits fs.FileMode) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to user %d, expected %d", ErrInsecure, stat.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&forbiddenBits != 0 {
		mode := 0o600
		if info.IsDir() {
			mode = 0o700
		}
		return fmt.Errorf("%w: %04o, expected %04o", ErrMode, info.Mode().Perm(), mode)
	}
	return nil
}

// checkWriters returns an error if anyone other than root and the current user can write the file.
func checkWriters(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, expected %d", stat.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("its mode %04o lets other users write it, expected 0600", info.Mode().Perm())
	}
	return nil
}

// readersOf returns a warning if other users can read the file, and "" if they cannot.
func readersOf(path string) string {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o044 == 0 {
		return ""
	}
	return fmt.Sprintf("the mode %04o of %s lets other users read the key, expected 0600", info.Mode().Perm(), path)
}

// checkSocket rejects the connection to a socket of another user, who may have created the socket to obtain the database password. The owner
// of the connected process counts, because a path may lead elsewhere a moment later. root, uid and the accounts of PostgreSQL are accepted.
func checkSocket(conn net.Conn, uid int) error {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	peer, err := peerOfSocket(socket)
	if err != nil {
		return err
	}
	if peer == 0 || int(peer) == uid {
		return nil
	}
	if u, err := user.LookupId(strconv.Itoa(int(peer))); err == nil && (u.Username == "postgres" || u.Username == "pgbouncer") {
		return nil
	}
	return fmt.Errorf("%w: the socket %s belongs to user %d; specify the host of the database", errDistrust, conn.RemoteAddr(), peer)
}

// peerOfSocket returns the user whose process listens at the other end of a connected Unix socket.
func peerOfSocket(socket syscall.Conn) (uid uint32, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peerErr error
	err = raw.Control(func(fd uintptr) { uid, peerErr = peerOf(int(fd)) })
	return uid, errors.Join(err, peerErr)
}

// makePrivateFolder creates a folder that only the user can access.
func makePrivateFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, 0o700)
}

// createPrivate creates a new file that only the user can access.
func createPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

func replace(from, to string) error { return os.Rename(from, to) }

func remove(path string) error { return os.Remove(path) }

// syncFolder makes a rename survive a power failure. CIFS, 9p and some FUSE file systems cannot sync a folder and return EINVAL, which
// syncFolder ignores.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EBADF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// fileID returns device and inode number, which identify a file on this machine.
func fileID(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(stat.Dev, ".", stat.Ino)
	}
	return ""
}

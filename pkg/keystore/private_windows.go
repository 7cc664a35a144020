// This file is what Windows says about owners and links. Modes do not exist there: a profile's folders are closed to other users by the
// access lists that files inherit.

package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// openPrivate opens a file that is no link.
func openPrivate(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
		return nil, fmt.Errorf("%w: it is a symbolic link", ErrInsecure)
	}
	return os.Open(path)
}

// checkOwner refuses what another user owns. Where no owner can be told, as on FAT, there is none to refuse.
func checkOwner(path string, _ fs.FileInfo, _ fs.FileMode, _ string) error {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return nil
	}
	owner, _, err := sd.Owner()
	if err != nil || owner == nil {
		return nil
	}
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil
	}
	if owner.Equals(me.User.Sid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid) {
		return nil
	}
	return fmt.Errorf("%w: it belongs to %s, expected %s", ErrInsecure, owner, me.User.Sid)
}

// replace renames over a file that a reader or a virus scanner may hold open for a moment.
func replace(from, to string) error {
	var err error
	for wait := time.Millisecond; wait < time.Second; wait *= 2 {
		err = os.Rename(from, to)
		if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return err
		}
		time.Sleep(wait)
	}
	return err
}

// syncFolder does nothing: NTFS journals renames, and a folder cannot be synced.
func syncFolder(string) error { return nil }

package keystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Windows has no file modes. Instead, files and folders have an access list that admits only the user, the system and the administrators,
// and inherits no entries from the parent folder.

// retryWhileInUse repeats an operation on a file while another process, such as a virus scanner, has the file open. Windows refuses to
// open, replace or delete a file that another process has opened without sharing it.
func retryWhileInUse(operation func() error) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(rand.N(5 * time.Millisecond)) {
		err := operation()
		held := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !held || time.Now().After(end) {
			return err
		}
	}
}

// acquireFileMutex acquires a mutex for a file and returns a function that releases it. A writer holds the mutex until it has replaced the
// file. The replacement waits until all readers have closed the file. A reader acquires and releases the mutex before it opens the file,
// and so waits for the writer. Without the mutex, many readers could block a writer indefinitely.
func acquireFileMutex(path string) (release func()) {
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`Local\mcpauth-%x`, sha256.Sum256([]byte(strings.ToLower(path)))))
	if err != nil {
		return func() {}
	}
	runtime.LockOSThread() // a Windows mutex belongs to a thread
	h, _ := windows.CreateMutex(nil, false, name)
	_, _ = windows.WaitForSingleObject(h, 5000) // the result is ignored: after a timeout, the operation on the file is tried without the mutex
	return func() {
		_ = windows.ReleaseMutex(h)
		_ = windows.CloseHandle(h)
		runtime.UnlockOSThread()
	}
}

// openPrivate opens a file that is not a symbolic link.
func openPrivate(path string) (*os.File, error) {
	acquireFileMutex(path)()
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
		return nil, fmt.Errorf("%w: it is a symbolic link", ErrInsecure)
	}
	var f *os.File
	err = retryWhileInUse(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

func replace(from, to string) error {
	defer acquireFileMutex(to)()
	return retryWhileInUse(func() error { return os.Rename(from, to) })
}

func remove(path string) error {
	defer acquireFileMutex(path)()
	return retryWhileInUse(func() error { return os.Remove(path) })
}

// syncFolder does nothing, because NTFS journals renames and Windows cannot sync a folder.
func syncFolder(string) error { return nil }

// makePrivateFolder creates a folder that only the user, the system and the administrators can access.
func makePrivateFolder(path string) error {
	name, attributes, err := privateAccess(path)
	if err != nil {
		return err
	}
	if err := windows.CreateDirectory(name, attributes); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// createPrivate creates a new file that only the user, the system and the administrators can access.
func createPrivate(path string) (*os.File, error) {
	name, attributes, err := privateAccess(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE, windows.FILE_SHARE_READ, attributes, windows.CREATE_NEW, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// privateAccess returns the path in UTF-16, and an access list that admits only the user, the system and the administrators.
func privateAccess(path string) (*uint16, *windows.SecurityAttributes, error) {
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return nil, nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, nil, err
	}
	sd, err := windows.SecurityDescriptorFromString(fmt.Sprintf("D:P(A;OICI;FA;;;%s)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", me.User.Sid))
	if err != nil {
		return nil, nil, err
	}
	return name, &windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}, nil
}

// longPath returns the path in the form that Windows accepts beyond 260 characters.
func longPath(path string) string {
	if len(path) < 240 || path[1:2] != ":" { // the limit for a folder is 248
		return path
	}
	return `\\?\` + path
}

// Rights that other users must not have. The right to read attributes is not listed, because it does no harm.
const (
	mayWrite = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.FILE_WRITE_EA | fileDeleteChild | windows.DELETE | windows.WRITE_DAC |
		windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL
	mayRead         = windows.FILE_READ_DATA | windows.GENERIC_READ
	fileDeleteChild = 0x40
)

const ownerAndList = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION

// checkFile returns an error if another user owns the open file, or if its access list lets other users read or change it.
func checkFile(f *os.File, info fs.FileInfo) error {
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, ownerAndList)
	return checkSecurity(f.Name(), info, sd, err, mayRead|mayWrite)
}

// checkOwner returns an error if another user owns the folder, or if its access list lets other users change it. If forbiddenBits contains
// a bit for reading, other users must not be able to read the folder either.
func checkOwner(path string, info fs.FileInfo, forbiddenBits fs.FileMode) error {
	forbidden := windows.ACCESS_MASK(mayWrite)
	if forbiddenBits&0o044 != 0 {
		forbidden |= mayRead
	}
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, ownerAndList)
	return checkSecurity(path, info, sd, err, forbidden)
}

// checkWriters does nothing, because the folder's access list protects a key file.
func checkWriters(string, fs.FileInfo) error { return nil }

// checkSocket does nothing, because PostgreSQL has no default socket on Windows.
func checkSocket(net.Conn, int) error { return nil }

// readersOf returns "", because files have no mode on Windows.
func readersOf(string) string { return "" }

// checkSecurity is the common part of checkFile and checkOwner. On a file system without owners and access lists, such as FAT, every file
// is accepted.
func checkSecurity(path string, info fs.FileInfo, sd *windows.SECURITY_DESCRIPTOR, err error, forbidden windows.ACCESS_MASK) error {
	if err != nil {
		return nil
	}
	token, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	me := token.User.Sid
	if owner, _, err := sd.Owner(); err == nil && owner != nil && !isTrusted(owner, me) {
		return fmt.Errorf("%w: it belongs to %s, expected %s", ErrInsecure, owner, me)
	}
	list, _, err := sd.DACL()
	if errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) {
		return nil
	}
	if err != nil {
		return err
	}
	if list == nil { // without an access list, everybody has access
		return openTo("everybody", path, info)
	}
	other, err := findForbidden(list, me, forbidden)
	if other == nil {
		return err
	}
	return openTo(account(other), path, info)
}

// findForbidden returns the first user who is not trusted and has one of the forbidden rights, or nil.
func findForbidden(list *windows.ACL, me *windows.SID, forbidden windows.ACCESS_MASK) (*windows.SID, error) {
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return nil, err
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Mask&forbidden == 0 {
			continue
		}
		if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !isTrusted(sid, me) {
			return sid, nil
		}
	}
	return nil, nil
}

// isTrusted reports whether sid is the current user, the system or the administrators, who can access every file anyway.
func isTrusted(sid, me *windows.SID) bool {
	return sid.Equals(me) || sid.IsWellKnown(windows.WinLocalSystemSid) || sid.IsWellKnown(windows.WinBuiltinAdministratorsSid) ||
		sid.IsWellKnown(windows.WinCreatorOwnerRightsSid)
}

func openTo(who, path string, info fs.FileInfo) error {
	inherit := ""
	if info.IsDir() {
		inherit = "(OI)(CI)"
	}
	return fmt.Errorf(`%w: its access list gives access to %s; fix it: icacls "%s" /inheritance:r /grant:r "%%USERNAME%%:%sF"`, ErrInsecure, who, path, inherit)
}

func account(sid *windows.SID) string {
	if name, domain, _, err := sid.LookupAccount(""); err == nil && domain != "" {
		return domain + `\` + name
	} else if err == nil {
		return name
	}
	return sid.String()
}

// fileID returns "", because fs.FileInfo on Windows contains no number that identifies the file.
func fileID(fs.FileInfo) string { return "" }

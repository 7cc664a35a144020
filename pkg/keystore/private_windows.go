package keystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Windows has no modes. What a mode says on Unix is said here by an access list: it gives the file to its owner, the system and the
// administrators, and inherits nothing.

// patiently repeats an operation on a file that another process holds open for a moment: a reader, a writer, a virus scanner. Windows
// refuses to open, replace or delete a file that somebody has opened without sharing it.
func patiently(operation func() error) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(rand.N(5 * time.Millisecond)) {
		err := operation()
		held := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !held || time.Now().After(end) {
			return err
		}
	}
}

// turnstile lets one process at a time touch a file. A writer holds it until the file is replaced, which takes until all readers have closed
// the file; a reader only passes through, and so cannot get in before a waiting writer. Without it many readers would keep a writer out.
func turnstile(path string) (leave func()) {
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`Local\mcpauth-%x`, sha256.Sum256([]byte(strings.ToLower(path)))))
	if err != nil {
		return func() {}
	}
	runtime.LockOSThread() // a thread owns a mutex
	h, _ := windows.CreateMutex(nil, false, name)
	_, _ = windows.WaitForSingleObject(h, 5000) // a file that cannot be touched shows it when it is touched
	return func() {
		_ = windows.ReleaseMutex(h)
		_ = windows.CloseHandle(h)
		runtime.UnlockOSThread()
	}
}

// openPrivate opens a file that is no link.
func openPrivate(path string) (*os.File, error) {
	turnstile(path)()
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
		return nil, fmt.Errorf("%w: it is a symbolic link", ErrInsecure)
	}
	var f *os.File
	err = patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

func replace(from, to string) error {
	defer turnstile(to)()
	return patiently(func() error { return os.Rename(from, to) })
}

func remove(path string) error {
	defer turnstile(path)()
	return patiently(func() error { return os.Remove(path) })
}

// syncFolder does nothing: NTFS journals renames, and a folder cannot be synced.
func syncFolder(string) error { return nil }

// makePrivateFolder makes a folder with a closed access list.
func makePrivateFolder(path string) error {
	name, closed, err := closedList(path)
	if err != nil {
		return err
	}
	if err := windows.CreateDirectory(name, closed); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// createPrivate makes a file with a closed access list, which must not be there yet.
func createPrivate(path string) (*os.File, error) {
	name, closed, err := closedList(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE, windows.FILE_SHARE_READ, closed, windows.CREATE_NEW, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// closedList returns a path for the system and an access list that closes what is made there to other users.
func closedList(path string) (*uint16, *windows.SecurityAttributes, error) {
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

// longPath is a path that may be longer than 260 characters.
func longPath(path string) string {
	if len(path) < 240 || path[1:2] != ":" { // 248 for a folder
		return path
	}
	return `\\?\` + path
}

// What an access list may give to other users. Reading its attributes does no harm.
const (
	mayWrite = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.FILE_WRITE_EA | fileDeleteChild | windows.DELETE | windows.WRITE_DAC |
		windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL
	mayRead         = windows.FILE_READ_DATA | windows.GENERIC_READ
	fileDeleteChild = 0x40
)

const ownerAndList = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION

// checkFile refuses an open file that another user owns, or whose access list lets others read or change it.
func checkFile(f *os.File, info fs.FileInfo) error {
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, ownerAndList)
	return checkSecurity(f.Name(), info, sd, err, mayRead|mayWrite)
}

// checkOwner refuses a folder that another user owns, or whose access list lets others change it, or read it if open says so.
func checkOwner(path string, info fs.FileInfo, open fs.FileMode) error {
	forbidden := windows.ACCESS_MASK(mayWrite)
	if open&0o044 != 0 {
		forbidden |= mayRead
	}
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, ownerAndList)
	return checkSecurity(path, info, sd, err, forbidden)
}

// checkSecurity is the check of both. A file system without owners and lists, such as FAT, has nothing to refuse.
func checkSecurity(path string, info fs.FileInfo, sd *windows.SECURITY_DESCRIPTOR, err error, forbidden windows.ACCESS_MASK) error {
	if err != nil {
		return nil
	}
	token, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	me := token.User.Sid
	if owner, _, err := sd.Owner(); err == nil && owner != nil && !trusted(owner, me) {
		return fmt.Errorf("%w: it belongs to %s, expected %s", ErrInsecure, owner, me)
	}
	list, _, err := sd.DACL()
	if errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) {
		return nil
	}
	if err != nil {
		return err
	}
	if list == nil { // no list at all opens a file to everybody
		return openTo("everybody", path, info)
	}
	other, err := givesTo(list, me, forbidden)
	if other == nil {
		return err
	}
	return openTo(account(other), path, info)
}

// givesTo returns the first user to whom a list gives one of these rights and who is not trusted with them, nil if there is none.
func givesTo(list *windows.ACL, me *windows.SID, forbidden windows.ACCESS_MASK) (*windows.SID, error) {
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return nil, err
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Mask&forbidden == 0 {
			continue
		}
		if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !trusted(sid, me) {
			return sid, nil
		}
	}
	return nil, nil
}

// trusted reports whether a user is me, or may read and change any file: the system and the administrators.
func trusted(sid, me *windows.SID) bool {
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

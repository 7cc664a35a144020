package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// setList sets the access list of a file or folder from a security descriptor string (SDDL).
func setList(t *testing.T, path, list string) {
	t.Helper()
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		t.Fatal(err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		t.Fatal(err)
	}
	if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil); err != nil {
		t.Fatal(err)
	}
}

// Files and folders of the store are not accessible to other users. The store rejects a file or folder whose access list admits other
// users.
func TestAccessLists(t *testing.T) {
	token, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	mine := "(A;OICI;FA;;;" + token.User.Sid.String() + ")"
	folder := filepath.Join(t.TempDir(), "parent", "keys")
	if err := ensureFolder(folder, true); err != nil {
		t.Fatalf("a folder of our own: %v", err)
	}
	file := filepath.Join(folder, "x")
	if err := writePrivate(file, []byte("secret"), true); err != nil {
		t.Fatal(err)
	}
	if data, err := readPrivate(file, maxFile); err != nil || string(data) != "secret" {
		t.Fatalf("a file of our own: %q %v", data, err)
	}
	for _, tt := range []struct {
		name, list               string
		strict, shared, readable bool // whether the store accepts the list for a private folder, for a folder that others may read, and for a file
	}{
		{"mine alone", "D:P" + mine, true, true, true},
		{"system and administrators", "D:P" + mine + "(A;;FA;;;SY)(A;;FA;;;BA)", true, true, true},
		{"everybody reads", "D:P" + mine + "(A;;FR;;;WD)", false, true, false},
		{"everybody does anything", "D:P" + mine + "(A;;FA;;;WD)", false, false, false},
	} {
		setList(t, folder, tt.list)
		if err := ensureFolder(folder, true); errors.Is(err, ErrInsecure) == tt.strict {
			t.Errorf("%s, private folder: %v", tt.name, err)
		}
		if err := ensureFolder(folder, false); errors.Is(err, ErrInsecure) == tt.shared {
			t.Errorf("%s, shared folder: %v", tt.name, err)
		}
		setList(t, folder, "D:P"+mine)
		setList(t, file, tt.list)
		_, err := readPrivate(file, maxFile)
		if errors.Is(err, ErrInsecure) == tt.readable {
			t.Errorf("%s, file: %v", tt.name, err)
		}
		if !tt.readable && !strings.Contains(err.Error(), "icacls") {
			t.Errorf("%s: %v does not say how to close it", tt.name, err)
		}
	}
}

// If another process has opened a file without sharing it, operations on the file wait until it is closed.
func TestFileHeldByAnotherProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	for name, act := range map[string]func() error{
		"read":    func() error { _, err := readPrivate(file, maxFile); return err },
		"replace": func() error { return writePrivate(file, []byte("new"), false) },
		"remove":  func() error { return removePrivate(file) },
	} {
		if err := writePrivate(file, []byte("old"), false); err != nil {
			t.Fatal(err)
		}
		wide, err := windows.UTF16PtrFromString(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := windows.CreateFile(wide, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Open(file); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			t.Errorf("the file is not held: %v", err)
		}
		time.AfterFunc(100*time.Millisecond, func() { windows.CloseHandle(h) })
		if err := act(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongPaths(t *testing.T) {
	folder := t.TempDir()
	for range 8 {
		folder = filepath.Join(folder, strings.Repeat("é", 40))
	}
	if err := ensureFolder(folder, true); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "x")
	if err := writePrivate(file, []byte("secret"), true); err != nil {
		t.Fatal(err)
	}
	if data, err := readPrivate(file, maxFile); err != nil || string(data) != "secret" {
		t.Errorf("%q %v", data, err)
	}
	if err := removePrivate(file); err != nil {
		t.Error(err)
	}
}

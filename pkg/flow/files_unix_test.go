//go:build linux || darwin

package flow

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A stranger who owns a folder replaces an approved file, or a folder of its path, by a link to a key of the user. The stranger does so
// between the check of the path and the opening. The user's key is not read.
func TestApprovedFileIsReplacedByALink(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o711), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("own/k.pem", "canary")
	for _, tt := range []struct{ name, replaced, target string }{
		{"nothing", "", ""},
		{"the file", "sh/f/k.pem", "../../own/k.pem"},
		{"its folder", "sh/f", "../own"},
		{"a folder above it", "sh", "linked"},
	} {
		file := write("sh/f/k.pem", "theirs")
		write("linked/f/k.pem", "canary")
		c := &Client{Guard: func(what, named, real string) error { // runs between the check and the opening
			if what != "client key" || named != file || real != file {
				t.Errorf("%s: the guard got %q, %q, %q", tt.name, what, named, real)
			}
			if tt.replaced == "" {
				return nil
			}
			path := filepath.Join(root, tt.replaced)
			return errors.Join(os.RemoveAll(path), os.Symlink(tt.target, path))
		}}
		data, err := c.readApproved("client key", Settings{ApprovedFiles: map[string]string{file: "/elsewhere"}}, file)
		if want := tt.replaced == ""; string(data) == "canary" || want != (err == nil) || want && string(data) != "theirs" {
			t.Errorf("%s: %q, %v", tt.name, data, err)
		}
		if err := os.RemoveAll(filepath.Join(root, "sh")); err != nil {
			t.Fatal(err)
		}
	}
}

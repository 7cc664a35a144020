//go:build !windows

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Find ignores a project's file that another user could have written, and continues in the folder above.
func TestForeignProjectFiles(t *testing.T) {
	root := t.TempDir()
	inner := filepath.Join(root, "inner")
	outer, file := filepath.Join(root, ".mcp.json"), filepath.Join(inner, ".mcp.json")
	if err := errors.Join(os.Mkdir(inner, 0o755), os.WriteFile(outer, []byte("{}"), 0o644), os.WriteFile(file, []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	set := func(folder, mode os.FileMode, owner, group int) {
		t.Helper()
		err := errors.Join(os.Chmod(inner, folder), os.Chmod(file, mode))
		if os.Getuid() == 0 {
			err = errors.Join(err, os.Lchown(file, owner, group), os.Lchown(inner, 0, group))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name         string
		folder, mode os.FileMode
		owner, group int // only root can change the owner of a file
		ignored      string
	}{
		{"one's own", 0o755, 0o644, 0, 0, ""},
		{"a folder like /tmp", 0o777 | os.ModeSticky, 0o644, 0, 0, "may be written by everybody"},
		{"a file that everybody writes", 0o755, 0o646, 0, 0, "may be written by everybody"},
		{"one's private group, as with umask 002", 0o775, 0o664, 0, 0, ""},
		{"a shared group", 0o775, 0o664, 0, 4242, "may be written by group 4242"},
		{"somebody else's in a closed folder", 0o755, 0o644, 4242, 0, "belongs to user 4242"},
	} {
		if os.Getuid() != 0 && (tt.owner != 0 || tt.group != 0) {
			continue
		}
		set(tt.folder, tt.mode, tt.owner, tt.group)
		p, err := Find("", inner, "", func(string) string { return "" })
		want := file
		if tt.ignored != "" {
			want = outer
		}
		if _, err := Load(t.Context(), Places{Project: file}); (err != nil) != (tt.ignored != "") {
			t.Errorf("%s: changed after it was found: %v", tt.name, err)
		}
		if err != nil || p.Project != want || len(p.Ignored) != min(1, len(tt.ignored)) {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		} else if tt.ignored != "" && !strings.Contains(p.Ignored[0].Error(), tt.ignored) {
			t.Errorf("%s: %v", tt.name, p.Ignored[0])
		}
	}
}

// For a symbolic link, Foreign also checks the file that it points to.
func TestLinkedProjectFile(t *testing.T) {
	root, open := t.TempDir(), t.TempDir()
	target := filepath.Join(open, "x.json")
	err := errors.Join(os.WriteFile(target, []byte("{}"), 0o644), os.Symlink(target, filepath.Join(root, ".mcp.json")))
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if p, err := Find("", root, "", none); err != nil || p.Project == "" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", root, "", none); err != nil || p.Project != "" || len(p.Ignored) != 1 {
		t.Errorf("a link into an open folder: %+v, %v", p, err)
	}
}

// NotRoots finds another user's part of a path, also behind a link and above a folder that does not exist.
func TestNotRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can create folders of another user")
		return
	}
	roots, theirs := t.TempDir(), t.TempDir()
	err := errors.Join(os.MkdirAll(theirs+"/a/b", 0o755), os.Lchown(theirs+"/a", 4242, 4242), os.Symlink(theirs+"/a/b", roots+"/into"),
		os.Symlink(roots, roots+"/own"), os.Symlink(roots, roots+"/link"), os.Lchown(roots+"/link", 4242, 4242), os.Symlink("nowhere", roots+"/dangling"))
	if err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{
		roots:                   "",
		roots + "/own/missing":  "",
		roots + "/dangling/x":   "",
		theirs + "/a":           theirs + "/a",
		theirs + "/a/b":         theirs + "/a",
		theirs + "/a/missing/x": theirs + "/a",
		roots + "/into":         theirs + "/a",
		roots + "/into/missing": theirs + "/a",
		roots + "/link":         roots + "/link",
		roots + "/link/own":     roots + "/link",
	} {
		if want != "" {
			want += " belongs to user 4242"
		}
		if got := NotRoots(folder); got != want {
			t.Errorf("%s: %q, want %q", folder, got, want)
		}
	}
}

//go:build !windows

package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Foreign returns the reason why another user could have written a project's file, or "". It checks the file, the link that leads to it,
// and their folders.
func Foreign(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return why(err)
	}
	for _, each := range []string{path, real, filepath.Dir(path), filepath.Dir(real)} {
		info, err := os.Lstat(each)
		if err != nil {
			return why(err)
		}
		if reason := foreign(info); reason != "" {
			return each + " " + reason
		}
	}
	return ""
}

func foreign(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	me := uint32(os.Geteuid())
	mode := info.Mode()
	switch {
	case !ok:
		return ""
	case stat.Uid != me && stat.Uid != 0:
		return fmt.Sprintf("belongs to user %d", stat.Uid)
	case mode&fs.ModeSymlink != 0: // the mode of a link has no meaning
		return ""
	case mode&0o002 != 0:
		return "may be written by everybody"
	case mode&0o020 != 0 && stat.Gid != me && stat.Gid != 0: // a user's private group has the user's number
		return fmt.Sprintf("may be written by group %d", stat.Gid)
	}
	return ""
}

// NotRoots returns the owner of a folder if root runs mcpauth with the home of another user, as sudo without -H does, and otherwise "". If
// the folder does not exist, its nearest existing parent is checked.
func NotRoots(folder string) string {
	if os.Geteuid() != 0 {
		return ""
	}
	for ; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil && filepath.Dir(folder) != folder {
			continue
		}
		if err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
				return fmt.Sprintf("%s belongs to user %d", folder, stat.Uid)
			}
		}
		return ""
	}
}

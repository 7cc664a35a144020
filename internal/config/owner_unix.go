//go:build !windows

package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Foreign returns the reason why another user could have written a project's file, or "" if no other user could. Foreign checks the file,
// its folder and, if path is a symbolic link, the link and the link's folder.
func Foreign(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return reasonWithoutPath(err)
	}
	for _, each := range []string{path, real, filepath.Dir(path), filepath.Dir(real)} {
		info, err := os.Lstat(each)
		if err != nil {
			return reasonWithoutPath(err)
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
	case mode&0o020 != 0 && stat.Gid != me && stat.Gid != 0: // a group with the same ID is assumed to be the user's private group
		return fmt.Sprintf("may be written by group %d", stat.Gid)
	}
	return ""
}

// ForeignFolder explains why another user can change the files in a folder. The result is "" if no other user can, or if the folder does
// not exist.
func ForeignFolder(folder string) string {
	for _, stat := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		if info, err := stat(folder); err == nil {
			if reason := foreign(info); reason != "" {
				return folder + " " + reason
			}
		}
	}
	return ""
}

// NotRoots returns a message if mcpauth runs as root and another user owns the folder, a folder above it or a symbolic link in its path, and ""
// in all other cases. For example, sudo without -H may keep the HOME of the caller. Parts of the path that do not exist are ignored.
func NotRoots(folder string) string {
	if os.Geteuid() != 0 {
		return ""
	}
	info, err := os.Lstat(folder)
	if err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return fmt.Sprintf("%s belongs to user %d", folder, stat.Uid)
		}
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if real, err := filepath.EvalSymlinks(folder); err == nil {
			if whose := NotRoots(real); whose != "" {
				return whose
			}
		}
	}
	if parent := filepath.Dir(folder); parent != folder {
		return NotRoots(parent)
	}
	return ""
}

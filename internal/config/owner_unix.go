//go:build !windows

// This file tells whose file a project file is, where everybody may put one.

package config

import (
	"os"
	"path/filepath"
	"syscall"
)

// planted reports whether somebody else put the file into a folder where everybody may write, such as /tmp: a name in it could stand for
// another server than its user thinks.
func planted(path string) bool {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil || folder.Mode()&0o002 == 0 {
		return false
	}
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid != uint32(os.Getuid()) && owner.Uid != 0
}

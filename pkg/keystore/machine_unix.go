//go:build unix

package keystore

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileID returns device and inode number, which identify a file on this machine.
func fileID(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(stat.Dev, ".", stat.Ino)
	}
	return ""
}

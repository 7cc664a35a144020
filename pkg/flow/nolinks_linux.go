package flow

import (
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openWithoutLinks opens a file. If a part of the absolute path is a symbolic link, openWithoutLinks returns an error.
func openWithoutLinks(path string) (*os.File, error) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	for i, part := range parts {
		if err != nil {
			break
		}
		folder, flags := fd, unix.O_PATH|unix.O_DIRECTORY // O_PATH needs no permission to list the folder
		if i == len(parts)-1 {
			flags = unix.O_RDONLY
		}
		fd, err = unix.Openat(folder, part, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(folder)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

package flow

import (
	"os"

	"golang.org/x/sys/unix"
)

// openWithoutLinks opens a file. If a part of the path is a symbolic link, openWithoutLinks returns an error.
func openWithoutLinks(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW_ANY, 0)
}

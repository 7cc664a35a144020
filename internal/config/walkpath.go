package config

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// walkPath follows an absolute path and its symbolic links, and returns the path without links. walkPath calls enter before it looks at a
// part, and visit after it has looked at a folder, a link or the file. walkPath returns an error if enter does, or if a part does not exist.
func walkPath(path string, enter func(part string) error, visit func(part string, info fs.FileInfo)) (real string, err error) {
	const maxLinks = 40 // as on Linux
	real, rest := splitPath(path, "")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(real, rest[0])
		rest = rest[1:]
		if err := enter(next); err != nil {
			return "", err
		}
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		visit(next, info)
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		links++
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if links > maxLinks {
			return "", errors.New("too many symbolic links")
		}
		var parts []string
		real, parts = splitPath(target, real)
		rest = append(parts, rest...)
	}
	return real, nil
}

// splitPath returns the folder in which a path begins, and the parts of the path. A relative path begins in the folder from.
func splitPath(path, from string) (begin string, parts []string) {
	volume := filepath.VolumeName(path) // always "" except on Windows
	parts = strings.Split(filepath.ToSlash(path[len(volume):]), "/")
	if volume == "" && parts[0] != "" {
		return from, parts
	}
	return cmp.Or(volume, filepath.VolumeName(from)) + string(filepath.Separator), parts
}

func anyPart(string) error { return nil }

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// walkPath follows an absolute path and its symbolic links, and returns the path without links. walkPath calls enter before it looks at a
// part, and visit after it has looked at a folder or the file, or before it follows a link. walkPath returns an error if enter or visit does,
// or if a part does not exist.
func walkPath(path string, enter func(part string) error, visit func(part string, info fs.FileInfo) error) (real string, err error) {
	const maxLinks, maxParts = 40, 1000 // Linux follows 40 links
	real, rest := splitPath(path, "")
	for links, seen := 0, 0; len(rest) > 0; {
		if seen++; seen > maxParts {
			return "", fmt.Errorf("its path has more than %d parts", maxParts)
		}
		next := filepath.Join(real, rest[0])
		rest = rest[1:]
		if err := enter(next); err != nil {
			return "", err
		}
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if err := visit(next, info); err != nil {
			return "", err
		}
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
			return "", errors.New("its path has too many symbolic links")
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

// noForeignLink returns an error for a symbolic link of another user.
func noForeignLink(part string, info fs.FileInfo) error {
	if reason := otherOwner(info); reason != "" && info.Mode()&fs.ModeSymlink != 0 {
		return errors.New(part + " " + reason)
	}
	return nil
}

// walkOwn is like walkPath, but returns an error if another user could have written the file or made a symbolic link in the path. walkOwn
// checks each of them before it follows it.
func walkOwn(path string, enter func(part string) error) (real string, err error) {
	if err = checkOwners(path); err == nil {
		if real, err = walkPath(path, enter, ownLink); err == nil {
			err = checkOwners(real)
		}
	}
	return real, err
}

// checkOwners returns an error if another user could have written a file, or can change the file's folder.
func checkOwners(path string) error {
	for _, each := range []string{path, filepath.Dir(path)} {
		info, err := os.Lstat(each)
		if err != nil {
			return err
		}
		if reason := foreign(each, info); reason != "" {
			return errors.New(couldHaveWritten + each + " " + reason)
		}
	}
	return nil
}

// ownLink returns an error for a symbolic link that another user could have made.
func ownLink(part string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	folder, err := os.Lstat(filepath.Dir(part))
	if sticky := err == nil && folder.Mode()&fs.ModeSticky != 0; sticky && otherOwner(folder) == "" && foreign(part, info) == "" {
		return nil // in a folder like /tmp, only the owners of the link and the folder can replace a link
	}
	return checkOwners(part)
}

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Resolve returns the path of a project's file without symbolic links, or "" if there is no such file. If a link leads out of the project,
// Resolve returns a text that says so. Resolve looks at nothing outside the project and the folders above it, because to look at a path such
// as /net/HOST or \\HOST can connect to a file server.
func Resolve(path, home string) (real, outside string) {
	if _, err := os.Lstat(path); err != nil {
		return "", ""
	}
	above := filepath.Dir(path)
	folder, err := filepath.EvalSymlinks(above)
	if err != nil { // some file systems of Windows cannot resolve links
		folder = above
	}
	root := projectRoot(folder, home)
	real, err = walkPath(filepath.Join(folder, filepath.Base(path)), func(part string) error {
		if !isWithin(root, part) && !isWithin(part, folder) && !isWithin(part, above) {
			outside = fmt.Sprintf("a symbolic link leads to %q, outside the project %q", part, root)
			return errors.New(outside)
		}
		return nil
	}, func(string, fs.FileInfo) {})
	if err != nil {
		return "", outside
	}
	return real, ""
}

// projectRoot returns the top folder of the Git repository that contains a folder. Without a repository, the folder itself is the result. A
// repository of the home folder or above it does not count, because it would make all the user's files part of the project. A .git that
// another user can have put there does not count, such as /tmp/.git.
func projectRoot(folder, home string) string {
	own, _ := os.Stat(home)
	for dir := folder; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || os.SameFile(info, own) {
			break
		}
		git := filepath.Join(dir, ".git")
		if _, err := os.Lstat(git); err == nil && Foreign(git) == "" {
			return dir
		}
	}
	return folder
}

// isWithin reports whether a path is a folder or lies below the folder.
func isWithin(folder, path string) bool {
	separator := string(filepath.Separator)
	return strings.HasPrefix(path+separator, strings.TrimSuffix(folder, separator)+separator)
}

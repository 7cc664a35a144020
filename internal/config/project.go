package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Resolve returns the path of a project's file without symbolic links, or "" if there is no such file. If the file must not be used, Resolve
// returns the reason. Resolve follows no link of another user and no link that leads out of the project, because to look at a path such as
// /net/HOST or \\HOST can connect to a file server.
func Resolve(path, home string) (real, reason string) {
	real, err := resolve(path, home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ""
	case err != nil:
		return "", reasonWithoutPath(err)
	case NotRoots(home) != "": // the owner of the home folder could have moved a folder of root
		if whose := NotRoots(real); whose != "" {
			return "", couldHaveWritten + whose + ", and mcpauth runs as root"
		}
	}
	return real, ""
}

func resolve(path, home string) (string, error) {
	above := filepath.Dir(path)
	folder, err := walkPath(above, anyPart, ownLink)
	if err != nil {
		return "", err
	}
	if long, err := filepath.EvalSymlinks(folder); err == nil { // Windows also has short names
		folder = long
	}
	root := projectRoot(folder, home)
	return walkOwn(filepath.Join(folder, filepath.Base(path)), func(part string) error {
		if !isWithin(root, part) && !isWithin(part, folder) && !isWithin(part, above) {
			return fmt.Errorf("a symbolic link leads to %q, outside the project %q", part, root)
		}
		return nil
	})
}

// projectRoot returns the top folder of the Git repository that contains a folder. Without a repository, the folder itself is the result. A
// repository of the home folder or above it does not count, because it would make all the user's files part of the project. The search ends at
// the first .git. If another user can have put it there, such as /tmp/.git, there is no repository.
func projectRoot(folder, home string) string {
	own, _ := os.Stat(home)
	for dir := folder; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || os.SameFile(info, own) {
			break
		}
		git := filepath.Join(dir, ".git")
		if _, err := os.Lstat(git); err == nil {
			if checkOwners(git) == nil {
				return dir
			}
			break
		}
	}
	return folder
}

// isWithin reports whether a path is a folder or lies below the folder.
func isWithin(folder, path string) bool {
	separator := string(filepath.Separator)
	return strings.HasPrefix(path+separator, strings.TrimSuffix(folder, separator)+separator)
}

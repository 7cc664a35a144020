package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Places are the paths of the configuration files. An empty path means that there is no such file.
type Places struct {
	Named   string  // named by the user; if set, no other file is read
	Project string  // found in the working directory or a folder above it; the path has no symbolic links
	Own     string  // the user's own file
	Ignored []Error // existing files that are not read, and the reasons
}

// maxIgnored is the number of project's files that cannot be used after which Find ends the search.
const maxIgnored = 10

const couldHaveWritten = "another user could have written it: "

// Find finds the configuration files. If the flag or MCPAUTH_CONFIG names a file, Find returns only that file. If neither names a file,
// Find returns the nearest .mcp.json in dir or a folder above it, and config.json in the user's configuration folder. If mcpauth runs as root in
// another user's home, Find returns an error if MCPAUTH_CONFIG names another user's file.
func Find(flag, dir, home string, getenv func(string) string) (Places, error) {
	if flag != "" {
		return Places{Named: flag}, nil
	}
	if path := getenv("MCPAUTH_CONFIG"); path != "" {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return Places{}, &Error{Path: path, Reason: "named by MCPAUTH_CONFIG, but " + reasonWithoutPath(err)}
		}
		// sudo -E keeps the caller's MCPAUTH_CONFIG and HOME.
		if whole, _ := filepath.Abs(path); NotRoots(home) != "" && NotRoots(whole) != "" {
			return Places{}, &Error{Path: path, Reason: "named by MCPAUTH_CONFIG, but mcpauth runs as root, and this file and HOME are not root's: " + NotRoots(whole)}
		}
		return Places{Named: path}, nil
	}
	var p Places
	for seen := 0; dir != "" && p.Project == "" && seen < maxIgnored; {
		path := filepath.Join(dir, ".mcp.json")
		if _, err := os.Lstat(path); err == nil {
			seen++
			p.look(path, home)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	for _, folder := range ownFolders(runtime.GOOS, home, getenv) {
		path := filepath.Join(folder, "mcpauth", "config.json")
		if whose := NotRoots(folder); whose != "" {
			if _, err := walkPath(path, anyPart, noForeignLink); !errors.Is(err, fs.ErrNotExist) { // such a link is not followed
				p.Ignored = append(p.Ignored, Error{Path: path, Reason: couldHaveWritten + whose + ", and mcpauth runs as root"})
				return p, nil
			}
			continue
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && !isBelowDeadLink(path) {
			continue
		}
		return p.withOwn(path)
	}
	return p, nil
}

// look adds a project's file. If the path is a dead link inside the project, or not a file, look adds nothing.
func (p *Places) look(path, home string) {
	real, reason := Resolve(path, home)
	if reason != "" {
		p.Ignored = append(p.Ignored, Error{Path: path, Reason: reason})
	} else if isFile(real) {
		p.Project = real
	}
}

// withOwn adds the user's own file. If the file exists but cannot be used, a project's file could take the names of its servers, so that
// withOwn returns an error if there is a project's file.
func (p Places) withOwn(path string) (Places, error) {
	reason := Foreign(path)
	switch {
	case !isFile(path):
		reason = reasonNoFile(path)
	case reason != "":
		p.Ignored = append(p.Ignored, Error{Path: path, Reason: reason})
	default:
		p.Own = path
		return p, nil
	}
	if p.Project != "" {
		return Places{}, &Error{Path: path, Reason: reason + "; mcpauth cannot tell which names in " + p.Project + " are yours"}
	}
	return p, nil
}

// ownFolders returns the folders in which to look for the user's configuration. Relative paths are ignored, because the working directory
// may be a downloaded repository. The XDG Base Directory Specification demands the same for XDG_CONFIG_HOME.
func ownFolders(goos, home string, getenv func(string) string) []string {
	if base := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(base) {
		return []string{base}
	}
	var folders []string
	if base := getenv("APPDATA"); goos == "windows" && filepath.IsAbs(base) {
		folders = append(folders, base)
	}
	if filepath.IsAbs(home) {
		folders = append(folders, filepath.Join(home, ".config"))
	}
	return folders
}

// isBelowDeadLink reports whether a folder above the path is a link to a folder that is missing, for example on a disk that is not mounted.
func isBelowDeadLink(path string) bool {
	for folder := filepath.Dir(path); folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Lstat(folder); err == nil {
			_, err = os.Stat(folder)
			return err != nil
		}
	}
	return false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// reasonNoFile returns the reason why a path that exists is not a file.
func reasonNoFile(path string) string {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return "it is not a regular file"
	}
	return reasonWithoutPath(err)
}

// reasonWithoutPath returns the text of an error without the path. If err is nil, the path is a folder.
func reasonWithoutPath(err error) string {
	if err == nil {
		return "it is a folder"
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "there is no such file"
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Places are the configuration files.
type Places struct {
	Named   string  // named by the user; then no other file is read
	Project string  // found in the working directory or above
	Own     string  // the user's own file
	Ignored []Error // files that another user could have written
}

// Find finds the configuration files: the file named by the flag or MCPAUTH_CONFIG, or else the nearest .mcp.json in dir or above and
// config.json in the user's configuration folder.
func Find(flag, dir, home string, getenv func(string) string) (Places, error) {
	if flag != "" {
		return Places{Named: flag}, nil
	}
	if path := getenv("MCPAUTH_CONFIG"); path != "" {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return Places{}, &Error{Path: path, Reason: "named by MCPAUTH_CONFIG, but " + why(err)}
		}
		return Places{Named: path}, nil
	}
	var p Places
	for dir != "" && p.Project == "" {
		if path := filepath.Join(dir, ".mcp.json"); isFile(path) {
			if reason := Foreign(path); reason != "" {
				p.Ignored = append(p.Ignored, Error{Path: path, Reason: reason})
			} else {
				p.Project = path
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	for _, folder := range ownFolders(runtime.GOOS, home, getenv) {
		if path := filepath.Join(folder, "mcpauth", "config.json"); isFile(path) {
			if reason := NotRoots(path); reason != "" {
				p.Ignored = append(p.Ignored, Error{Path: path, Reason: reason + ", and mcpauth runs as root"})
			} else {
				p.Own = path
			}
			break
		}
	}
	return p, nil
}

// ownFolders returns the folders for a user's configuration. Relative XDG folders are ignored (XDG Base Directory Specification).
func ownFolders(goos, home string, getenv func(string) string) []string {
	if base := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(base) {
		return []string{base}
	}
	var folders []string
	if base := getenv("APPDATA"); goos == "windows" && base != "" {
		folders = append(folders, base)
	}
	if home != "" {
		folders = append(folders, filepath.Join(home, ".config"))
	}
	return folders
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// why returns the error without the path.
func why(err error) string {
	var p *fs.PathError
	switch {
	case err == nil:
		return "it is a folder"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.As(err, &p):
		return p.Err.Error()
	}
	return err.Error()
}

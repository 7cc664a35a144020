package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"mcpauth/internal/config"
)

// stateDir returns the folder for the index, locks and caches, which contain no secrets.
func (p *program) stateDir() (string, error) {
	return p.chooseFolder("MCPAUTH_STATE_DIR", "XDG_STATE_HOME", ".local", "state")
}

// cacheDirs returns the folders for cached data and for records of tasks. If another user can change one of them, cacheDirs returns an
// error, so that nothing is cached.
func (p *program) cacheDirs() (cache, tasks string, err error) {
	state, err := p.stateDir()
	if err != nil {
		return "", "", err
	}
	cache, tasks = filepath.Join(state, "cache"), filepath.Join(state, "tasks")
	for _, folder := range []string{state, cache, tasks} {
		if reason := config.ForeignFolder(folder); reason != "" {
			return "", "", errors.New(reason)
		}
	}
	return cache, tasks, nil
}

// dataDir returns the folder of the file store.
func (p *program) dataDir() (string, error) {
	return p.chooseFolder("MCPAUTH_KEYSTORE_DIR", "XDG_DATA_HOME", ".local", "share")
}

// chooseFolder is folderOf, but returns an error if another user could have made a symbolic link in the path. Behind the link could be a list of
// trusted files, or a login, of this user.
func (p *program) chooseFolder(override, xdg string, home ...string) (string, error) {
	dir, err := p.folderOf(override, xdg, home...)
	if err != nil {
		return "", err
	}
	return dir, checkLinks(dir, "MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR to paths")
}

// checkLinks returns an error if another user could have made a symbolic link in a path. advice is the object of "set".
func checkLinks(path, advice string) error {
	if whose := config.ForeignLink(path); whose != "" {
		return &configError{message: fmt.Sprintf("%s is not used, because the symbolic link %s", path, whose), hint: "if you trust this user, make the link again yourself; or set " + advice + " without this link"}
	}
	return nil
}

// folderOf returns the path in a variable such as MCPAUTH_KEYSTORE_DIR. The default is the subfolder mcpauth of the XDG folder, or of
// %LOCALAPPDATA% on Windows. An XDG variable that contains a relative path is ignored, as the XDG Base Directory Specification requires.
func (p *program) folderOf(override, xdg string, home ...string) (string, error) {
	base, name := p.homeFolder()
	if dir := p.getenv(override); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil || config.NotRoots(base) == "" {
			return dir, err
		}
		return checkFolderOwner(dir, override) // the variable may be the other user's too, for example with sudo -E
	}
	if dir := p.getenv(xdg); filepath.IsAbs(dir) {
		return checkFolderOwner(filepath.Join(dir, "mcpauth"), xdg)
	}
	dir := filepath.Join(base, filepath.Join(home...), "mcpauth")
	if local := p.getenv("LOCALAPPDATA"); runtime.GOOS == "windows" && filepath.IsAbs(local) {
		local = filepath.Join(local, "mcpauth")
		if base != "" {
			moveFiles(dir, local)
		}
		return local, nil
	}
	if base == "" {
		return "", &configError{message: fmt.Sprintf("no folder for state: %s is not set to an absolute path", name), hint: "set " + name + ", or both MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR"}
	}
	return checkFolderOwner(dir, name)
}

// checkFolderOwner returns dir. If mcpauth runs as root, and dir or a folder above it belongs to another user, checkFolderOwner returns an
// error. In another user's folder, root would create files that this user cannot change, and this user could make root write elsewhere.
func checkFolderOwner(dir, variable string) (string, error) {
	if whose := config.NotRoots(dir); whose != "" {
		return "", &configError{message: fmt.Sprintf("mcpauth runs as root, but %s is a folder of another user: %s; mcpauth does not touch it", variable, whose),
			hint: "run it without sudo, or with sudo -H to store logins for root, or set HOME, or both MCPAUTH_STATE_DIR and MCPAUTH_KEYSTORE_DIR, to a folder of root"}
	}
	return dir, nil
}

// moveFiles moves the files of earlier versions of mcpauth to their new folder. A file that cannot be moved is ignored.
func moveFiles(from, to string) {
	entries, err := os.ReadDir(from)
	if err != nil || os.MkdirAll(to, 0o700) != nil {
		return
	}
	for _, e := range entries {
		target := filepath.Join(to, e.Name())
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			_ = os.Rename(filepath.Join(from, e.Name()), target)
		}
	}
	_ = os.Remove(from) // os.Remove fails if the folder is not empty
}

// homeFolder returns the home folder and the name of the variable that contains it. A relative path is ignored, because it could be a
// folder of a downloaded repository.
func (p *program) homeFolder() (dir, variable string) {
	variable = "HOME"
	if runtime.GOOS == "windows" && !filepath.IsAbs(p.getenv(variable)) {
		variable = "USERPROFILE"
	}
	if dir = p.getenv(variable); !filepath.IsAbs(dir) {
		dir = ""
	}
	return dir, variable
}

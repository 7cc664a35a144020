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

// dataDir returns the folder of the file store.
func (p *program) dataDir() (string, error) {
	return p.chooseFolder("MCPAUTH_KEYSTORE_DIR", "XDG_DATA_HOME", ".local", "share")
}

// chooseFolder returns the folder in the environment variable override. The default is the subfolder mcpauth of the XDG folder, or of
// %LOCALAPPDATA% on Windows. An XDG variable that contains a relative path is ignored, as the XDG Base Directory Specification requires.
func (p *program) chooseFolder(override, xdg string, home ...string) (string, error) {
	if dir := p.getenv(override); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := p.getenv(xdg); filepath.IsAbs(dir) {
		return checkFolderOwner(filepath.Join(dir, "mcpauth"), xdg)
	}
	base, name := p.homeFolder()
	dir := filepath.Join(base, filepath.Join(home...), "mcpauth")
	if local := p.getenv("LOCALAPPDATA"); runtime.GOOS == "windows" && filepath.IsAbs(local) {
		local = filepath.Join(local, "mcpauth")
		if base != "" {
			moveFiles(dir, local)
		}
		return local, nil
	}
	if base == "" {
		return "", &configError{message: fmt.Sprintf("no folder for state: %s is not set to an absolute path", name), hint: "set " + name + ", or " + override}
	}
	return checkFolderOwner(dir, name)
}

// checkFolderOwner returns an error if mcpauth runs as root and the folder belongs to another user, because that user could not change the
// files that root would create there.
func checkFolderOwner(dir, variable string) (string, error) {
	if whose := config.NotRoots(dir); whose != "" {
		return "", &configError{message: fmt.Sprintf("mcpauth runs as root, but %s is a folder of another user: %s; mcpauth does not touch it", variable, whose),
			hint: "run it without sudo, or with sudo -H to store logins for root"}
	}
	return dir, nil
}

// moveFiles moves the files of earlier versions of mcpauth to their new folder. If a file cannot be moved, it stays in the old folder and
// is ignored.
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

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"mcpauth/internal/config"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/keystore"
)

// trustKey is the key of the list of trusted files. The list is a file in the state folder, even if the logins are in another store. Only
// the user can read this file.
func trustKey() keystore.Key { return keystore.Key{Server: "mcpauth:trust"} }

const trustNote = "trusted"

// trustedFile describes a project's file as it was when the user trusted it.
type trustedFile struct {
	Path  string            `json:"path"`
	Sum   string            `json:"sha256"`
	At    time.Time         `json:"trusted_at"`
	Files map[string]string `json:"files,omitempty"` // the digest of each path that a login opens, and of the file to which the path leads
}

// digest returns the SHA-256 of a path. The list of trusted files contains no path of an entry, because a path may contain a secret variable.
func digest(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:])
}

// checkListed returns the files of an entry, or an error if the user has not trusted the file of the entry in its current state. Before that,
// checkListed opens no path of the entry, because a path can send the value of a variable to a file server.
func (p *program) checkListed(ctx context.Context, e config.Entry) (map[string]string, error) {
	if err := checkPrintable(e.Path); err != nil {
		return nil, err
	}
	known, err := p.trustedFiles(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(known, func(f trustedFile) bool { return f.Path == e.Path })
	switch {
	case i < 0:
		return nil, untrustedError(e, "is not trusted")
	case known[i].Sum != e.Sum:
		return nil, untrustedError(e, "has changed since it was trusted")
	}
	files := p.filesOf(e)
	if known[i].hasMovedFile(files) {
		return nil, untrustedError(e, "names files that point elsewhere since it was trusted")
	}
	return files, nil
}

// filesOf returns the files that a login with the settings of an entry opens. The result maps each file to its real path.
func (p *program) filesOf(e config.Entry) map[string]string {
	files := map[string]string{}
	for _, file := range e.Files(p.getenv) {
		files[file] = realPath(file)
	}
	return files
}

// hasMovedFile reports whether a file was added, or the real path of a file has changed, since the user trusted the project's file.
func (f trustedFile) hasMovedFile(files map[string]string) bool {
	for file, real := range files {
		if f.Files[digest(file)] != digest(real) {
			return true
		}
	}
	return false
}

// checkApproved returns an error if another user can replace a client key or an assertion of a login that was made with a project's file, or
// if its real path has changed since the login and no trusted project's file names the file with its new real path.
func (p *program) checkApproved(what, file, approved, real string) error {
	switch reason := config.Exposed(real); {
	case reason != "":
		return &configError{message: fmt.Sprintf("the %s of a project's file, %s, is not used, because another user can replace it: %s", what, foreignName(real), reason),
			hint: "move the file to a folder of your own, change its path in the project's file, and run mcpauth trust"}
	case real == approved:
		return nil
	}
	known, err := p.trustedFiles(context.Background())
	if err != nil || slices.ContainsFunc(known, func(f trustedFile) bool { return f.Files[digest(file)] == digest(real) }) {
		return err
	}
	return &configError{message: fmt.Sprintf("the path %s leads to %s, which is not the file that a login with a project's file used", foreignName(file), foreignName(real)),
		hint: "if the other file is right, run mcpauth trust PROJECT_FILE, or log in with " + map[string]string{"client key": "--client-key", "assertion": "--assertion-file"}[what]}
}

// realPath returns the absolute path without symbolic links. The part of the path that does not exist is not changed.
func realPath(path string) string {
	existing, missing := realParts(path)
	return filepath.Join(existing, missing)
}

// realParts returns the absolute path of the part that exists, without symbolic links, and the part that does not exist. To find the parts,
// realParts makes a binary search, because a project's file may name a path of thousands of folders.
func realParts(path string) (existing, missing string) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	ends := []int{len(path)} // the lengths of the path and of the folders above it
	for folder := filepath.Dir(path); len(folder) < ends[len(ends)-1]; folder = filepath.Dir(folder) {
		ends = append(ends, len(folder))
	}
	i := sort.Search(len(ends)-1, func(i int) bool {
		_, err := os.Stat(path[:ends[i]])
		return err == nil
	})
	real, err := filepath.EvalSymlinks(path[:ends[i]])
	if err != nil {
		return path, ""
	}
	return real, path[ends[i]:]
}

// trustedFiles reads the list of trusted files.
func (p *program) trustedFiles(ctx context.Context) ([]trustedFile, error) {
	store, err := p.openStore(keystore.File)
	if err != nil {
		return nil, err
	}
	data, err := store.ReadNote(ctx, trustKey(), trustNote)
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var known []trustedFile
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, store.DamagedNote(trustKey(), trustNote)
	}
	return slices.DeleteFunc(known, func(f trustedFile) bool { return f.Sum == "" }), nil // a record without a checksum is not valid
}

// replaceTrusted replaces the record of one file in the list of trusted files, and reports whether there was one. Without now, the record is
// removed. A lock prevents two processes from changing the list at the same time.
func (p *program) replaceTrusted(ctx context.Context, path string, now ...trustedFile) (was bool, err error) {
	store, err := p.openStore(keystore.File)
	if err != nil {
		return false, err
	}
	unlock, err := store.Lock(ctx, trustKey(), trustNote)
	if err != nil {
		return false, err
	}
	defer unlock()
	known, err := p.trustedFiles(ctx)
	if err != nil {
		return false, err
	}
	others := slices.DeleteFunc(slices.Clone(known), func(f trustedFile) bool { return f.Path == path })
	data, err := json.Marshal(append(others, now...))
	if err != nil {
		return false, err
	}
	return len(others) < len(known), store.Note(ctx, trustKey(), trustNote, data)
}

// checkNameOfProject returns an error if the command line names a secret, and only an untrusted project's file, or a login that is not finished,
// gives the server its name. Without this check, a login in one repository would make the secrets of flags in all folders go to its server.
func (p *program) checkNameOfProject(t flow.Target) error {
	if !t.NameOfProject || !p.namesSecret() {
		return nil
	}
	e := &configError{message: fmt.Sprintf("only an unfinished login, or a project's file that was not trusted, gave the name %s to %s, and this command would send a header or a secret of its flags there", quote(t.Profile), t.URL),
		hint: "give the URL of the server instead of its name: " + shellWord(t.URL)}
	if isLoginName(t.Profile) {
		e.hint = "give the URL of the server instead of its name, or give it the name yourself: " + p.hintAbout(shellWord(t.URL)).withoutSecrets().loginLine("--name", t.Profile)
	}
	return e
}

// Package config reads the configuration files of MCP clients. A file contains a JSON object `mcpServers` (or `servers`) with one member
// per server. Comments and trailing commas are allowed. mcpauth adds the optional member `auth` to the object of a server.
//
//	places, err := config.Find("", dir, home, os.Getenv)
//	file, err := config.Load(ctx, places)
//	entry, err := file.Entry("linear", os.Getenv)
//
// The package reads the files of Claude Code (`oauth`) and Desktop, Cursor (`auth` with CLIENT_ID), VS Code (`servers`, `inputs`,
// ${env:VAR}), Windsurf (`serverUrl`) and Gemini CLI (`httpUrl`). The package skips entries that start a program.
//
// A file that was found in the working directory or above it may have been written by somebody else, such as the author of a cloned
// repository. An entry in a project never replaces an entry of the user's own file. Entry.Uses lists the variables, files and settings that
// an entry uses. If an entry contains variables, files or `auth` settings, the user must trust the entry before mcpauth uses it.
package config

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"mcpauth/internal/httpx"
)

// The user's own file may be large, because Claude Code stores the history of all projects in the same file as its servers. A project's file
// is small, because a stranger may have written it, and login --all, status and trust work on all of its servers.
const (
	maxSize           = 32 << 20 // in bytes
	maxProjectSize    = 128 << 10
	maxProjectServers = 100
)

// ErrUnknown is returned if no file has an entry with this name.
var ErrUnknown = errors.New("no such server")

// Error is an error in a configuration file. Line and Column count from 1; both are 0 if the error concerns the whole file or the
// environment.
type Error struct {
	Path         string
	Line, Column int
	Reason       string
	Variable     string // the variable that is not set; "": the error has another reason
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Path + ": " + e.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Reason)
}

// File is a configuration: the entries of one file, or of the user's own file and a project's file. Variables are not expanded.
type File struct {
	Path    string // the path for messages; "" = there is no file
	Sum     string // SHA-256 of the file in hexadecimal; "" = the entries come from two files
	Servers map[string]Entry
}

// Entry is one server.
type Entry struct {
	Name    string
	URL     string
	Headers map[string]string
	Auth    *Auth  // nil = the entry has no `auth`; its variables are not expanded, see ExpandAuth
	Skipped string // why the entry cannot be used; "" = the entry can be used
	Odd     bool   // Skipped is a mistake in the file: the entry is not disabled, no local program, and of no type of another client

	Path  string // the file that contains the entry
	Sum   string // SHA-256 of that file in hexadecimal
	Found bool   // the file was found by walking upward, not named by the user

	local  bool      // the entry starts a local program
	doc    *document // the parsed file and the offset of the entry, for the position in an error
	offset int
}

// Position returns the file, the line and the column of the entry, for messages.
func (e Entry) Position() string {
	line, column := e.doc.lineAndColumn(e.offset)
	return fmt.Sprintf("%s:%d:%d", e.Path, line, column)
}

// Load reads the files of a configuration. When ctx ends, Load returns, even if a file is a pipe without a writer. The error is an *Error
// or the error of ctx. If only the project's file is the reason of an *Error, Load also returns the user's own entries, which the project's file
// cannot override.
func Load(ctx context.Context, places Places) (*File, error) {
	type result struct {
		file *File
		err  error
	}
	done := make(chan result, 1) // a goroutine that is blocked in a read remains until the process ends
	go func() {
		file, err := load(places)
		done <- result{file, err}
	}()
	select {
	case r := <-done:
		return r.file, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("reading the configuration: %w", ctx.Err())
	}
}

func load(places Places) (*File, error) {
	if places.Named != "" {
		return readFile(places.Named, false)
	}
	own, project := &File{}, &File{}
	var err error
	if places.Own != "" {
		if own, err = readFile(places.Own, false); err != nil {
			return nil, err
		}
	}
	if places.Project != "" {
		if project, err = readFile(places.Project, true); err != nil {
			return own, err
		}
	}
	return mergeFiles(own, project), nil
}

// mergeFiles adds the entries of a project's file to those of the user's own file. If both files have an entry with the same name and URL,
// the user's own entry is used. If the URLs differ, the entry cannot be used. A local program of the user is no server, so that its name is free.
func mergeFiles(own, project *File) *File {
	if own.Path == "" {
		return project
	}
	all := &File{Path: own.Path, Servers: map[string]Entry{}}
	maps.Copy(all.Servers, own.Servers)
	if project.Path != "" {
		all.Path += " and " + project.Path
	}
	for name, theirs := range project.Servers {
		ours, ok := own.Servers[name]
		switch {
		case !ok || ours.local:
			all.Servers[name] = theirs
		case ours.Skipped == "" && theirs.Skipped == "" && theirs.URL != ours.URL:
			ours.Skipped = fmt.Sprintf("its URL is %s here, but %s in %s", ours.URL, theirs.URL, theirs.Path)
			all.Servers[name] = ours
		}
	}
	return all
}

func readFile(path string, found bool) (*File, error) {
	limit := maxSize
	if found {
		limit = maxProjectSize
	}
	f, err := openFile(path, found)
	if err != nil {
		return nil, &Error{Path: path, Reason: reasonWithoutPath(err)}
	}
	defer f.Close()
	if found && !isStillSafe(path, f) {
		return nil, &Error{Path: path, Reason: "another user could have changed it since it was found"}
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	switch {
	case err != nil:
		return nil, &Error{Path: path, Reason: reasonWithoutPath(err)}
	case len(data) > limit:
		return nil, &Error{Path: path, Reason: fmt.Sprintf("larger than %d KiB", limit>>10)}
	}
	file, err := parse(path, data)
	switch {
	case err != nil:
		return nil, err
	case found && len(file.Names()) > maxProjectServers:
		return nil, &Error{Path: path, Reason: fmt.Sprintf("%d servers, but a project's file can have at most %d", len(file.Names()), maxProjectServers)}
	}
	sum := sha256.Sum256(data)
	file.Sum = hex.EncodeToString(sum[:])
	for name, e := range file.Servers {
		if e.Sum, e.Found = file.Sum, found; found {
			e.Skipped = cmp.Or(e.Skipped, e.hiddenArgument())
		}
		file.Servers[name] = e
	}
	return file, nil
}

// hiddenArgument returns a reason if a list that shows the name and the URL of the entry could pass a script another argument.
func (e Entry) hiddenArgument() string {
	switch {
	case httpx.HidesArgument(e.Name):
		return "its name could be read as a flag, a file or a wildcard"
	case !httpx.IsOneWord(e.URL) || strings.IndexAny(e.URL, "-*?[@+!") == 0:
		return "its url is not a URL, or has blanks or invisible characters"
	}
	return ""
}

// openFile opens a file. A file that was found must be a regular file, because to open a pipe can block, and to follow a symbolic link can
// connect to a file server. A file that the user named may be a pipe, such as /dev/fd/63.
func openFile(path string, found bool) (*os.File, error) {
	if !found {
		return os.Open(path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // O_NONBLOCK, because the file could have been replaced since the check
}

// isStillSafe reports whether the open file is still the regular file at path, and no other user could have written it. Another user may have
// replaced the folder since Find checked it.
func isStillSafe(path string, f *os.File) bool {
	opened, err := f.Stat()
	now, err2 := os.Lstat(path)
	return err == nil && err2 == nil && opened.Mode().IsRegular() && os.SameFile(opened, now) && foreign(path, opened) == "" && Foreign(path) == ""
}

// Skipped returns the entries that cannot be used, sorted by name.
func (f *File) Skipped() []Entry {
	var skipped []Entry
	for _, e := range f.Servers {
		if e.Skipped != "" {
			skipped = append(skipped, e)
		}
	}
	slices.SortFunc(skipped, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return skipped
}

// Names returns the names of the entries that can be used, sorted.
func (f *File) Names() []string {
	var names []string
	for name, e := range f.Servers {
		if e.Skipped == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

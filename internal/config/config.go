// Package config reads the configuration files that MCP clients already use: a JSON object `mcpServers` (or `servers`), with comments and
// trailing commas, one member per server. It adds the optional block `auth`.
//
//	path, err := config.Find(dir, home, os.Getenv)
//	file, err := config.Load(path)
//	entry, err := file.Entry("linear", os.Getenv)
//
// Understood are the files of Claude Code (`oauth`) and Desktop, Cursor (`auth` with CLIENT_ID), VS Code (`servers`, `inputs`, ${env:VAR}) and
// Windsurf (`serverUrl`). What an entry says of starting a program is never used: such entries are skipped, with the reason. auth.go reads how to be
// a client, expand.go puts variables in.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// maxSize bounds a configuration file, in bytes. Claude Code keeps the history of all projects in the file of its servers.
const maxSize = 32 << 20

// ErrUnknown says that a file has no entry of that name.
var ErrUnknown = errors.New("no such server")

// Error is a fault in a configuration file. Line and Column count from 1; 0 where the whole file or the environment is at fault.
type Error struct {
	Path         string
	Line, Column int
	Reason       string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Path + ": " + e.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Reason)
}

// File is a configuration file, its variables not yet expanded.
type File struct {
	Path    string
	Servers map[string]Entry
}

// Entry is one server.
type Entry struct {
	Name    string
	URL     string
	Headers map[string]string
	Auth    *Auth  // nil: none
	Skipped string // why the entry is none of ours; empty: it is

	line, column int
}

// Find returns the file to read: MCPAUTH_CONFIG, else the nearest .mcp.json from dir upward, else config.json in the user's configuration
// folder. It is empty when there is none.
func Find(dir, home string, getenv func(string) string) (string, error) {
	if path := getenv("MCPAUTH_CONFIG"); path != "" {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return "", &Error{Path: path, Reason: "named by MCPAUTH_CONFIG, but " + why(err)}
		}
		return path, nil
	}
	for dir != "" {
		if path := filepath.Join(dir, ".mcp.json"); isFile(path) {
			if planted(path) {
				return "", &Error{Path: path, Reason: "it belongs to somebody else, in a folder where everybody may write; --config names it if it is meant"}
			}
			return path, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	base := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		if home == "" {
			return "", nil
		}
		base = filepath.Join(home, ".config")
	}
	if path := filepath.Join(base, "mcpauth", "config.json"); isFile(path) {
		return path, nil
	}
	return "", nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// why tells what is wrong with a path without naming it again.
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

// Load reads a file. The error is an *Error.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{Path: path, Reason: why(err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, &Error{Path: path, Reason: why(err)}
	case len(data) > maxSize:
		return nil, &Error{Path: path, Reason: fmt.Sprintf("larger than %d MiB", maxSize>>20)}
	}
	return parse(path, data)
}

// maxDepth bounds how deep a file may nest.
const maxDepth = 100

// deeper reports whether JSON with comments nests deeper than max.
func deeper(data []byte, max int) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch rest := data[i:]; {
		case data[i] == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(rest, []byte("//")):
			i += until(rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			i += 2 + until(rest[2:], "*/") + 1
		case data[i] == '[' || data[i] == '{':
			if depth++; depth > max {
				return true
			}
		case data[i] == ']' || data[i] == '}':
			depth--
		}
	}
	return false
}

// until is how many bytes stand before the end of a comment.
func until(rest []byte, end string) int {
	if i := bytes.Index(rest, []byte(end)); i >= 0 {
		return i
	}
	return len(rest)
}

// document is a file while it is read: its text gives lines and columns to what is found wrong.
type document struct {
	path string
	data []byte
}

func parse(path string, data []byte) (*File, error) {
	d := document{path, bytes.TrimPrefix(data, []byte("\ufeff"))}
	if deeper(d.data, maxDepth) {
		return nil, d.fault(0, "nested deeper than %d", maxDepth) // the parser recurses, and would end the whole program
	}
	root, err := hujson.Parse(d.data)
	if err != nil {
		return nil, d.syntax(err)
	}
	top, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(0, "not a JSON object")
	}
	f := &File{Path: path, Servers: map[string]Entry{}}
	for _, m := range top.Members {
		if name := text(m.Name); name != "mcpServers" && name != "servers" {
			continue
		}
		servers, ok := m.Value.Value.(*hujson.Object)
		if !ok {
			return nil, d.fault(m.Value.StartOffset, "%s is not an object", text(m.Name))
		}
		if err := d.servers(f, servers); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (d document) servers(f *File, servers *hujson.Object) error {
	for _, m := range servers.Members {
		name := text(m.Name)
		if _, twice := f.Servers[name]; twice {
			return d.fault(m.Name.StartOffset, "the server %q appears twice", name)
		}
		e, err := d.entry(name, m.Value)
		if err != nil {
			return err
		}
		e.line, e.column = d.position(m.Name.StartOffset)
		f.Servers[name] = e
	}
	return nil
}

// entry reads one server. Members that other clients use are passed over.
func (d document) entry(name string, v hujson.Value) (Entry, error) {
	e := Entry{Name: name}
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return e, d.fault(v.StartOffset, "the server %q is not an object", name)
	}
	members, err := d.members(o)
	if err != nil {
		return e, err
	}
	if _, ok := members["command"]; ok {
		e.Skipped = "it starts a local program"
		return e, nil
	}
	for _, key := range []string{"url", "serverUrl"} {
		if v, ok := members[key]; ok && e.URL == "" {
			if e.URL, err = d.string(key, v); err != nil {
				return e, err
			}
		}
	}
	if e.URL == "" {
		e.Skipped = "it has no url"
		return e, nil
	}
	if v, ok := members["headers"]; ok {
		if e.Headers, err = d.headers(v); err != nil {
			return e, err
		}
	}
	e.Auth, err = d.authOf(members)
	return e, err
}

// members lists an object; a member that appears twice is a fault, since readers differ in which one they take.
func (d document) members(o *hujson.Object) (map[string]hujson.Value, error) {
	all := map[string]hujson.Value{}
	for _, m := range o.Members {
		if _, twice := all[text(m.Name)]; twice {
			return nil, d.fault(m.Name.StartOffset, "%q appears twice", text(m.Name))
		}
		all[text(m.Name)] = m.Value
	}
	return all, nil
}

func (d document) headers(v hujson.Value) (map[string]string, error) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, d.fault(v.StartOffset, "headers is not an object")
	}
	members, err := d.members(o)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	for name, v := range members {
		if headers[name], err = d.string("headers."+name, v); err != nil {
			return nil, err
		}
	}
	return headers, nil
}

func (d document) string(what string, v hujson.Value) (string, error) {
	lit, ok := v.Value.(hujson.Literal)
	if !ok || lit.Kind() != '"' {
		return "", d.fault(v.StartOffset, "%s is not a string", what)
	}
	return lit.String(), nil
}

// text is a member's name.
func text(v hujson.Value) string { return v.Value.(hujson.Literal).String() }

func (d document) fault(offset int, format string, args ...any) *Error {
	e := &Error{Path: d.path, Reason: fmt.Sprintf(format, args...)}
	e.Line, e.Column = d.position(offset)
	return e
}

// position counts lines and columns (in bytes) up to an offset.
func (d document) position(offset int) (line, column int) {
	before := d.data[:min(max(offset, 0), len(d.data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// syntax takes line and column out of the parser's words.
func (d document) syntax(err error) *Error {
	e := &Error{Path: d.path, Reason: strings.TrimPrefix(err.Error(), "hujson: ")}
	if n, _ := fmt.Sscanf(e.Reason, "line %d, column %d:", &e.Line, &e.Column); n == 2 {
		_, e.Reason, _ = strings.Cut(e.Reason, ": ")
	}
	return e
}

// Skipped lists the entries that are none of ours, sorted by name.
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

// Names returns the names of the servers that can be reached over HTTP, sorted.
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

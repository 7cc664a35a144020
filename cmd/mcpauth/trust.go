package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/config"
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
	Files map[string]string `json:"files"` // the real path of each file that the project's file names
}

func trustCommand(p *program) *cli.Command {
	var list, revoke bool
	return &cli.Command{
		Name: "trust", ArgsUsage: "[FILE]",
		Usage: "allow a project's .mcp.json to use variables and files",
		UsageText: "mcpauth trust\n" +
			"mcpauth trust --list\n" +
			"mcpauth trust ~/src/project/.mcp.json --revoke",
		Description: "A cloned repository can contain a .mcp.json that a stranger wrote. Until you\n" +
			"trust a project's .mcp.json, mcpauth refuses its entries that use variables,\n" +
			"auth or files. With a login, headers need trust too. mcpauth trust prints what\n" +
			"each server in FILE may use, and trusts FILE. FILE defaults to the nearest\n" +
			".mcp.json. If a trusted file changes, trust the file again. A file that --config\n" +
			"or MCPAUTH_CONFIG names needs no trust.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "list", Usage: "show the trusted files", Destination: &list},
			&cli.BoolFlag{Name: "revoke", Usage: "stop trusting the file", Destination: &revoke},
		},
		Action: func(cx *cli.Context) error {
			switch {
			case cx.Args().Len() > 1:
				return usage("one FILE at a time; " + quote(cx.Args().Get(1)) + " is an extra argument")
			case list && (revoke || cx.Args().Present()):
				return usage("--list cannot be combined with FILE or --revoke")
			case list:
				return p.listTrusted(cx.Context)
			case revoke:
				return p.revokeTrust(cx.Context, cx.Args().First())
			}
			return p.trustFile(cx.Context, cx.Args().First())
		},
	}
}

// checkTrusted returns an error if an entry needs trust and the user has not trusted the file in its current state. An entry of a project's
// file needs trust if it uses variables, auth or files. The headers of an entry need trust only for a login, so serverByEntry and
// protectLogin check them.
func (p *program) checkTrusted(ctx context.Context, e config.Entry, files map[string]string) error {
	if !e.Found || e.Skipped != "" || e.Uses(p.getenv).Nothing() {
		return nil
	}
	return p.checkListed(ctx, e, files)
}

// checkListed returns an error if the user has not trusted the file of an entry in its current state. The argument files is the result of
// filesOf.
func (p *program) checkListed(ctx context.Context, e config.Entry, files map[string]string) error {
	if err := checkPrintable(e.Path); err != nil {
		return err
	}
	known, err := p.trustedFiles(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(known, func(f trustedFile) bool { return f.Path == e.Path })
	switch {
	case i < 0:
		return p.untrustedError(e, files, "is not trusted")
	case known[i].Sum != e.Sum:
		return p.untrustedError(e, files, "has changed since it was trusted")
	case known[i].hasMovedFile(files):
		return p.untrustedError(e, files, "names files that point elsewhere since it was trusted")
	}
	return nil
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
		if f.Files[file] != real {
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
		return &configError{message: fmt.Sprintf("the %s of a project's file, %s, is not used, because another user can replace it: %s", what, real, reason),
			hint: "move the file to a folder of your own, or give the project's file with --config"}
	case real == approved:
		return nil
	}
	known, err := p.trustedFiles(context.Background())
	if err != nil || slices.ContainsFunc(known, func(f trustedFile) bool { return f.Files[file] == real }) {
		return err
	}
	return &configError{message: fmt.Sprintf("the path %s leads to %s, which is not the file that a login with a project's file used", file, real),
		hint: "if the other file is right, run mcpauth trust PROJECT_FILE, or log in with " + map[string]string{"client key": "--client-key", "assertion": "--assertion-file"}[what]}
}

func (p *program) untrustedError(e config.Entry, files map[string]string, state string) error {
	return &configError{message: fmt.Sprintf("%s %s, and its server %s uses %s", e.Path, state, quote(e.Name), shorten(p.usesText(e, files), 300)),
		hint: "look at the file, then: mcpauth trust " + shellWord(removeControls(e.Path))}
}

// usesText lists the variables, auth settings, headers and files that an entry uses. The argument files is the result of filesOf.
func (p *program) usesText(e config.Entry, files map[string]string) string {
	u := e.Uses(p.getenv)
	var parts []string
	for _, each := range []struct {
		what  string
		names []string
	}{{"variables", u.Variables}, {"auth", u.Auth}, {"headers", u.Headers}, {"files", u.Files}} {
		if len(each.names) > 0 {
			parts = append(parts, each.what+" "+strings.Join(convert(each.names, func(name string) string {
				if real := files[name]; real != "" && real != name { // the name of a link does not show which file is read
					return listItem(name) + " -> " + listItem(real)
				}
				return listItem(name)
			}), ", "))
		}
	}
	if u.Issuer != "" {
		parts = append(parts, "issuer "+listItem(u.Issuer))
	}
	return oneLine(strings.Join(parts, "; "))
}

// listItem quotes a text that contains a separator of usesText or begins like its lines, so that the text cannot look like another item.
func listItem(text string) string {
	if strings.ContainsAny(text, `;,>"`) || strings.TrimSpace(text) != text {
		return strconv.Quote(text)
	}
	return text
}

// trustFile prints what each server in a project's file may use, and stores the checksum of the file.
func (p *program) trustFile(ctx context.Context, name string) error {
	path, err := p.projectFile(name)
	if err != nil {
		return err
	}
	file, err := config.Load(ctx, config.Places{Project: path})
	if err != nil {
		return err
	}
	now := trustedFile{Path: path, Sum: file.Sum, At: time.Now().UTC().Truncate(time.Second), Files: map[string]string{}}
	for _, e := range file.Servers {
		maps.Copy(now.Files, p.filesOf(e))
	}
	if p.out.json {
		err = p.out.writeDocument(p.trustDocument(now, file))
	} else {
		err = p.out.writeText(p.trustText(now, file))
	}
	if err != nil {
		return err
	}
	_, err = p.replaceTrusted(ctx, path, now)
	if err != nil || p.out.json {
		return err
	}
	p.out.printNote("%s is trusted in its current state", path)
	return nil
}

// trustDocument lists what a trusted file may use for each server.
func (p *program) trustDocument(f trustedFile, file *config.File) any {
	type used struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		config.Uses
	}
	return struct {
		trustedFile
		Servers []used `json:"servers"`
	}{f, convert(file.Names(), func(name string) used {
		e := file.Servers[name]
		return used{name, e.URL, e.Uses(p.getenv)}
	})}
}

// trustText lists the servers of a trusted file, and what each server may use.
func (p *program) trustText(f trustedFile, file *config.File) string {
	var b strings.Builder
	for _, name := range file.Names() {
		e := file.Servers[name]
		uses := p.usesText(e, f.Files)
		fmt.Fprintf(&b, "%s\n  address: %s\n  uses: %s\n", oneLine(listItem(name)), oneLine(e.URL), cmp.Or(uses, "no variables, files, headers or auth"))
	}
	return cmp.Or(b.String(), "no server in this file\n")
}

// listTrusted prints the trusted files.
func (p *program) listTrusted(ctx context.Context) error {
	known, err := p.trustedFiles(ctx)
	if err != nil {
		return err
	}
	type row struct {
		trustedFile
		State string `json:"state"`
	}
	rows, cells := []row{}, [][]string{}
	for _, f := range known {
		state := "trusted"
		if file, err := config.Load(ctx, config.Places{Project: f.Path}); err != nil {
			state = "unreadable"
		} else if file.Sum != f.Sum {
			state = "changed"
		}
		rows = append(rows, row{f, state})
		cells = append(cells, []string{oneLine(f.Path), state, f.At.Format(time.RFC3339)})
	}
	switch {
	case p.out.json:
		return p.out.writeDocument(rows)
	case len(rows) == 0:
		p.out.printNote("no project file is trusted")
		return nil
	}
	return p.out.writeTable([]string{"FILE", "STATE", "SINCE"}, cells, nil)
}

// revokeTrust ends the trust in a file. The file itself may have been deleted.
func (p *program) revokeTrust(ctx context.Context, name string) error {
	if name == "" {
		var err error
		if name, err = p.nearestProjectFile(); err != nil {
			return err
		}
	}
	path := realPath(name)
	was, err := p.replaceTrusted(ctx, path)
	switch {
	case err != nil:
		return err
	case was:
		p.out.printNote("%s is no longer trusted", path)
	default:
		p.out.printNote("%s was not trusted", path)
	}
	return nil
}

// nearestProjectFile returns the path of the nearest .mcp.json.
func (p *program) nearestProjectFile() (string, error) {
	places, err := p.configPlaces()
	if err != nil || places.Project != "" {
		return places.Project, err
	}
	for _, e := range places.Ignored { // the user's own config.json may be ignored too
		if filepath.Base(e.Path) == ".mcp.json" {
			return e.Path, nil
		}
	}
	return "", &usageError{message: "there is no .mcp.json in this folder or above it; name the FILE", hint: "mcpauth trust --list shows the trusted files"}
}

// projectFile returns the real path of a project's file that can be trusted. If name is empty, the file is the nearest .mcp.json.
func (p *program) projectFile(name string) (string, error) {
	if name == "" {
		var err error
		if name, err = p.nearestProjectFile(); err != nil {
			return "", err
		}
	}
	path := realPath(name)
	if err := checkPrintable(path); err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", &configError{message: path + " is not a file"}
	}
	if reason := config.Foreign(path); reason != "" {
		return "", &configError{message: fmt.Sprintf("%s cannot be trusted, because another user can change it: %s", path, reason),
			hint: "to use it for one command anyway: --config " + shellWord(removeControls(path))}
	}
	return path, nil
}

// checkPrintable returns an error if a path contains control characters, because a message would show the path without them.
func checkPrintable(path string) error {
	if oneLine(path) == path {
		return nil
	}
	return &configError{message: fmt.Sprintf("%s cannot be trusted, because its path has characters that cannot be shown", path), hint: "rename the folder or the file"}
}

// realPath returns the absolute path without symbolic links. The part of the path that does not exist is not changed. To find this part,
// realPath makes a binary search, because a project's file may name a path of thousands of folders.
func realPath(path string) string {
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
		return path
	}
	return filepath.Join(real, path[ends[i]:])
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
	known = slices.DeleteFunc(known, func(f trustedFile) bool { return f.Sum == "" }) // earlier versions kept records whose trust was revoked
	for i, f := range known {                                                         // earlier versions stored absolute paths as the project's file spelt them
		known[i].Files = map[string]string{}
		for file, real := range f.Files {
			known[i].Files[filepath.Clean(file)] = real
		}
	}
	return known, nil
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

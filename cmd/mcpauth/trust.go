package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/config"
)

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

// ownCopy is the advice for a project's file that another user can change. The advice is not --config, which uses all variables and files of the
// file without showing one.
const ownCopy = "copy the file to a folder of your own, check the copy, and run mcpauth trust in that folder"

func untrustedError(e config.Entry, state string) error {
	trust := "look at the file, then: mcpauth trust " + shellWord(e.Path)
	uses := usesText(e.Uses(), func(written string) string { return "" })
	if uses == "" { // see namesSecret
		return &configError{message: fmt.Sprintf("%s %s, and this command would send a secret of its flags to its server %s", e.Path, state, quote(e.Name)),
			hint: "give the URL of the server instead of its name, or " + trust}
	}
	return &configError{message: fmt.Sprintf("%s %s, and its server %s uses %s", e.Path, state, quote(e.Name), cutName(uses, 300)), hint: trust}
}

// usesText lists the variables, auth settings, headers and files that an entry uses, as the entry contains them. target returns the file to
// which a path leads, or "".
func usesText(u config.Uses, target func(written string) string) string {
	var parts []string
	for _, each := range []struct {
		what  string
		names []string
	}{{"variables", u.Variables}, {"auth", u.Auth}, {"headers", u.Headers}, {"files", u.Files}} {
		if len(each.names) > 0 {
			parts = append(parts, each.what+" "+strings.Join(convert(each.names, func(name string) string {
				if real := target(name); each.what == "files" && real != "" && real != name {
					return writtenValue(name) + " -> " + foreignName(real)
				}
				return writtenValue(name)
			}), ", "))
		}
	}
	if u.Issuer != "" {
		parts = append(parts, "issuer "+writtenValue(u.Issuer))
	}
	return strings.Join(parts, "; ")
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
	spellings := map[string][]string{} // how the file writes each path
	for _, e := range file.Servers {
		for written, path := range e.Files(p.getenv) {
			spellings[path] = append(spellings[path], written)
		}
	}
	now := trustedFile{Path: path, Sum: file.Sum, At: time.Now().UTC().Truncate(time.Second), Files: map[string]string{}}
	targets := map[string]string{}
	for path, written := range spellings {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		existing, missing := realParts(path)
		real := filepath.Join(existing, missing)
		now.Files[digest(path)] = digest(real)
		for _, w := range written {
			targets[w] = real
			if missing != "" && strings.Contains(w, "${") { // the missing part may be the value of a secret variable
				targets[w] = filepath.Join(existing, "...")
			}
		}
		if missing == "" {
			if reason := config.Exposed(real); reason != "" {
				p.out.printWarning("a login will refuse %s, because another user can replace it: %s", foreignName(real), reason)
			}
		}
	}
	if p.out.json {
		err = p.out.writeDocument(trustDocument(now, targets, file))
	} else {
		err = p.out.writeText(trustText(targets, file))
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
func trustDocument(f trustedFile, targets map[string]string, file *config.File) any {
	type used struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		config.Uses
	}
	return struct {
		trustedFile
		Files   map[string]string `json:"files"`
		Servers []used            `json:"servers"`
	}{f, targets, convert(file.Names(), func(name string) used {
		e := file.Servers[name]
		return used{name, e.URL, e.Uses()}
	})}
}

// trustText lists the servers of a trusted file, and what each server may use.
func trustText(targets map[string]string, file *config.File) string {
	var b strings.Builder
	for _, name := range file.Names() {
		e := file.Servers[name]
		uses := usesText(e.Uses(), func(written string) string { return targets[written] })
		fmt.Fprintf(&b, "%s\n  address: %s\n  uses: %s\n", foreignName(name), writtenValue(e.URL), cmp.Or(uses, "no variables, files, headers or auth"))
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
		state := "unreadable"
		if real, _ := p.resolveProject(f.Path); real == f.Path { // no link of the project or of another user
			file, err := config.Load(ctx, config.Places{Project: f.Path})
			switch {
			case err == nil && file.Sum == f.Sum:
				state = "trusted"
			case err == nil:
				state = "changed"
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.Files = nil
		rows = append(rows, row{f, state})
		cells = append(cells, []string{f.Path, state, f.At.Format(time.RFC3339)})
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

// revokeTrust ends the trust in a file. The file itself may have been deleted, or a link may have replaced it or a folder of its path. Such a
// link is not followed, so the path without links of the working directory, as --list shows it, counts too.
func (p *program) revokeTrust(ctx context.Context, name string) error {
	folder := realPath(".")
	if name == "" {
		nearest, err := p.nearestProjectFile()
		if err != nil {
			return err
		}
		folder, name = realPath(filepath.Dir(nearest)), filepath.Base(nearest)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(folder, name)
	}
	paths := []string{filepath.Clean(name)}
	if real, reason := p.resolveProject(name); reason == "" {
		paths = slices.Compact(append(paths, real))
	}
	revoked := false
	for _, path := range paths {
		was, err := p.replaceTrusted(ctx, path)
		if err != nil {
			return err
		}
		if revoked = revoked || was; was {
			p.out.printNote("%s is no longer trusted", path)
		}
	}
	if !revoked {
		p.out.printNote("%s was not trusted", paths[len(paths)-1])
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
	path, reason := p.resolveProject(name)
	if reason == "" {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			return "", &configError{message: name + " is not a file"}
		}
		if err := checkPrintable(path); err != nil {
			return "", err
		}
	}
	if reason != "" {
		return "", &configError{message: fmt.Sprintf("%s cannot be trusted, because %s", name, reason),
			hint: ownCopy}
	}
	return path, nil
}

// resolveProject resolves the symbolic links of a project's file, as config.Resolve does.
func (p *program) resolveProject(name string) (real, reason string) {
	if absolute, err := filepath.Abs(name); err == nil {
		name = absolute
	}
	home, _ := p.homeFolder()
	return config.Resolve(name, home)
}

// checkPrintable returns an error if a path contains control characters, because a message would show the path without them.
func checkPrintable(path string) error {
	if oneLine(path) == path {
		return nil
	}
	return &configError{message: fmt.Sprintf("%s cannot be trusted, because its path has characters that cannot be shown", path), hint: "rename the folder or the file"}
}

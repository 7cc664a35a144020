//go:build !windows

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Find ignores a project's file that another user could have written, and continues in the folder above.
func TestForeignProjectFiles(t *testing.T) {
	root := t.TempDir()
	inner := filepath.Join(root, "inner")
	outer, file := filepath.Join(root, ".mcp.json"), filepath.Join(inner, ".mcp.json")
	if err := errors.Join(os.Mkdir(inner, 0o755), os.WriteFile(outer, []byte("{}"), 0o644), os.WriteFile(file, []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	set := func(folder, mode os.FileMode, owner, group int) {
		t.Helper()
		err := errors.Join(os.Chmod(inner, folder), os.Chmod(file, mode))
		if os.Getuid() == 0 {
			err = errors.Join(err, os.Lchown(file, owner, group), os.Lchown(inner, 0, group))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name         string
		folder, mode os.FileMode
		owner, group int // only root can change the owner of a file
		ignored      string
	}{
		{"one's own", 0o755, 0o644, 0, 0, ""},
		{"a folder like /tmp", 0o777 | os.ModeSticky, 0o644, 0, 0, "may be written by everybody"},
		{"a file that everybody writes", 0o755, 0o646, 0, 0, "may be written by everybody"},
		{"one's private group, as with umask 002", 0o775, 0o664, 0, 0, ""},
		{"a shared group", 0o775, 0o664, 0, 4242, "may be written by group 4242"},
		{"somebody else's in a closed folder", 0o755, 0o644, 4242, 0, "belongs to user 4242"},
	} {
		if os.Getuid() != 0 && (tt.owner != 0 || tt.group != 0) {
			continue
		}
		set(tt.folder, tt.mode, tt.owner, tt.group)
		p, err := Find("", inner, "", func(string) string { return "" })
		want := file
		if tt.ignored != "" {
			want = outer
		}
		if _, err := Load(t.Context(), Places{Project: file}); (err != nil) != (tt.ignored != "") {
			t.Errorf("%s: changed after it was found: %v", tt.name, err)
		}
		if err != nil || p.Project != want || len(p.Ignored) != min(1, len(tt.ignored)) {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		} else if tt.ignored != "" && !strings.Contains(p.Ignored[0].Error(), tt.ignored) {
			t.Errorf("%s: %v", tt.name, p.Ignored[0])
		}
	}
}

// For a symbolic link, Foreign also checks the file that it points to.
func TestLinkedProjectFile(t *testing.T) {
	root := t.TempDir()
	open := filepath.Join(root, "open")
	target := filepath.Join(open, "x.json")
	err := errors.Join(os.Mkdir(open, 0o755), os.WriteFile(target, []byte("{}"), 0o644), os.Symlink(target, filepath.Join(root, ".mcp.json")))
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if p, err := Find("", root, "", none); err != nil || p.Project == "" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", root, "", none); err != nil || p.Project != "" || len(p.Ignored) != 1 {
		t.Errorf("a link into an open folder: %+v, %v", p, err)
	}
}

// NotRoots finds another user's part of a path, also behind a link and above a folder that does not exist.
func TestNotRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can create folders of another user")
		return
	}
	roots, theirs := t.TempDir(), t.TempDir()
	err := errors.Join(os.MkdirAll(theirs+"/a/b", 0o755), os.Lchown(theirs+"/a", 4242, 4242), os.Symlink(theirs+"/a/b", roots+"/into"),
		os.Symlink(roots, roots+"/own"), os.Symlink(roots, roots+"/link"), os.Lchown(roots+"/link", 4242, 4242), os.Symlink("nowhere", roots+"/dangling"))
	if err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{
		roots:                   "",
		roots + "/own/missing":  "",
		roots + "/dangling/x":   "",
		theirs + "/a":           theirs + "/a",
		theirs + "/a/b":         theirs + "/a",
		theirs + "/a/missing/x": theirs + "/a",
		roots + "/into":         theirs + "/a",
		roots + "/into/missing": theirs + "/a",
		roots + "/link":         roots + "/link",
		roots + "/link/own":     roots + "/link",
	} {
		if want != "" {
			want += " belongs to user 4242"
		}
		if got := NotRoots(folder); got != want {
			t.Errorf("%s: %q, want %q", folder, got, want)
		}
	}
}

// mcpauth follows no link of another user, because the link can lead through many folders or to a file server. A loop of links shows whether a
// link was followed.
func TestLinkOfAnotherUserIsNotFollowed(t *testing.T) {
	root := t.TempDir()
	path, loop := filepath.Join(root, ".mcp.json"), filepath.Join(root, "loop")
	check := func(what, want string) {
		t.Helper()
		_, resolved := Resolve(path, "")
		if p, err := Find("", root, "", env(nil)); err != nil || len(p.Ignored) != 1 || p.Ignored[0].Reason != resolved {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
		for _, got := range []string{Foreign(path), resolved} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q", what, got)
			}
		}
	}
	if err := errors.Join(os.Symlink("loop", path), os.Symlink("loop", loop)); err != nil {
		t.Fatal(err)
	}
	check("links of one's own", "too many symbolic links")
	if os.Getuid() == 0 { // only root can change the owner of a link
		if err := os.Lchown(loop, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		check("another user's link", loop+" belongs to user 4242")
	}
	if err := os.Chmod(root, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	check("a folder like /tmp", root+" may be written by everybody")
}

// If HOME belongs to another user, root's search does not follow a link in it.
func TestRootFollowsNoLinkInHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can give a folder to another user")
		return
	}
	home, folder := t.TempDir(), t.TempDir()
	own := filepath.Join(home, ".config", "mcpauth")
	err := errors.Join(os.MkdirAll(own, 0o755), os.WriteFile(filepath.Join(own, "config.json"), []byte("{}"), 0o600), os.Lchown(home, 4242, 4242))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", folder, home, env(nil)); err != nil || len(p.Ignored) != 1 || p.Own != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := errors.Join(os.RemoveAll(own), os.Symlink(filepath.Join(folder, "missing"), own), os.Lchown(own, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", folder, home, env(nil)); err != nil || len(p.Ignored) != 1 || p.Own != "" {
		t.Errorf("behind a link: %+v, %v", p, err)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if p, err := Find("", folder, home, env(nil)); err != nil || len(p.Ignored) != 0 || p.Own != "" {
		t.Errorf("no file: %+v, %v", p, err)
	}
}

// A link in another user's folder counts, even if it leads to a file of one's own through other links.
func TestLinksOfOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("only root can give a link to another user; CI runs the test as root in its container")
		return
	}
	root, theirs := t.TempDir(), t.TempDir()
	file, folder := filepath.Join(root, "real", ".mcp.json"), filepath.Join(root, "w")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		links      [][2]string // in theirs, if the first path is relative
		link, path string      // who owns the link is the other user
		foreign    string
	}{
		{"the link of a file", [][2]string{{"cfg", file}, {folder + "/.mcp.json", "cfg"}}, "", folder + "/.mcp.json", ""},
		{"their link in the middle", [][2]string{{"cfg", file}, {folder + "/.mcp.json", "cfg"}}, "cfg", folder + "/.mcp.json", "cfg belongs to user 4242"},
		{"their folder in the middle", [][2]string{{"cfg", file}, {folder + "/.mcp.json", "cfg"}}, ".", folder + "/.mcp.json", "belongs to user 4242"},
		{"their link of a folder", [][2]string{{"dir", filepath.Dir(file)}, {root + "/l", "dir"}}, "dir", root + "/l/.mcp.json", "dir belongs to user 4242"},
		{"a relative link through their folder", [][2]string{{"up", "../" + filepath.Base(root)}, {root + "/l", "up"}}, "up", root + "/l/real/.mcp.json", "up belongs to user 4242"},
	} {
		var made []string
		for _, link := range tt.links {
			name, target := link[0], link[1]
			if !filepath.IsAbs(name) {
				name = filepath.Join(theirs, name)
			} else {
				target = filepath.Join(theirs, target)
			}
			if err := os.Symlink(target, name); err != nil {
				t.Fatal(err)
			}
			made = append(made, name)
		}
		if tt.link != "" {
			if err := os.Lchown(filepath.Join(theirs, tt.link), 4242, 4242); err != nil {
				t.Fatal(err)
			}
		}
		if got := Foreign(tt.path); tt.foreign == "" && got != "" || !strings.Contains(got, tt.foreign) {
			t.Errorf("%s: %q", tt.name, got)
		}
		if got := NotRoots(tt.path); (got != "") != (tt.foreign != "") {
			t.Errorf("%s: NotRoots: %q", tt.name, got)
		}
		for _, name := range made {
			_ = os.Remove(name)
		}
		if err := os.Lchown(theirs, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(theirs, "cfg") // in a folder like /tmp, whose owner can replace the link
	if err := errors.Join(os.Symlink(file, link), os.Symlink(link, filepath.Join(folder, ".mcp.json")), os.Chmod(theirs, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[int]string{0: "", 4242: theirs + " belongs to user 4242"} {
		if err := os.Chown(theirs, owner, owner); err != nil {
			t.Fatal(err)
		}
		if got := Foreign(filepath.Join(folder, ".mcp.json")); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("a folder like /tmp of user %d: %q", owner, got)
		}
	}
	if err := os.Symlink("loop", filepath.Join(folder, "loop")); err != nil || Foreign(filepath.Join(folder, "loop")) == "" {
		t.Errorf("a loop of links: %v", err)
	}
}

// A group is private if nobody else is a member.
func TestPrivateGroup(t *testing.T) {
	const users = "root:x:0:0::/root:/bin/sh\nsync:x:4:0::/:/bin/sync\nann:x:1000:1000::/:/bin/sh\nann2:x:1000:100::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\ncarl:x:1003:1002::/:/bin/sh\n"
	const groups = "root:x:0:\nann:x:1000:\nbob:x:1001:bob,ann\ndora:x:1002:\nshort\nerin:x:1004:erin,root\nfay:x:1000:ann2\n"
	for _, tt := range []struct {
		gid, uid uint32
		other    string
	}{
		{1000, 1000, ""}, {1001, 1001, "ann"}, {1001, 1000, "bob"}, {1002, 1002, "carl"}, {1004, 1004, "erin"}, {0, 1000, ""}, {0, 0, ""}, {7, 7, ""},
	} {
		if got := otherMember(users, groups, tt.gid, tt.uid); got != tt.other {
			t.Errorf("group %d, user %d: %q", tt.gid, tt.uid, got)
		}
	}
	if got := otherMember(users, strings.ReplaceAll(groups, "root:x:0:", "root:x:0:root,bob"), 0, 1000); got != "bob" {
		t.Errorf("the group of root: %q", got)
	}
	if got := otherMember(users+"operator:x:11:0::/:/sbin/nologin\nzoe:x:1005:0::/home/zoe:/bin/zsh\n", groups, 0, 1000); got != "zoe" {
		t.Errorf("the primary group is that of root: %q", got)
	}
}

// If the user's own file exists and cannot be used, a project's file could take the names of its servers. Without a project's file, mcpauth
// works as without an own file.
func TestOwnFileCannotBeUsed(t *testing.T) {
	for name, trouble := range map[string]func(path string) error{
		"a link to nowhere": func(path string) error { return os.Symlink("/nonexistent/c.json", path) },
		"a loop":            func(path string) error { return os.Symlink(path, path) },
		"a pipe":            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"below a dead link": func(path string) error {
			folder := filepath.Dir(path)
			return errors.Join(os.Remove(folder), os.Symlink("/nonexistent/mcpauth", folder))
		},
		"a folder":                      func(path string) error { return os.Mkdir(path, 0o700) },
		"a file that others can write":  func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)) },
		"a folder that others can read": nil,
	} {
		t.Run(name, func(t *testing.T) {
			home, project := t.TempDir(), t.TempDir()
			own := filepath.Join(home, ".config", "mcpauth", "config.json")
			err := errors.Join(os.MkdirAll(filepath.Dir(own), 0o755), os.WriteFile(filepath.Join(project, ".mcp.json"), []byte("{}"), 0o600))
			good := trouble == nil
			if good {
				trouble = func(path string) error { return os.WriteFile(path, nil, 0o600) }
			}
			if err := errors.Join(err, trouble(own)); err != nil {
				t.Fatal(err)
			}
			places, err := Find("", project, home, env(nil))
			if e, ok := errors.AsType[*Error](err); ok == good || ok && (e.Path != own || !strings.HasSuffix(e.Reason, "are yours")) {
				t.Errorf("beside a project's file: %+v, %v", places, err)
			}
			if places, err := Find("", home, home, env(nil)); err != nil || (places.Own == own) != good {
				t.Errorf("alone: %+v, %v", places, err)
			}
		})
	}
}

// Exposed checks the file and every folder above it. A folder like /tmp is no danger if the parts below it belong to the user.
func TestExposed(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	above, folder := filepath.Join(root, "above"), filepath.Join(root, "above", "folder")
	file := filepath.Join(folder, "k.pem")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		part  string
		mode  os.FileMode
		owner int // only root can change the owner of a file
		want  string
	}{
		{above, 0o755, 0, ""},
		{above, 0o777, 0, above + " may be written by everybody"},
		{above, 0o777 | os.ModeSticky, 0, ""},
		{above, 0o777 | os.ModeSticky, 4242, above + " belongs to user 4242"},
		{above, 0o755, 4242, above + " belongs to user 4242"},
		{folder, 0o777, 0, folder + " may be written by everybody"},
		{file, 0o602, 0, file + " may be written by everybody"},
		{file, 0o602 | os.ModeSticky, 0, file + " may be written by everybody"},
		{file, 0o644, 4242, file + " belongs to user 4242"},
	} {
		if tt.owner != 0 && os.Geteuid() != 0 {
			continue
		}
		before, err := os.Stat(tt.part)
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(tt.part, tt.owner, -1)
		}
		if err = errors.Join(err, os.Chmod(tt.part, tt.mode)); err != nil {
			t.Fatal(err)
		}
		if got := Exposed(file); got != tt.want {
			t.Errorf("%s %v %d: %q, want %q", tt.part, tt.mode, tt.owner, got, tt.want)
		}
		if os.Geteuid() == 0 {
			err = os.Lchown(tt.part, 0, -1)
		}
		if err = errors.Join(err, os.Chmod(tt.part, before.Mode())); err != nil {
			t.Fatal(err)
		}
	}
	if Exposed(filepath.Join(folder, "missing")) == "" {
		t.Error("a missing file")
	}
}

// A link of another user counts only if this user could have put it there.
func TestForeignLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can give a link to another user")
		return
	}
	own, shared := t.TempDir(), t.TempDir()
	for _, folder := range []string{own, shared} {
		if err := errors.Join(os.Symlink(own, folder+"/theirs"), os.Lchown(folder+"/theirs", 4242, 4242), os.Symlink(own, folder+"/mine")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(shared, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		own + "/theirs/x": "", own + "/mine": "", shared + "/mine/x": "", shared + "/missing/x": "", shared + "/theirs/x": shared + "/theirs belongs to user 4242",
	} {
		if got := ForeignLink(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

//go:build !windows

package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A .mcp.json may be a symbolic link to a file of its project: in its Git repository or, without one, in its folder. A link that leads out of
// the project is ignored with a reason, and Find continues in the folder above.
func TestLinksOutOfTheProject(t *testing.T) {
	for _, tt := range []struct {
		name   string
		links  [][2]string // name and target, in the folder p of the home folder; @ is the home folder
		also   []string    // further folders, or files with a name that contains a dot
		from   string      // working directory; "": p
		want   string      // the file that Find returns, in the home folder
		out    string      // where the link leads
		reason string      // another reason
	}{
		{name: "no link", also: []string{"p/.mcp.json"}, want: "p/.mcp.json"},
		{name: "a file in the folder", links: [][2]string{{".mcp.json", "c.json"}}, also: []string{"p/c.json"}, want: "p/c.json"},
		{name: "a file below a linked folder", links: [][2]string{{".mcp.json", "l/c.json"}, {"l", "d"}}, also: []string{"p/d/c.json"}, want: "p/d/c.json"},
		{name: "an absolute link", links: [][2]string{{".mcp.json", "@/p/c.json"}}, also: []string{"p/c.json"}, want: "p/c.json"},
		{name: "a link that leaves and comes back", links: [][2]string{{".mcp.json", "../../home/p/c.json"}}, also: []string{"p/c.json"}, want: "p/c.json"},
		{name: "the project is reached through a link", links: [][2]string{{"../l", "p"}, {".mcp.json", "@/l/c.json"}}, also: []string{"p/c.json"}, from: "l", want: "p/c.json"},
		{name: "up in a repository", links: [][2]string{{"d/.mcp.json", "../e/c.json"}}, also: []string{"p/.git/x", "p/d/x", "p/e/c.json"}, from: "p/d", want: "p/e/c.json"},
		{name: "up in a worktree, where .git is a file", links: [][2]string{{"d/.mcp.json", "../e/c.json"}}, also: []string{"p/.git", "p/d/x", "p/e/c.json"}, from: "p/d", want: "p/e/c.json"},
		{name: "up without a repository", links: [][2]string{{"d/.mcp.json", "../c.json"}}, also: []string{"p/d/x", "p/c.json"}, from: "p/d", out: "p/c.json"},
		{name: "up in a repository of the home folder", links: [][2]string{{".mcp.json", "../c.json"}}, also: []string{".git/x", "c.json"}, out: "c.json"},
		{name: "in the home folder", links: [][2]string{{"../.mcp.json", "dot/c.json"}}, also: []string{"dot/c.json"}, want: "dot/c.json"},
		{name: "out", links: [][2]string{{".mcp.json", "../k/secret.pem"}}, also: []string{"k/secret.pem"}, out: "k"},
		{name: "out, with a file above", links: [][2]string{{".mcp.json", "../k/secret.pem"}}, also: []string{"k/secret.pem", ".mcp.json"}, out: "k", want: ".mcp.json"},
		{name: "out by an absolute link", links: [][2]string{{".mcp.json", "@/k/secret.pem"}}, also: []string{"k/secret.pem"}, out: "k"},
		{name: "out to a file that does not exist", links: [][2]string{{".mcp.json", "../k/secret.pem"}}, out: "k"},
		{name: "out by a second link", links: [][2]string{{".mcp.json", "c.json"}, {"c.json", "../k/secret.pem"}}, also: []string{"k/secret.pem"}, out: "k"},
		{name: "out by a linked folder", links: [][2]string{{".mcp.json", "l/secret.pem"}, {"l", "../k"}}, also: []string{"k/secret.pem"}, out: "k"},
		{name: "out of a repository", links: [][2]string{{".mcp.json", "../k/secret.pem"}}, also: []string{"p/.git/x", "k/secret.pem"}, out: "k"},
		{name: "to a folder whose name begins like that of the project", links: [][2]string{{".mcp.json", "../pp/c.json"}}, also: []string{"pp/c.json"}, out: "pp"},
		{name: "to nothing in the project", links: [][2]string{{".mcp.json", "missing"}}},
		{name: "to itself", links: [][2]string{{".mcp.json", ".mcp.json"}}, reason: "too many symbolic links"},
		{name: "a path of many folders", links: [][2]string{{".mcp.json", strings.Repeat("./", 1000) + "c.json"}}, also: []string{"p/c.json"}, reason: "its path has more than "},
		{name: "into a folder of many parts", links: [][2]string{{"../l", "./p/" + strings.Repeat("./", 1000)}}, also: []string{"p/.mcp.json"}, from: "l", reason: "its path has more than "},
		{name: "to the folder above", links: [][2]string{{".mcp.json", ".."}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top, err := filepath.EvalSymlinks(t.TempDir())
			home := filepath.Join(top, "home")
			for _, name := range append(tt.also, "p/x") {
				path := filepath.Join(home, name)
				if filepath.Base(name) == "x" {
					err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755))
				} else {
					err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("{}"), 0o600))
				}
			}
			for _, link := range tt.links {
				err = errors.Join(err, os.Symlink(strings.ReplaceAll(link[1], "@", home), filepath.Join(home, "p", link[0])))
			}
			if err != nil {
				t.Fatal(err)
			}
			from, want, out := filepath.Join(home, "p"), "", ""
			if tt.from != "" {
				from = filepath.Join(home, tt.from)
			}
			if tt.want != "" {
				want = filepath.Join(home, tt.want)
			}
			if tt.out != "" {
				out = fmt.Sprintf("leads to %q, outside the project ", filepath.Join(home, tt.out))
			}
			out += tt.reason
			p, err := Find("", from, home, env(nil))
			if err != nil || p.Project != want || len(p.Ignored) != min(1, len(out)) || out != "" && !strings.Contains(p.Ignored[0].Reason, out) {
				t.Errorf("%+v, %v", p, err)
			}
			if p.Project == "" {
				return
			}
			if _, err := Load(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
	}
}

// A .git that another user made or put there does not make a folder such as /tmp a project. A .git of root or of the user does.
func TestGitOfAnotherUser(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	folder, git := filepath.Join(top, "p"), filepath.Join(top, ".git")
	if err := errors.Join(err, os.Mkdir(folder, 0o755), os.Mkdir(git, 0o755)); err != nil {
		t.Fatal(err)
	}
	if got := projectRoot(folder, ""); got != top {
		t.Errorf("with the user's own .git: %s", got)
	}
	if err := os.Chmod(top, 0o777); err != nil { // somebody else can rename a folder of the user to .git
		t.Fatal(err)
	}
	if got := projectRoot(folder, ""); got != folder {
		t.Errorf("with a .git that another user may have put there: %s", got)
	}
	if os.Getuid() != 0 { // only root can change the owner
		return
	}
	if err := errors.Join(os.Chmod(top, 0o755), os.Lchown(git, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	if got := projectRoot(folder, ""); got != folder {
		t.Errorf("with another user's .git: %s", got)
	}
}

// The search for a repository ends at the first .git, whatever it is. So many of them below each other cost little time.
func TestSearchEndsAtTheFirstGit(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	middle := filepath.Join(top, "p")
	folder, git := filepath.Join(middle, "q"), filepath.Join(middle, ".git")
	if err := errors.Join(err, os.MkdirAll(folder, 0o755), os.Mkdir(filepath.Join(top, ".git"), 0o755), os.Symlink("none", git)); err != nil {
		t.Fatal(err)
	}
	if got := projectRoot(folder, ""); got != middle {
		t.Errorf("with a dead link: %s", got)
	}
	if err := os.Chmod(middle, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := projectRoot(folder, ""); got != folder {
		t.Errorf("with a .git that another user may have put there: %s", got)
	}
}

// A project with a file in each of many folders, none of which is read, costs a few warnings and little time.
func TestManyIgnoredFiles(t *testing.T) {
	for kind, write := range map[string]func(string) error{
		"links out of the project": func(path string) error { return os.Symlink("/etc/none", path) },
		"dead links":               func(path string) error { return os.Symlink("none", path) },
		"folders":                  func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		top, err := filepath.EvalSymlinks(t.TempDir())
		dir := top
		for range maxIgnored + 1 {
			dir = filepath.Join(dir, "a")
			err = errors.Join(err, os.Mkdir(dir, 0o755), write(filepath.Join(dir, ".mcp.json")))
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(top, ".mcp.json"), []byte("{}"), 0o644)); err != nil {
			t.Fatal(err)
		}
		p, err := Find("", dir, "", func(string) string { return "" })
		if err != nil || p.Project != "" || len(p.Ignored) > maxIgnored {
			t.Errorf("%s: found %q, %d ignored files, %v", kind, p.Project, len(p.Ignored), err)
		}
	}
}

// A found file that has become a pipe or a link since the search is an error at once. A file that the user names may be a pipe or a link.
func TestFoundFileIsNoFile(t *testing.T) {
	folder := t.TempDir()
	pipe, link, file := filepath.Join(folder, "pipe"), filepath.Join(folder, "link"), filepath.Join(folder, "file")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("file", link), os.WriteFile(file, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, folder} {
		if _, err := Load(t.Context(), Places{Project: path}); err == nil || !strings.HasSuffix(err.Error(), ": it is not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	writing := make(chan error, 1)
	go func() { writing <- os.WriteFile(pipe, []byte(`{"servers":{"x":{"url":"https://x"}}}`), 0) }()
	f, err := Load(t.Context(), Places{Named: pipe})
	if err := errors.Join(err, <-writing); err != nil || f.Servers["x"].URL != "https://x" {
		t.Errorf("a named pipe: %v", err)
	}
	if _, err := Load(t.Context(), Places{Named: link}); err != nil {
		t.Errorf("a named link: %v", err)
	}
}

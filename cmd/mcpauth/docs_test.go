//go:build !windows

// These tests run the examples in docs/*.md.
//
// The test runs every ```sh block with sh -eu and every ```go block with go run, in the order of the page. The blocks of a page share a
// temporary home folder, which is their working directory, and a demo server:
//
//	$SERVER     the URL of the MCP server
//	$IDP        the issuer of an identity provider
//	$BROWSER    a program that approves every login at once
//	mcpauth     the program under test, on PATH; credentials are in files
//
// A comment <!-- server: WORDS --> above a block changes the server first (see demo.Server.Set). Blocks of other kinds, such as ```console and
// ```json, are not run.

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

// block is one step of a page: a script, a Go program, or words for the server.
type block struct {
	line   int
	kind   string // sh, go or server
	script string
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := pageBlocks(string(data))
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
		name := filepath.Base(page)
		ran[name] = len(blocks)
		if len(blocks) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runPage(t, blocks)
		})
	}
	for _, name := range []string{"discover.md", "ci.md", "grants.md", "headless.md", "library.md", "other-programs.md", "quirks.md", "scripting.md"} {
		if ran[name] == 0 {
			t.Errorf("%s has no block that runs", name)
		}
	}
}

// runPage runs the blocks of a page until one fails.
func runPage(t *testing.T, blocks []block) {
	s, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	provider, err := demo.StartProvider(s, demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer provider.Close()
	home := t.TempDir()
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + home, "MCPAUTH_KEYSTORE=file", "BROWSER=browser", "SERVER=" + s.URL(), "IDP=" + provider.Issuer(),
		"NO_PROXY=127.0.0.1,localhost", "GORACE=atexit_sleep_ms=0"}
	for _, b := range blocks {
		if b.kind == "server" {
			if err := s.Set(b.script); err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-euc", b.script)
		cmd.Env, cmd.Dir = env, home
		if b.kind == "go" {
			cmd = goProgram(t, ctx, b.script)
			cmd.Env = append(cmd.Env, env...)
		}
		cmd.WaitDelay = 5 * time.Second // for programs that a block leaves running
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("the block at line %d: %v\n%s\n%s", b.line, err, b.script, out)
		}
	}
}

// goProgram returns the command that compiles and runs a program, which may import the packages of this module. Its environment names the
// caches of go, because HOME is a temporary folder.
func goProgram(t *testing.T, ctx context.Context, source string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "go", "run", file)
	cmd.Dir = "."
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, name+"="+strings.TrimSpace(string(value)))
	}
	return cmd
}

const (
	fence         = "```"
	serverComment = "<!-- server: "
)

// pageBlocks returns the steps of a page.
func pageBlocks(page string) ([]block, error) {
	var blocks []block
	kind, open := "", 0
	for i, line := range strings.Split(page, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case open == 0 && strings.HasPrefix(trimmed, serverComment):
			blocks = append(blocks, block{line: i + 1, kind: "server", script: strings.TrimSuffix(strings.TrimPrefix(trimmed, serverComment), " -->")})
		case open == 0 && strings.HasPrefix(trimmed, fence):
			kind, open = strings.TrimPrefix(trimmed, fence), i+1
			if !slices.Contains([]string{"sh", "console", "json", "text", "yaml", "go", "powershell"}, kind) {
				return nil, fmt.Errorf("line %d: unknown kind of block %q", i+1, kind)
			}
			if kind == "sh" || kind == "go" {
				blocks = append(blocks, block{line: i + 1, kind: kind})
			}
		case open > 0 && trimmed == fence:
			open = 0
		case open > 0 && (kind == "sh" || kind == "go"):
			blocks[len(blocks)-1].script += line + "\n"
		}
	}
	if open > 0 {
		return nil, fmt.Errorf("line %d: the block has no end", open)
	}
	return blocks, nil
}

// pageBlocks returns the blocks that run and the words for the server, and refuses a block without a kind or an end.
func TestPageBlocks(t *testing.T) {
	page := strings.ReplaceAll("words\n'''sh\na\nb\n'''\n<!-- server: ttl=1s -->\n'''console\n$ no\n'''\n1. item\n   '''sh\n   c\n   '''\n", "'''", fence)
	got, err := pageBlocks(page)
	want := []block{{2, "sh", "a\nb\n"}, {6, "server", "ttl=1s"}, {11, "sh", "   c\n"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"'''\nwhich kind?\n'''\n", "'''sh\nno end\n"} {
		if _, err := pageBlocks(strings.ReplaceAll(bad, "'''", fence)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// CONTRIBUTING.md names only files and folders that exist.
func TestMapOfTheHouse(t *testing.T) {
	data, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	names := matches(string(data), "`((?:cmd|pkg|internal|scripts|docs)(?:/[a-zA-Z0-9_./]+)?)`")
	if len(names) < 40 {
		t.Errorf("only %d names were found", len(names))
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", name, err)
		}
	}
}

//go:build !windows

// These tests run the commands in docs/*.md, so that readers can copy them.
//
// Every ```sh block is a script. sh -eu runs the blocks of a page in order. They share a temporary home folder, which is the working
// directory, and a demo server:
//
//	$SERVER     the address of its MCP endpoint
//	$BROWSER    a program that approves at once; BROWSER=none and CI are as a reader would set them
//	mcpauth     the program under test, on PATH; credentials are in files
//
// A comment <!-- server: WORDS --> above a block changes the demo server before the block runs (see demo.Server.Set). Blocks of transcripts
// and settings begin with ```console, ```json or ```text and do not run. The blocks of README.md do not run here either; scripts/ runs
// them.

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

// block is one step of a page: a script, or settings of the demo server.
type block struct {
	line   int
	script string
	server string
}

func TestPages(t *testing.T) {
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
	for _, name := range []string{"discover.md", "grants.md", "headless.md", "other-programs.md", "quirks.md", "scripting.md"} {
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
		if b.server != "" {
			if err := s.Set(b.server); err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-euc", b.script)
		cmd.Env, cmd.Dir, cmd.WaitDelay = env, home, 5*time.Second // do not wait for processes that a block left running
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("the block at line %d: %v\n%s\n%s", b.line, err, b.script, out)
		}
	}
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
			blocks = append(blocks, block{line: i + 1, server: strings.TrimSuffix(strings.TrimPrefix(trimmed, serverComment), " -->")})
		case open == 0 && strings.HasPrefix(trimmed, fence):
			kind, open = strings.TrimPrefix(trimmed, fence), i+1
			if !slices.Contains([]string{"sh", "console", "json", "text", "yaml", "go", "powershell"}, kind) {
				return nil, fmt.Errorf("line %d: a block of the kind %q: sh is run, console is not", i+1, kind)
			}
			if kind == "sh" {
				blocks = append(blocks, block{line: i + 1})
			}
		case open > 0 && trimmed == fence:
			open = 0
		case open > 0 && kind == "sh":
			blocks[len(blocks)-1].script += line + "\n"
		}
	}
	if open > 0 {
		return nil, fmt.Errorf("line %d: the block has no end", open)
	}
	return blocks, nil
}

// pageBlocks returns the sh blocks and the server comments of a page, and no other blocks.
func TestPageBlocks(t *testing.T) {
	page := strings.ReplaceAll("words\n'''sh\na\nb\n'''\n<!-- server: ttl=1s -->\n'''console\n$ no\n'''\n1. item\n   '''sh\n   c\n   '''\n", "'''", fence)
	got, err := pageBlocks(page)
	want := []block{{line: 2, script: "a\nb\n"}, {line: 6, server: "ttl=1s"}, {line: 11, script: "   c\n"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"'''\nwhich kind?\n'''\n", "'''sh\nno end\n"} {
		if _, err := pageBlocks(strings.ReplaceAll(bad, "'''", fence)); err == nil {
			t.Errorf("%q is taken", bad)
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

package mcpclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pruneFiles keeps the folder below its limit and deletes the oldest files first. pruneFiles does not delete files of other programs.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, age time.Duration) { writeSparse(t, filepath.Join(dir, name), age) }
	for i, name := range []string{"a-0.mcp", "a-1.session", "a-2.mcp", "a-3.mcp", "a-4.mcp", "a-5.mcp"} {
		write(name, time.Duration(i+1)*time.Hour)
	}
	write("other", 100*time.Hour)
	pruneFiles(dir, maxCaches, cacheExpiry, time.Now(), ".mcp", ".session")
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{"a-0.mcp", "a-1.session", "a-2.mcp", "a-3.mcp", "other"}
	if len(left) != len(want) {
		t.Fatalf("left %q, want %q", left, want)
	}
	for i := range want {
		if left[i] != want[i] {
			t.Errorf("left %q, want %q", left, want)
		}
	}
}

// writeSparse creates a file with a quarter of the size that all cache files together can have.
func writeSparse(t *testing.T, path string, age time.Duration) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxCaches / 4); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
		t.Fatal(err)
	}
}

// The folder stays below its limit if only lists of prompts or resources are written.
func TestListsOfCompletionAreBounded(t *testing.T) {
	c := client(t, newServer(t, modern(hour, nil)), func(c *Client) { c.CacheDir = t.TempDir() })
	if err := c.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		writeSparse(t, filepath.Join(c.CacheDir, fmt.Sprintf("a-%d.prompts", i)), time.Duration(i+1)*time.Hour)
	}
	c.keepList(t.Context(), ".prompts", json.RawMessage(`{"prompts":[]}`), nil)
	if left := filesIn(c.CacheDir, "a-*"); len(left) != 3 || len(c.keptList(".prompts")) == 0 {
		t.Errorf("left %q", left)
	}
}

// A new client uses the era that an earlier client has cached.
func TestCacheKeepsEverything(t *testing.T) {
	now := time.Now().UTC()
	want := cacheEntry{era: eraLegacy, version: "2025-11-25", tasks: true, eraTime: now}
	got := decodeCache(encodeCache(&want, "https://x"), "https://x", now)
	if got.era != want.era || got.version != want.version || got.tasks != want.tasks || !got.eraTime.Equal(want.eraTime) {
		t.Errorf("%+v became %+v", want, *got)
	}
}

// Adding pages with many tools takes linear time. In quadratic time, eight times as many tools would take 64 times as long.
func TestManyTools(t *testing.T) {
	add := func(tools int) time.Duration {
		list := &toolList{}
		began := time.Now()
		for page := range 2 {
			var b strings.Builder
			for i := range tools / 2 {
				fmt.Fprintf(&b, `,{"name":"a-tool-with-a-long-name-%d-%d"}`, page, i)
			}
			list.addPage(json.RawMessage(`{"tools":[` + b.String()[1:] + "]}"))
		}
		if len(list.defs) != tools {
			t.Fatalf("%d tools, want %d", len(list.defs), tools)
		}
		return time.Since(began)
	}
	few, many := add(maxListed/8), add(maxListed)
	if many > 24*few+3*time.Second { // the machine may be busy
		t.Errorf("%d tools took %v, but %d took %v", maxListed/8, few, maxListed, many)
	}
}

// The names of the first omitted tools are reported, and the number of the others.
func TestWarningsOfOmittedToolsAreBounded(t *testing.T) {
	s := newServer(t, modern(hour, nil))
	const invalid = `{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":""}}}},`
	s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		if rpc != "tools/list" {
			return false
		}
		var m struct{ ID json.RawMessage }
		_ = json.NewDecoder(r.Body).Decode(&m)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","tools":[%s{"name":"good","inputSchema":{"type":"object"}}]}}`, m.ID, strings.Repeat(invalid, 5000))
		return true
	})
	var warnings []string
	list, err := client(t, s, func(c *Client) { c.Warn = func(text string) { warnings = append(warnings, text) } }).Tools(t.Context())
	if err != nil || len(list.Tools) != 1 {
		t.Fatalf("%d tools, %v", len(list.Tools), err)
	}
	if len(warnings) != maxOmitted+1 || !strings.HasPrefix(warnings[0], `the tool "bad" is omitted`) || warnings[maxOmitted] != "… and 4990 more tools are omitted" {
		t.Errorf("%d warnings: %.200q … %q", len(warnings), warnings[0], warnings[len(warnings)-1])
	}
}

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/pkg/mcpclient"
)

func TestFileName(t *testing.T) {
	for _, test := range []struct {
		name  string
		block mcpclient.Block
		want  string
	}{
		{"picture", mcpclient.Block{Type: "image", MIMEType: "image/png"}, "draw-1.png"},
		{"unknown picture", mcpclient.Block{Type: "image", MIMEType: "image/x-odd"}, "draw-1.bin"},
		{"named by its address", mcpclient.Block{Type: "resource", URI: "file:///a/b/report.csv", MIMEType: "text/csv"}, "report.csv"},
		{"extension added", mcpclient.Block{Type: "resource", URI: "demo://notes/1", MIMEType: "text/plain"}, "1.txt"},
		{"jpeg is jpg", mcpclient.Block{Type: "image", Name: "a.JPEG", MIMEType: "image/jpeg"}, "a.JPEG"},
		{"climbing", mcpclient.Block{Type: "resource", URI: "file:///../../etc/passwd", MIMEType: "text/plain"}, "passwd.txt"},
		{"climbing by name", mcpclient.Block{Type: "resource", Name: "../../.bashrc"}, "bashrc"},
		{"hidden behind what is replaced", mcpclient.Block{Type: "resource", Name: "/ .bashrc"}, "bashrc"},
		{"hidden behind what is dropped", mcpclient.Block{Type: "resource", Name: "_-_.0_."}, "0"},
		{"dots only", mcpclient.Block{Type: "resource", Name: "..", MIMEType: "text/plain"}, "draw-1.txt"},
		{"a device", mcpclient.Block{Type: "resource", Name: "con.txt", MIMEType: "text/plain"}, "_con.txt"},
		{"control characters", mcpclient.Block{Type: "resource", Name: "a\x1b[2Jb\nc.txt", MIMEType: "text/plain"}, "a__2Jb_c.txt"},
	} {
		if got := fileName(test.block, "draw", 1, strings.Clone); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("image", "../x", "file:///a/../..", "image/png", "t")
	f.Add("resource", "\\\\host\\share", "C:\\x", "", "con")
	f.Add("resource", "_.0", "", "", "_-_")
	plain := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	f.Fuzz(func(t *testing.T, kind, name, uri, mime, tool string) {
		got := fileName(mcpclient.Block{Type: kind, Name: name, URI: uri, MIMEType: mime}, tool, 1, strings.Clone)
		if !plain.MatchString(got) || strings.HasSuffix(got, ".") || len(got) > 120 || !filepath.IsLocal(got) {
			t.Errorf("%q", got)
		}
	})
}

// --save-dir overwrites no file and does not follow a link out of the folder.
func TestSave(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(outside, filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	d, err := openSaveDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, want := range []string{"a.txt", "a-2.txt", "a-3.txt"} {
		if got, err := d.saveFile("a.txt", []byte(want)); err != nil || filepath.Base(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := d.saveFile("link.txt", []byte("x")); err != nil || filepath.Base(got) != "link-2.txt" {
		t.Errorf("link: %q, %v", got, err)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("the link was followed")
	}
}

// Saving very many blocks stops at the time limit and at an interrupt.
func TestSaveStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, err := openSaveDir(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	cancel()
	if _, err := d.saveFile("a.txt", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A result of many blocks does not bury the other messages on stderr. The same holds for the messages of a prompt.
func TestNotesOfBlocksAreBounded(t *testing.T) {
	const many = 5000
	block := mcpclient.Block{Type: "resource_link", URI: "demo://x"}
	for _, tt := range []struct {
		name, last string
		print      func(*program) error
	}{
		{"blocks", "… and 4900 more blocks", func(p *program) error {
			return (&printer{program: p, clean: (&mcpclient.Client{}).Clean}).saveBlocks(mcpclient.Result{Content: slices.Repeat([]mcpclient.Block{block}, many)}, "t")
		}},
		{"messages", "… and 4900 more messages", func(p *program) error {
			return p.printMessages(&mcpclient.Client{URL: "https://mcp.example.com"}, slices.Repeat([]mcpclient.Message{{Block: block}}, many))
		}},
	} {
		p, stderr := testProgram(), &strings.Builder{}
		p.out.stderr = stderr
		if err := tt.print(p); err != nil {
			t.Fatal(err)
		}
		p.out.printLeftOut()
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if len(lines) != 101 || lines[100] != tt.last {
			t.Errorf("%s: %d lines, the last is %q", tt.name, len(lines), lines[len(lines)-1])
		}
	}
}

// With --verbose, log and progress messages of a server do not fill a log without a bound.
func TestNotificationsAreBounded(t *testing.T) {
	p, stderr := testProgram(), &strings.Builder{}
	p.out.stderr, p.out.verbose = stderr, true
	for range 1000 {
		p.out.printNotification("log: info x: %s", strings.Repeat("a", 3000))
		p.out.showProgress(1, 2, "b")
	}
	if n := stderr.Len(); n < maxNotifications || n > maxNotifications+10_000 || !strings.HasSuffix(stderr.String(), "for a minute\n") {
		t.Errorf("%d bytes on stderr, the last are %q", n, stderr.String()[n-100:])
	}
}

// A proxy runs without a time limit. With --verbose, a server can make it print a limited number of bytes in each minute: lines about dropped
// messages, and the headers of exchanges.
func TestDetailsOfAProxyAreBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", strings.Repeat("s", 1000)) }))
	defer s.Close()
	p, stderr := testProgram(), &strings.Builder{}
	home := t.TempDir()
	p.lookupEnv = func(name string) (string, bool) {
		v, ok := map[string]string{"MCPAUTH_ACCESS_TOKEN": "token-1234567890", "HOME": home, "MCPAUTH_STATE_DIR": filepath.Join(home, "state")}[name]
		return v, ok
	}
	p.out.stderr, p.out.verbose = stderr, true
	m, err := p.newProxy(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for minute := 1; minute <= 2; minute++ {
		p.out.notified.since = time.Time{}
		for range 600 {
			res, err := m.HTTP.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			m.Log("dropped " + strings.Repeat("a", 1000))
		}
		text := stderr.String()
		if n := len(text); n < minute*maxNotifications || n > minute*(maxNotifications+10_000) || strings.Count(text, "Server: sss") < minute*100 || strings.Count(text, "for a minute") != minute {
			t.Errorf("minute %d: %d bytes on stderr, the last are %q", minute, n, text[n-100:])
		}
	}
}

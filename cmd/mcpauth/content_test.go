package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If a content block cannot be decoded, the other blocks are printed and saved, and then the command fails. --json without --save-dir does
// not decode blocks, so it succeeds. A command also says how many notes it has left out.
func TestUndecodableContent(t *testing.T) {
	t.Parallel()
	const fine = `{"type":"text","text":"hello"},{"type":"image","mimeType":"image/png","data":"iVBORw0KGgo="}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, id, _ := strings.Cut(string(body), `"id":`)
		result := `"ttlMs":60000,"tools":[{"name":"t","inputSchema":{"type":"object"}}]`
		switch {
		case strings.Contains(string(body), `"tools/list"`):
		case r.URL.Path == "/one":
			result = `"content":[{"type":"image","mimeType":"image/png","data":"data:image/png;base64,iVBORw0KGgo="}]`
		case r.URL.Path == "/many":
			result = `"content":[` + strings.Repeat(`{"type":"resource_link","uri":"demo://x"},`, 100) + fine + `]`
		case r.URL.Path == "/three":
			result = `"content":[` + fine + `,{"type":"audio","mimeType":"audio/wav","data":"***"}]`
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete",%s}}`, id[:strings.IndexAny(id, ",}")], result)
	}))
	defer s.Close()
	m := newMachine(t)
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string
		saved  string
	}{
		{"one", exitNetwork, "", "block 1 of the answer, image image/png, cannot be decoded", ""},
		{"one --output raw", exitNetwork, "", "block 1 of the answer", ""},
		{"one --save-dir DIR", exitNetwork, "", "block 1 of the answer", ""},
		{"one --json", exitDone, "data:image/png;base64", "", ""},
		{"many", exitDone, "hello", "\n… and 1 more blocks\n", ""},
		{"three --save-dir DIR", exitNetwork, "hello", "block 3 of the answer, audio audio/wav, cannot be decoded", "t-2.png"},
		{"three --json --save-dir DIR", exitNetwork, `"data":"***"`, "block 3 of the answer", "t-2.png"},
	} {
		dir := t.TempDir()
		words := strings.Fields(strings.ReplaceAll(tt.args, "DIR", dir))
		p := m.prepare(t, append([]string{"call", s.URL + "/" + words[0], "t"}, words[1:]...)...)
		var out strings.Builder
		p.Stdout = &out
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.end(t); code != tt.code || !strings.Contains(out.String(), tt.stdout) || !strings.Contains(p.stderr.String(), tt.stderr) {
			t.Errorf("%s: exit code %d\n%s\n%s", tt.args, code, out.String(), &p.stderr)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, filepath.Base(f.Name()))
		}
		if strings.Join(names, " ") != tt.saved {
			t.Errorf("%s: saved %q", tt.args, names)
		}
	}
}

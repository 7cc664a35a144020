package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// To print a large answer, the process takes at most three times the answer's size in memory, in addition to the memory that it takes for a
// small answer.
func TestMemoryOfLargeAnswer(t *testing.T) {
	const size = 24 << 20
	const base = 25 << 20 // limit of the memory that the process takes for a small answer, in bytes
	data := strings.Repeat("AAAA", size/4)
	blocks := map[string][2]string{
		"/picture": {`{"type":"image","mimeType":"image/png","data":"`, `"}`},
		"/text":    {`{"type":"text","text":"`, `"}`},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path, events := strings.CutSuffix(r.URL.Path, "/events")
		before, after := "", ""
		w.Header().Set("Content-Type", "application/json")
		if events {
			w.Header().Set("Content-Type", "text/event-stream")
			before, after = "data: ", "\n\n"
		}
		_, id, _ := strings.Cut(string(body), `"id":`)
		before += `{"jsonrpc":"2.0","id":` + id[:strings.IndexAny(id, ",}")] + `,"result":{"resultType":"complete",`
		pieces := []string{`"ttlMs":60000,"tools":[{"name":"large","inputSchema":{"type":"object"}}]`}
		if !strings.Contains(string(body), `"tools/list"`) {
			pieces = []string{`"content":[`, blocks[path][0], data, blocks[path][1], `]`}
		}
		io.WriteString(w, before)
		for _, piece := range pieces {
			io.WriteString(w, piece)
		}
		io.WriteString(w, `}}`+after)
	}))
	defer s.Close()
	m := newMachine(t)
	for _, call := range []string{
		"/picture --output raw", "/picture --output json", "/picture --save-dir saved", "/picture/events --save-dir saved",
		"/text --output text", "/text/events --output raw",
	} {
		path, flags, _ := strings.Cut(call, " ")
		got := m.peak(t, append([]string{"call", s.URL + path, "large"}, strings.Fields(flags)...))
		if got < size || got > base+3*size {
			t.Errorf("%s: %d MB for an answer of %d MB", call, got>>20, size>>20)
		}
	}
}

// A small answer takes at most 25 MB of memory. The test measures the memory after the process has printed the answer and before the
// process ends: the server delays the end of the session.
func TestMemoryOfSmallAnswer(t *testing.T) {
	m := newMachine(t)
	m.open(t, "2025-11-25")
	if err := m.Set("mcp:method=DELETE,delay=1m"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := m.prepare(t, "call", "SERVER", "echo", "text=x", "--no-cache")
		p.Stdout = nil
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(out)
		status, lost := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		_ = p.Process.Kill()
		_ = p.Wait()
		if err != nil || lost != nil || string(text) != "x\n" {
			t.Fatalf("%q, %v, %v", text, err, lost)
		}
		_, high, _ := strings.Cut(string(status), "VmHWM:")
		kb := 0
		if _, err := fmt.Sscan(high, &kb); err != nil || kb > 25<<10 {
			t.Errorf("%d kB, %v", kb, err)
		}
	}
}

// peak runs the program and returns its maximum resident set size in bytes. The kernel's figure includes the memory that the process shared
// with its parent before exec, so a small process starts the program.
func (m *machine) peak(t *testing.T, args []string) int {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("peak", append([]string{path}, args...)...)
	c.Env, c.Dir = m.env, m.home
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	kb, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func init() { programs["peak"] = peakMain } // other systems count otherwise

// peakMain runs a program, discards its output, and prints its maximum resident set size in kilobytes.
func peakMain() {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "peak:", err)
		os.Exit(1)
	}
	fmt.Println(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
}

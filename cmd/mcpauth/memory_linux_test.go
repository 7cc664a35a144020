package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A large answer takes at most three times its size in memory, beside what a small one may take, while it is printed.
func TestMemoryOfLargeAnswer(t *testing.T) {
	const size = 24 << 20
	const base = 25 << 20 // what the program may take for a small answer
	picture := strings.Repeat("AAAA", size/4)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, id, _ := strings.Cut(string(body), `"id":`)
		id = id[:strings.IndexAny(id, ",}")]
		switch {
		case strings.Contains(string(body), `"tools/list"`):
			io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete","ttlMs":60000,"tools":[{"name":"large","inputSchema":{"type":"object"}}]}}`)
		default:
			for _, piece := range []string{`{"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete","content":[{"type":"image","mimeType":"image/png","data":"`, picture, `"}]}}`} {
				io.WriteString(w, piece)
			}
		}
	}))
	defer s.Close()
	m := newMachine(t)
	for _, flags := range [][]string{{"--output", "raw"}, {"--output", "json"}} {
		got := m.peak(t, append([]string{"call", s.URL, "large"}, flags...))
		if got < size || got > base+3*size {
			t.Errorf("%v: %d MB for an answer of %d MB", flags, got>>20, size>>20)
		}
	}
}

// peak runs the program and returns the largest resident set that it had, in bytes.
func (m *machine) peak(t *testing.T, args []string) int {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	// The kernel counts the memory of the parent before exec into ru_maxrss; VmHWM is the program's own, read before it is gone.
	c := exec.Command(path, args...)
	c.Env, c.Dir = m.env, m.home
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	high := 0
	buffer := make([]byte, 1<<20)
	for {
		n, err := out.Read(buffer)
		high = max(high, highWater(c.Process.Pid))
		if err != nil || n == 0 {
			break
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return high
}

// highWater reads VmHWM of a process, 0 when it is gone.
func highWater(pid int) int {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.Atoi(fields[0])
	return kb << 10
}

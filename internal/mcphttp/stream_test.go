package mcphttp

import (
	"io"
	"runtime"
	"strings"
	"testing"
)

// flood is an event stream of many small messages. It measures the memory after the first ones and after the last one.
type flood struct {
	left, read  int // in messages
	first, last uint64
}

func (f *flood) Read(p []byte) (int, error) {
	const event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n\n"
	if f.left == 0 {
		f.last = memory()
		return 0, io.EOF
	}
	n := min(f.left, len(p)/len(event))
	f.left -= n
	if f.read += n; f.first == 0 && f.read > 1000 {
		f.first = memory()
	}
	return copy(p, strings.Repeat(event, n)), nil
}

func (f *flood) Close() error { return nil }

func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// A stream takes no more memory the more messages it contains, also if it never ends.
func TestMemoryOfAStream(t *testing.T) {
	f := &flood{left: 300_000}
	seen := 0
	r := Request{Message: NewRequest([]byte(`1`), "tools/call", nil), Receive: func(Message) bool { seen++; return true }}
	(&Link{URL: "https://mcp.example/mcp"}).readEvents(r, f)
	if grown := int64(f.last) - int64(f.first); seen != 300_000 || grown > 2<<20 {
		t.Errorf("%d messages took %d bytes", seen, grown)
	}
}

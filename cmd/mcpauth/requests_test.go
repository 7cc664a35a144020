package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"mcpauth/internal/demo"
)

// open puts a server of that era, which asks for no token, at the address of the one there was.
func (m *machine) open(t *testing.T, era string) {
	t.Helper()
	m.Close()
	s, err := demo.Start(demo.Options{Era: era, Addr: strings.TrimPrefix(m.Origin(), "http://"), Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	m.Server = s
}

// call calls a tool whose answer does not fit into a pipe, and returns the requests that were sent before the result was printed, and all.
func (m *machine) call(t *testing.T) (before, all []string) {
	t.Helper()
	m.Reset()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := m.prepare(t, "call", "SERVER", "big", "bytes=1000000")
	p.Stdout = in
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if n, err := out.Read(make([]byte, 1)); n == 1 {
		before = m.methods()
	} else {
		t.Errorf("no output: %v", err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if code := p.end(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, &p.stderr)
	}
	return before, m.methods()
}

// methods lists the requests: the MCP method, or the HTTP method of those without a message.
func (m *machine) methods() (list []string) {
	for _, e := range m.Requests() {
		if e.RPC == "" {
			e.RPC = e.Method
		}
		list = append(list, e.RPC)
	}
	return list
}

// What a call costs at the server: one request where all is known of a modern one, three before the result is printed at a legacy one.
func TestRequestsOfACall(t *testing.T) {
	handshake := []string{"initialize", "notifications/initialized"}
	for era, want := range map[string]struct{ cold, warm []string }{
		"2026-07-28": {[]string{"tools/list", "tools/call"}, []string{"tools/call"}},
		"both":       {[]string{"tools/list", "tools/call"}, []string{"tools/call"}},
		"2025-11-25": {slices.Concat([]string{"tools/list"}, handshake, []string{"tools/list", "tools/call"}), append(handshake, "tools/call")},
		"2025-03-26": {slices.Concat([]string{"tools/list"}, handshake, []string{"tools/list", "tools/call"}), append(handshake, "tools/call")},
	} {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.open(t, era)
			after := []string{"DELETE"}
			if era == "both" || era == "2026-07-28" {
				after = nil
			}
			for _, want := range [][]string{want.cold, want.warm, want.warm} {
				before, all := m.call(t)
				if !slices.Equal(before, want) {
					t.Errorf("before the result is printed: %s\nexpected %s", before, want)
				}
				if want := slices.Concat(want, after); !slices.Equal(all, want) {
					t.Errorf("in all: %s\nexpected %s", all, want)
				}
			}
		})
	}
}

// A server that became another at the same address is spoken to as it is now, at the price of what it refuses.
func TestRequestsOfAnotherEra(t *testing.T) {
	m := newMachine(t)
	for _, tt := range []struct{ era, want string }{
		{"2025-06-18", "tools/list initialize notifications/initialized tools/list tools/call DELETE"},
		{"2025-06-18", "initialize notifications/initialized tools/call DELETE"},
		{"2026-07-28", "initialize tools/call"},
		{"2026-07-28", "tools/call"},
		{"2025-11-25", "tools/call initialize notifications/initialized tools/call DELETE"},
		{"2025-11-25", "initialize notifications/initialized tools/call DELETE"},
		{"both", "initialize notifications/initialized tools/call DELETE"},
		{"2025-06-18 strictinit", "initialize tools/call initialize initialize notifications/initialized tools/call DELETE"},
	} {
		era, words, strict := strings.Cut(tt.era, " ")
		m.open(t, era)
		if strict && m.Set(words) != nil {
			t.Fatal(words)
		}
		if _, all := m.call(t); strings.Join(all, " ") != tt.want {
			t.Errorf("%s: %s\nexpected %s", tt.era, strings.Join(all, " "), tt.want)
		}
	}
}

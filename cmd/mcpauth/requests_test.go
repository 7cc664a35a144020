package main

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpauth/internal/demo"
)

// open replaces the server at the address by a server of this era that requires no token.
func (m *machine) open(t *testing.T, era string) {
	t.Helper()
	shutDown(t, m.Server)
	s, err := demo.Start(demo.Options{Era: era, Addr: strings.TrimPrefix(m.Origin(), "http://"), Settings: demo.Settings{Open: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	m.Server = s
}

// shutDown closes a server and waits until nothing accepts connections at its address. Until a process that another test starts at this
// moment executes its program, it keeps the listening socket of the server open.
func shutDown(t *testing.T, s *demo.Server) {
	t.Helper()
	s.Close()
	until(t, "nothing accepts connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Origin(), "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// call calls a tool with an answer that is larger than a pipe. before lists the requests that were sent before the result was printed. all
// lists all requests.
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

// methods returns the MCP method of each request, or its HTTP method if the request has no message.
func (m *machine) methods() (list []string) {
	for _, e := range m.Requests() {
		if e.RPC == "" {
			e.RPC = e.Method
		}
		list = append(list, e.RPC)
	}
	return list
}

// With a warm cache, a call sends one request, in every protocol revision.
func TestRequestsOfACall(t *testing.T) {
	t.Parallel()
	modern := []string{"tools/list", "tools/call"}
	legacy := []string{"tools/list", "initialize", "notifications/initialized", "tools/list", "tools/call"}
	for era, cold := range map[string][]string{"2026-07-28": modern, "both": modern, "2025-11-25": legacy, "2025-06-18": legacy, "2025-03-26": legacy} {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			m := newMachineFor(t, demo.Options{Era: era, Settings: demo.Settings{Open: []string{"*"}}})
			for _, want := range [][]string{cold, {"tools/call"}, {"tools/call"}} {
				before, all := m.call(t)
				if !slices.Equal(before, want) || !slices.Equal(all, want) {
					t.Errorf("before the result is printed: %s, in all: %s\nexpected %s", before, all, want)
				}
			}
		})
	}
}

// If a server is replaced by one of another protocol revision, it refuses the requests of the next call. The call then adapts to the new
// revision. A call is sent again only if its refusal proves that it was not executed.
func TestRequestsOfAnotherEra(t *testing.T) {
	t.Parallel()
	port, err := freePort() // no other test gets it between two servers
	if err != nil {
		t.Fatal(err)
	}
	m := newMachineFor(t, demo.Options{Addr: "127.0.0.1:" + port})
	for _, tt := range []struct{ era, want string }{
		{"2025-06-18", "tools/list initialize notifications/initialized tools/list tools/call"},
		{"2025-06-18", "tools/call initialize notifications/initialized tools/call"}, // the server restarted, so the session is lost
		{"2026-07-28", "tools/call tools/call"},
		{"2026-07-28", "tools/call"},
		{"2025-11-25", "tools/call initialize notifications/initialized tools/call"},
		{"2025-11-25", "tools/call initialize notifications/initialized tools/call"},
		{"both", "tools/call initialize notifications/initialized tools/call"},
		{"2025-06-18 strictinit", "tools/call tools/call initialize initialize notifications/initialized tools/call"},
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

// If processes open sessions at the same time, one session is stored and the others are ended. --no-cache and --elicit use a separate
// session and end it. logout and a new login end the stored session.
func TestKeptSession(t *testing.T) {
	t.Parallel()
	m := newMachineFor(t, demo.Options{Era: "2025-11-25"})
	run := func(args ...string) {
		t.Helper()
		p := m.prepare(t, args...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.end(t); code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, &p.stderr)
		}
	}
	count := func(method string) (n int) {
		for _, seen := range m.methods() {
			if seen == method {
				n++
			}
		}
		return n
	}
	run("login", "SERVER")
	m.Reset()
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() { run("call", "SERVER", "echo", "text=x") })
	}
	all.Wait()
	opened, ended := count("initialize"), count("DELETE")
	if opened-ended != 1 {
		t.Errorf("%d sessions were opened and %d ended", opened, ended)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"tools/call", []string{"call", "SERVER", "echo", "text=x"}},
		{"tools/list initialize notifications/initialized tools/list tools/call DELETE", []string{"call", "SERVER", "echo", "text=x", "--no-cache"}},
		{"initialize notifications/initialized GET tools/call DELETE", []string{"call", "SERVER", "echo", "text=x", "--elicit", "defaults"}},
		{"tools/call", []string{"call", "SERVER", "echo", "text=x"}},
		{"DELETE", []string{"logout", "SERVER", "--keep-client"}},
	} {
		m.Reset()
		run(tt.args...)
		var got []string
		for _, method := range m.methods() {
			if method != "POST" { // OAuth endpoints
				got = append(got, method)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%v: %s\nexpected %s", tt.args, strings.Join(got, " "), tt.want)
		}
	}
	m.Reset()
	run("login", "SERVER")
	run("call", "SERVER", "echo", "text=x")
	if count("initialize") != 1 {
		t.Error("a session survived the logout")
	}
	m.Reset()
	run("login", "SERVER")
	if count("DELETE") != 1 {
		t.Error("a session survived a login over the one that opened it")
	}
}

// If a server redirects, its session is stored under the address of the redirect. logout finds and ends that session.
func TestNothingIsKeptOfAMovedServer(t *testing.T) {
	t.Parallel()
	m := newMachineFor(t, demo.Options{Era: "2025-11-25", Settings: demo.Settings{Slash: true}})
	for _, args := range [][]string{{"login", "SERVER"}, {"call", "SERVER", "echo", "text=x"}, {"logout", "SERVER", "--keep-client"}} {
		m.Reset()
		p := m.prepare(t, args...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.end(t); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, &p.stderr)
		}
	}
	if !slices.Contains(m.methods(), "DELETE") {
		t.Errorf("the kept session survived the logout: %q", m.methods())
	}
}

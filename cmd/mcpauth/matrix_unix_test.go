//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpauth/pkg/flow"
)

// command is one of the commands that TestLifeOfAProcess runs. Each of these commands redeems the refresh token. Its standard input stays
// open until the test closes it.
type command struct {
	name   string
	args   []string
	expire bool     // the server rejects the access token, so that the command refreshes it
	lines  []string // lines of standard input that are sent before the server rejects the token; the test waits for the answer to each line
	last   string   // line of standard input that is sent after the server rejects the token
}

const (
	modernCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"}}}}`
	olderCall       = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}`
	olderInitialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
)

var lifeCommands = []command{
	{name: "refresh", args: []string{"refresh", "SERVER"}},
	{name: "token", args: []string{"token", "SERVER", "--min-ttl", "2h"}},
	{name: "call after a 401", args: echo, expire: true},
	{name: "batch", args: []string{"call", "SERVER", "--batch", "-"}, expire: true, last: `{"tool":"echo","arguments":{"text":"hello"}}`},
	{name: "proxy, 2026-07-28", args: []string{"proxy", "SERVER"}, expire: true, last: modernCall},
	{name: "proxy, older client", args: []string{"proxy", "SERVER"}, expire: true, lines: []string{olderInitialize}, last: olderCall},
}

// ending is an event that ends the process during its request to the token endpoint.
type ending struct {
	name string
	flag []string
	act  func(p *process, input io.Closer) error
}

var endings = []ending{
	{name: "SIGINT", act: func(p *process, _ io.Closer) error { return p.Process.Signal(os.Interrupt) }},
	{name: "SIGTERM", act: func(p *process, _ io.Closer) error { return p.Process.Signal(syscall.SIGTERM) }},
	{name: "SIGHUP", act: func(p *process, _ io.Closer) error { return p.Process.Signal(syscall.SIGHUP) }},
	{name: "`--timeout`", flag: []string{"--timeout", "3s"}, act: func(*process, io.Closer) error { return nil }},
	{name: endOfInput, act: func(_ *process, input io.Closer) error { return input.Close() }},
	{name: killed, act: func(p *process, _ io.Closer) error { return p.Process.Kill() }},
}

const (
	tick       = 100 * time.Millisecond
	endOfInput = "end of input"
	killed     = "kill -9"
)

// tokenFault is a fault of the token endpoint. counted is the counter that the server increments when the fault takes effect.
type tokenFault struct {
	name, words, counted string
	lost                 bool          // the client never receives the new refresh token
	longest              time.Duration // time until the request ends
}

var tokenFaults = []tokenFault{
	{"rotates the token and answers after 6 s", "late=6s", "refresh", false, 6 * time.Second},
	{"rotates the token and sends half of its answer after 5 s", "late=5s,drop=mid", "refresh", true, 5 * time.Second},
	{"rotates the token and never answers", "hang=after", "refresh", true, 30 * time.Second},
	{"neither rotates the token nor answers", "hang=before", "token/refresh_token", false, 30 * time.Second},
}

// The possible results of one combination in TestLifeOfAProcess: the next `refresh` works, or it reports that the refresh token is lost.
const (
	works = "works"
	told  = "reported"
)

// TestLifeOfAProcess runs every combination of a command, a fault of the token endpoint, and an event that ends the process. The next
// `refresh` must work, or, if the server's answer was lost, must say so. docs/durability.md contains the results as a table. With -short, only
// SIGTERM ends the processes, and no request takes 30 s.
func TestLifeOfAProcess(t *testing.T) {
	t.Parallel() // it mostly waits
	// The clock of this test counts sleeps, so that the time during which the machine is suspended does not count.
	var clock atomic.Int64
	go func() {
		for ; t.Context().Err() == nil; clock.Add(int64(tick)) {
			time.Sleep(tick)
		}
	}()
	var wg sync.WaitGroup
	var mu sync.Mutex
	result := map[string]string{}
	all, faults := endings, tokenFaults
	if testing.Short() {
		all, faults = endings[1:2], tokenFaults[:2]
	}
	busy := make(chan struct{}, 6) // limits the number of processes that run at the same time; a process that waits does not count
	for _, e := range all {
		for _, f := range faults {
			for _, c := range lifeCommands {
				name := strings.Join([]string{c.name, e.name, f.name}, "/")
				wg.Go(func() {
					t.Run(name, func(t *testing.T) {
						got := cell(t, c, e, f, busy, &clock)
						mu.Lock()
						defer mu.Unlock()
						result[name] = got
					})
				})
			}
		}
	}
	wg.Wait()
	compareMatrix(t, lifeTable(all, faults, result))
}

// cell tests one combination. It runs the command against the fault, ends the process, and returns the result of the next refresh.
func cell(t *testing.T, c command, e ending, f tokenFault, busy chan struct{}, clock *atomic.Int64) string {
	busy <- struct{}{}
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	m.env = append(m.env, "BROWSER=none")
	p := m.prepare(t, append(slices.Clone(c.args), e.flag...)...)
	input, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	out := &transcript{}
	p.Stdout = out
	m.set(t, "token:grant=refresh_token,n=1,"+f.words) // the fault is set before the process can reach the token endpoint
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for i, line := range c.lines {
		io.WriteString(input, line+"\n")
		until(t, "line "+fmt.Sprint(i)+" is answered", func() bool { return out.count() > i })
	}
	if c.expire {
		m.set(t, "expire")
	}
	if c.last != "" {
		io.WriteString(input, c.last+"\n")
	}
	until(t, "the server has the request", func() bool { return m.Count(f.counted) > 0 })
	if err := e.act(p, input); err != nil {
		t.Fatal(err)
	}
	acted := clock.Load()
	<-busy
	if code := p.end(t); code == exitDone && f.lost && c.name == "refresh" {
		t.Errorf("exit 0, and the answer was lost\n%s%s", out, &p.stderr)
	}
	if strings.HasPrefix(c.name, "proxy") && e.name == endOfInput && !strings.Contains(out.String(), `"id":1,`) {
		t.Errorf("the call has no answer\n%s%s", out, &p.stderr)
	}
	const slack = 10 * time.Second // mcpauth may take two seconds; the rest allows for a busy machine
	if took := time.Duration(clock.Load() - acted); took > f.longest+slack || e.name == killed && took > slack {
		t.Errorf("the process took %s to end\n%s", took, &p.stderr)
	}
	busy <- struct{}{}
	defer func() { <-busy }()
	want := works
	if f.lost || e.name == killed && f.counted == "refresh" {
		want = told
	}
	if got := m.nextRefresh(t, p); got != want {
		t.Errorf("the next refresh: %s, want %s", got, want)
	}
	return want
}

// nextRefresh runs refresh after the process has ended, and returns the result.
func (m *machine) nextRefresh(t *testing.T, ended *process) string {
	t.Helper()
	next := m.start(t, "refresh", "SERVER", "--timeout", "40s")
	code, said := next.end(t), next.stderr.String()
	switch {
	case code == exitDone && m.Count("reuse") == 0:
		m.tidy(t, ended)
		return works
	case code == exitAuth && m.Count("reuse") == 1 && strings.Contains(said, flow.ErrMaybeSpent.Error()):
		m.does(t, exitDone, "login", "SERVER", "--browser", "browser", "--timeout", "40s")
		m.does(t, exitDone, "refresh", "SERVER", "--timeout", "40s")
		return told
	}
	return fmt.Sprintf("exit %d, %d refreshes, %d refresh tokens used twice\n%s\nthe one that ended said:\n%s", code, m.Count("refresh"), m.Count("reuse"), said, &ended.stderr)
}

// transcript collects the output of a running process.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *transcript) count() int { return strings.Count(l.String(), "\n") }

// lifeTable returns the matrix as a Markdown table.
func lifeTable(endings []ending, faults []tokenFault, result map[string]string) string {
	var b strings.Builder
	b.WriteString("| the process ends by | while the token endpoint |")
	for _, c := range lifeCommands {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(lifeCommands)) + "\n")
	for _, e := range endings {
		for _, f := range faults {
			fmt.Fprintf(&b, "| %s | %s |", e.name, f.name)
			for _, c := range lifeCommands {
				fmt.Fprintf(&b, " %s |", result[strings.Join([]string{c.name, e.name, f.name}, "/")])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// compareMatrix compares the table in docs/durability.md with the results. With UPDATE=1 it rewrites the table.
func compareMatrix(t *testing.T, table string) {
	t.Helper()
	const page = "../../docs/durability.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	m := matrixPlace.FindSubmatch(data)
	switch {
	case m == nil:
		t.Fatalf("%s has no place for the matrix", page)
	case string(m[2]) == table || t.Failed():
	case testing.Short():
		for line := range strings.Lines(table) {
			if !strings.Contains(string(m[2]), line) {
				t.Errorf("the matrix in %s does not have the line\n%s", page, line)
			}
		}
	case os.Getenv("UPDATE") != "":
		data = matrixPlace.ReplaceAll(data, []byte("${1}"+table+"${3}"))
		if err := os.WriteFile(page, data, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the matrix in %s differs; write it with UPDATE=1. It should be:\n%s", page, table)
	}
}

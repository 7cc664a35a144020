package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"mcpauth/internal/demo"
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
	m := newMachineFor(t, demo.Options{Era: "2025-11-25", Settings: demo.Settings{Open: []string{"*"}}})
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

// An answer with millions of messages, questions, words, prompt arguments or properties takes at most ten times its size in memory, whether
// the command succeeds or not. In a slice, such parts would take 25 to 60 times their size. Each byte that is not UTF-8 becomes three bytes.
func TestMemoryOfManyParts(t *testing.T) {
	const base = 25 << 20
	m := newMachine(t)
	prompts := ""
	for i := range 30 {
		prompts += fmt.Sprintf(`{"name":"p%d","arguments":[{}%s]},`, i, strings.Repeat(",{}", 300_000))
	}
	properties, list, defaults := "", "", ""
	for i := range 70_000 {
		properties += fmt.Sprintf(`"%%41%d":{},`, i) // the search for secrets decodes such names
	}
	for i := range 60 {
		if i > 0 {
			defaults += ","
		}
		defaults += fmt.Sprintf(`"q%d":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","default":"%s"}}}}}`,
			i, strings.Repeat("a", 1_000_000))
		list += fmt.Sprintf(`{"name":"t%d","uri":"t%d","inputSchema":{"type":"object","properties":{%s"last":{}}}},`, i, i, properties)
	}
	for _, c := range []struct {
		name, answer string // ID stands for the id of the request
		args         []string
		exit         int
		tab          []string // a completion that reads the cached list; nil: none
	}{
		{"messages of a batch", `[` + strings.Repeat(`{"method":"a"},`, 2_000_000) + `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","content":[]}}]`,
			[]string{"call", "SERVER", "large"}, exitDone, nil},
		{"questions of an error", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32042,"message":"m","data":{"elicitations":[0` + strings.Repeat(",0", 10_000_000) + `]}}}`,
			[]string{"call", "SERVER", "large"}, exitNetwork, nil},
		{"words of an error", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"` + strings.Repeat("a ", 16<<20) + `"}}`,
			[]string{"call", "SERVER", "large"}, exitTool, nil},
		{"arguments of prompts", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","prompts":[` + prompts + `{"name":"last"}]}}`,
			[]string{"prompts", "SERVER"}, exitNetwork, []string{"__complete", "prompt", "SERVER", ""}},
		{"properties of tools", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","ttlMs":60000,"tools":[` + list + `{"name":"last"}]}}`,
			[]string{"tools", "SERVER", "--header", "X-Api-Key: 2345abcdefghijkl"}, exitDone, []string{"__complete", "call", "SERVER", ""}},
		{"properties of tools, in a call", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","ttlMs":60000,"tools":[` + list + `{"name":"last"}]}}`,
			[]string{"call", "SERVER", "missing"}, exitTool, nil},
		{"state of a call", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"input_required","requestState":"` + strings.Repeat("a", 64<<20) + `"}}`,
			[]string{"call", "SERVER", "large"}, exitNetwork, nil},
		{"state of a call, as an event", `data: {"jsonrpc":"2.0","id":ID,"result":{"resultType":"input_required","requestState":"` + strings.Repeat("a", 64<<20) + `"}}` + "\n\n",
			[]string{"call", "SERVER", "large"}, exitNetwork, nil},
		{"questions of a call", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"input_required","inputRequests":{` + defaults + `}}}`,
			[]string{"call", "SERVER", "large", "--elicit", "defaults"}, exitNetwork, nil},
		{"properties of too many tools", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","ttlMs":60000,"tools":[` + list + list + `{"name":"last"}]}}`,
			[]string{"tools", "SERVER"}, exitNetwork, nil},
		{"properties of resources", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","resources":[` + list + `{"uri":"last"}],"resourceTemplates":[]}}`,
			[]string{"resources", "SERVER", "--header", "X-Api-Key: 2345abcdefghijkl"}, exitDone, nil},
		{"text that is not UTF-8", `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","content":[{"type":"resource","resource":{"uri":"u","text":"` + strings.Repeat("\xff", 32<<20) + `"}}]}}`,
			[]string{"call", "SERVER", "large"}, exitDone, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				_, id, _ := strings.Cut(string(body), `"id":`)
				id = id[:strings.IndexAny(id, ",}")]
				answer := c.answer
				if strings.Contains(string(body), `"tools/list"`) && !strings.Contains(answer, `"tools":`) {
					answer = `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","ttlMs":60000,"tools":[{"name":"large","inputSchema":{"type":"object"}}]}}`
				}
				w.Header().Set("Content-Type", "application/json")
				if strings.HasPrefix(answer, "data:") {
					w.Header().Set("Content-Type", "text/event-stream")
				}
				io.WriteString(w, strings.Replace(answer, "ID", id, 1))
			}))
			defer s.Close()
			check := func(args []string, exit int) {
				got, code := m.peakAndExit(t, strings.Split(strings.ReplaceAll(strings.Join(args, "\n"), "SERVER", s.URL), "\n"))
				factor := 10
				if !utf8.ValidString(c.answer) {
					factor = 15
				}
				if got < len(c.answer) || got > base+factor*len(c.answer) || code != exit {
					t.Errorf("%q: %d MB for an answer of %d MB, exit %d", args, got>>20, len(c.answer)>>20, code)
				}
			}
			check(c.args, c.exit)
			if c.tab != nil {
				check(c.tab, exitDone)
			}
		})
	}
}

// A server of an earlier revision sends a hundred large requests, or answers a hundred replies with large bodies without an end. The call
// takes less memory than twenty of the requests or bodies, also on a busy machine, where the garbage collector runs late.
func TestMemoryOfReplies(t *testing.T) {
	const size, base = 4 << 20, 25 << 20
	long := strings.Repeat("a", size)
	ping := `"id":"1","method":"ping"`
	m := newMachine(t)
	for _, c := range []struct {
		name, request string
		kind          string // of the response to a reply; empty: there is no response
		status        int    // of this response
	}{
		{"ID", `"id":"` + long + `","method":"ping"`, "", 0},
		{"parameters", ping + `,"params":{"x":"` + long + `"}`, "", 0},
		{"method", `"id":"1","method":"` + long + `"`, "", 0},
		{"question", `"id":"1","method":"elicitation/create","params":{"message":"m","requestedSchema":{"default":"` + long[:1<<20-100] + `"}}`, "", 0},
		{"related task", `"id":"1","method":"elicitation/create","params":{"message":"m","requestedSchema":{},"_meta":{"io.modelcontextprotocol/related-task":"` +
			long[:1<<20-200] + `"}}`, "", 0},
		{"JSON after a reply", ping, "application/json", http.StatusOK},
		{"events after a reply", ping, "text/event-stream", http.StatusOK},
		{"error after a reply", ping, "text/plain", http.StatusInternalServerError},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			s := httptest.NewServer(onlyOld(func(w http.ResponseWriter, r *http.Request, id json.RawMessage, method string) {
				if method == "tools/call" {
					w.Header().Set("Content-Type", "text/event-stream")
					for range 100 {
						io.WriteString(w, `data: {"jsonrpc":"2.0",`+c.request+"}\n\n")
					}
					w.(http.Flusher).Flush()
					time.Sleep(2 * time.Second) // all replies run at once
					fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`+"\n\n", id)
					return
				}
				if c.kind != "" {
					w.Header().Set("Content-Type", c.kind)
					w.WriteHeader(c.status)
					io.WriteString(w, "data: "+long)
					w.(http.Flusher).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-ended:
				}
			}))
			defer s.Close()
			defer close(ended)
			if got := m.peak(t, []string{"call", s.URL, "large"}); got > base+20*size {
				t.Errorf("%d MB", got>>20)
			}
		})
	}
}

// onlyOld returns a server of MCP 2025-06-18 with the tool large. f gets each tools/call and each reply, whose method is "".
func onlyOld(f func(w http.ResponseWriter, r *http.Request, id json.RawMessage, method string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &m)
		own := `"error":{"code":-32601,"message":"no"}`
		switch {
		case m.Method == "tools/call", m.Method == "" && m.ID != nil:
			f(w, r, m.ID, m.Method)
			return
		case m.ID == nil:
			w.WriteHeader(http.StatusAccepted)
			return
		case m.Method == "initialize":
			own = `"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}`
		case m.Method == "tools/list":
			own = `"result":{"tools":[{"name":"large","inputSchema":{"type":"object"}}]}`
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, own)
	}
}

// peak runs the program, which must succeed, and returns its maximum resident set size in bytes. The kernel's figure includes the memory that the process shared
// with its parent before exec, so a small process starts the program.
func (m *machine) peak(t *testing.T, args []string) int {
	t.Helper()
	size, code := m.peakAndExit(t, args)
	if code != exitDone {
		t.Fatalf("%v: exit %d", args, code)
	}
	return size
}

func (m *machine) peakAndExit(t *testing.T, args []string) (size, code int) {
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
	if _, err := fmt.Sscan(string(out), &size, &code); err != nil {
		t.Fatal(err)
	}
	return size << 10, code
}

func init() { programs["peak"] = peakMain } // other systems count otherwise

// peakMain runs a program, discards its output, and prints its maximum resident set size in kilobytes and its exit code.
func peakMain() {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	c.Stderr = os.Stderr
	if err := c.Run(); c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "peak:", err)
		os.Exit(1)
	}
	fmt.Println(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss, c.ProcessState.ExitCode())
}

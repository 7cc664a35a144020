package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/jsonscan"
)

// script contains the answers to each method in order. The last answer is repeated. If an answer begins with a digit, the server responds
// with that HTTP status.
type script map[string][]string

func (s script) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		ID     json.RawMessage
		Method string
	}
	_ = json.Unmarshal(body, &m)
	if m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	list := s[m.Method]
	answer := `"error":{"code":-32601,"message":"Method not found"}`
	if len(list) > 0 {
		answer = list[0]
	}
	if len(list) > 1 {
		s[m.Method] = list[1:]
	}
	if answer[0] == '5' || answer[0] == '4' {
		w.WriteHeader(int(answer[0]-'0')*100 + 3)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", "s1")
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, answer)
}

// modernScript is a server of 2026-07-28. A call of its only tool becomes a task. get contains the answers to tasks/get.
func modernScript(get ...string) script {
	return script{
		"server/discover": {`"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}`},
		"tools/list":      {`"result":{"resultType":"complete","ttlMs":60000,"tools":[{"name":"work","inputSchema":{"type":"object"}}]}`},
		"tools/call":      {`"result":{"resultType":"task","taskId":"t1","status":"working","pollIntervalMs":5,"ttlMs":60000,"createdAt":"2026-01-01T00:00:00Z"}`},
		"tasks/get":       get, "tasks/update": {`"result":{"resultType":"complete"}`}, "tasks/cancel": {`"result":{"resultType":"complete"}`},
	}
}

func state(status, more string) string {
	return `"result":{"resultType":"complete","taskId":"t1","status":"` + status + `","pollIntervalMs":5` + more + `}`
}

const finished = `,"result":{"resultType":"complete","content":[{"type":"text","text":"done"}]}`

func TestTaskIsFollowed(t *testing.T) {
	asks := state("input_required", `,"inputRequests":{"name":{"method":"elicitation/create","params":{"mode":"form","message":"who?","requestedSchema":{"type":"object","properties":{"who":{"type":"string","default":"Ada"}}}}}}`)
	for _, c := range []struct {
		name string
		get  []string
		want string // text of the result, or part of the error
		seen []string
	}{
		{"to its end", []string{state("working", ""), state("completed", finished)}, "done", []string{"tools/list", "tools/call", "tasks/get", "tasks/get"}},
		{"each question is answered once", []string{asks, asks, state("completed", finished)}, "done",
			[]string{"tools/list", "tools/call", "tasks/get", "tasks/update", "tasks/get", "tasks/get"}},
		{"a server that is away for a moment", []string{"5", state("completed", finished)}, "done", []string{"tools/list", "tools/call", "tasks/get", "tasks/get"}},
		{"failed", []string{state("failed", `,"error":{"code":-32603,"message":"no paper"}`)}, "no paper", nil},
		{"cancelled by somebody else", []string{state("cancelled", "")}, "was cancelled", nil},
		{"unknown at the server", []string{`"error":{"code":-32602,"message":"Unknown task"}`}, "Unknown task", nil},
		{"another task's state", []string{`"result":{"resultType":"complete","taskId":"t2","status":"completed"}`}, "another task", nil},
		{"a task in place of a state", []string{`"result":{"resultType":"task","taskId":"t1","status":"working"}`}, "does not allow", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, http.HandlerFunc(modernScript(c.get...).serve))
			dir := t.TempDir()
			m := client(t, s, func(m *Client) { m.TaskDir, m.Elicit = dir, Policy{Defaults: true}.Elicit })
			r, err := m.Call(t.Context(), "work", Arguments{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = r.Content[0].Text
				if names, _ := os.ReadDir(dir); len(names) != 1 {
					t.Errorf("%d tasks are remembered before the result is used, want 1", len(names))
				}
				m.ForgetTask(r.TaskID)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if seen := s.seen(); c.seen != nil && !slices.Equal(seen, c.seen) {
				t.Errorf("requests\n got %v\nwant %v", seen, c.seen)
			}
			if strings.Contains(c.want, "another") || strings.Contains(c.want, "allow") {
				return // the task may still exist
			}
			if names, _ := os.ReadDir(dir); len(names) != 0 {
				t.Errorf("%d tasks are remembered after the end", len(names))
			}
		})
	}
}

// A result of type task is an error for methods other than tools/call (SEP-2663, Capability Negotiation).
func TestTaskOfUnsupportedRequest(t *testing.T) {
	task := `"result":{"resultType":"task","taskId":"t1","status":"working"}`
	s := newServer(t, http.HandlerFunc(script{"tools/list": {task}, "resources/read": {task}, "prompts/get": {task}}.serve))
	m := client(t, s)
	m.prepare(t.Context())
	m.setEra(eraModern, "2026-07-28")
	_, list := m.Tools(t.Context())
	_, read := m.Read(t.Context(), "demo://x")
	_, prompt := m.Prompt(t.Context(), "p", nil)
	for what, err := range map[string]error{"tools/list": list, "resources/read": read, "prompts/get": prompt} {
		var status *StatusError
		if !errors.As(err, &status) {
			t.Errorf("%s with a task for an answer: %v, want a *StatusError", what, err)
		}
	}
	if seen := s.seen(); slices.Contains(seen, "tasks/get") {
		t.Errorf("the task was followed: %v", seen)
	}
}

// The id of a task is stored before the next request, so that a killed process does not lose it.
func TestTaskSurvivesTheProcess(t *testing.T) {
	s := newServer(t, http.HandlerFunc(modernScript(state("working", ""), state("completed", finished)).serve))
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	first := client(t, s, func(m *Client) {
		m.TaskDir, m.now = dir, func() time.Time { return time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC) }
		m.pause = func(context.Context, time.Duration) error {
			if tasks := m.KnownTasks(); len(tasks) != 1 || tasks[0].ID != "t1" || tasks[0].Tool != "work" {
				t.Errorf("remembered before the first poll: %v", tasks)
			}
			cancel()
			return context.Canceled
		}
	})
	_, err := first.Call(ctx, "work", Arguments{})
	var pending *PendingError
	if !errors.As(err, &pending) || pending.Task.ID != "t1" || !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v, want a *PendingError of t1", err)
	}
	second := client(t, s, func(m *Client) {
		m.TaskDir, m.now = dir, func() time.Time { return time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC) }
	})
	r, err := second.Follow(t.Context(), "t1")
	if err != nil || r.Content[0].Text != "done" || r.TaskID != "t1" {
		t.Fatalf("the next process: %v, %v", r, err)
	}
	late := client(t, s, func(m *Client) {
		m.TaskDir, m.now = dir, func() time.Time { return time.Date(2026, 1, 1, 0, 2, 0, 0, time.UTC) }
	})
	if tasks := late.KnownTasks(); len(tasks) != 0 {
		t.Errorf("after its lifetime the task is still known: %v", tasks)
	}
}

// A tool that requires a task is called as a task of 2025-11-25 if the server supports tasks.
func TestOldTask(t *testing.T) {
	capability := `,"tasks":{"requests":{"tools":{"call":{}}}}`
	for _, c := range []struct {
		name, capability, support string
		want                      []string
	}{
		{"required", capability, "required", []string{"tools/call", "tasks/get", "tasks/get", "tasks/result"}},
		{"optional", capability, "optional", []string{"tools/call"}},
		{"forbidden, and nobody waits", capability, "forbidden", []string{"tools/call"}},
		{"required without the capability", "", "required", []string{"tools/call"}}, // Tool-Level Negotiation, 1
	} {
		t.Run(c.name, func(t *testing.T) {
			task := `"taskId":"t1","status":"%s","createdAt":"2026-01-01T00:00:00Z","ttl":60000,"pollInterval":5`
			content := `"result":{"content":[{"type":"text","text":"done"}]}`
			answers := script{
				"initialize":   {`"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}` + c.capability + `},"serverInfo":{"name":"t","version":"1"}}`},
				"tools/list":   {`"result":{"tools":[{"name":"work","inputSchema":{"type":"object"},"execution":{"taskSupport":"` + c.support + `"}}]}`},
				"tools/call":   {content},
				"tasks/get":    {`"result":{` + fmt.Sprintf(task, "working") + `}`, `"result":{` + fmt.Sprintf(task, "completed") + `}`},
				"tasks/result": {content},
			}
			if len(c.want) > 1 {
				answers["tools/call"] = []string{`"result":{"task":{` + fmt.Sprintf(task, "working") + `}}`}
			}
			s := newServer(t, onlyLegacy(http.HandlerFunc(answers.serve)))
			m := client(t, s, func(m *Client) { m.TaskDir, m.Detach = t.TempDir(), strings.HasSuffix(c.name, "nobody waits") })
			if got := callText(t, m, "work"); got != "done" {
				t.Errorf("got %q", got)
			}
			seen := s.seen()
			if i := slices.Index(seen, "tools/call"); i < 0 || !slices.Equal(seen[i:], c.want) {
				t.Errorf("requests\n got %v\nwant %v at the end", seen, c.want)
			}
		})
	}
}

// With Detach, a tool that allows a task is called as a task.
func TestOldOptionalTask(t *testing.T) {
	s := newServer(t, onlyLegacy(http.HandlerFunc(script{
		"initialize": {`"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}},"serverInfo":{"name":"t","version":"1"}}`},
		"tools/list": {`"result":{"tools":[{"name":"work","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"}}]}`},
		"tools/call": {`"result":{"task":{"taskId":"t1","status":"working","createdAt":"2026-01-01T00:00:00Z","ttl":60000}}`},
	}.serve)))
	m := client(t, s, func(m *Client) { m.TaskDir, m.Detach = t.TempDir(), true })
	if r, err := m.Call(t.Context(), "work", Arguments{}); err != nil || r.Task == nil || r.Task.ID != "t1" {
		t.Errorf("got %s, %v, want the task", r.Raw, err)
	}
	call := s.requests("tools/call")
	if len(call) != 1 || string(jsonscan.Member(paramsOf(t, call[0]), "task")) != "{}" {
		t.Errorf("tools/call: %s", call[0].body)
	}
}

package mcpclient

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/jsonscan"
)

// Each row tests one rule of SEP-2663 for clients. The name of a row is the title of the section that contains the rule. TestTaskIsFollowed
// and TestTaskOfUnsupportedRequest test further rules.
func TestTaskRules(t *testing.T) {
	question := func(key, method, mode string) string {
		return state("input_required", `,"inputRequests":{"`+key+`":{"method":"`+method+`","params":{"mode":"`+mode+`","message":"?","url":"https://example.com","requestedSchema":{"type":"object"}}}}`)
	}
	seed := func(status string) string {
		return `"result":{"resultType":"task","taskId":"t1","status":"` + status + `","pollIntervalMs":5}`
	}
	working, completed := state("working", ""), state("completed", finished)
	const cancelled = "cancelled by the user"
	for _, c := range []struct {
		name string
		call string // answer to tools/call; empty: a working task
		get  []string
		want string   // text of the result, or part of the error
		seen []string // after tools/call
	}{
		{"Capability Negotiation: a CallToolResult", `"result":` + done, nil, "done", nil},
		{"Task Creation: a task that has ended shows its result to tasks/get", seed("completed"), []string{completed}, "done", []string{"tasks/get"}},
		{"Task Creation: a task that has failed shows its error to tasks/get", seed("failed"), []string{state("failed", `,"error":{"code":-1,"message":"no paper"}`)}, "no paper", []string{"tasks/get"}},
		{"Task Creation: a task that has questions shows them to tasks/get", seed("input_required"), []string{question("a", "elicitation/create", "form"), completed}, "done", []string{"tasks/get", "tasks/update", "tasks/get"}},
		{"Task Status: inputRequests are inspected", "", []string{question("a", "elicitation/create", "form"), question("b", "elicitation/create", "form"), completed}, "done",
			[]string{"tasks/get", "tasks/update", "tasks/get", "tasks/update", "tasks/get"}},
		{"Task Update Requests: a request that was not declared", "", []string{question("a", "sampling/createMessage", "")}, `requests "sampling/createMessage"`, []string{"tasks/get"}},
		{"Task Update Requests: a mode that was not declared", "", []string{question("a", "elicitation/create", "video")}, "did not offer", []string{"tasks/get"}},
		{"Task Update Requests: an address is declined, and not opened", "", []string{question("a", "elicitation/create", "url"), completed}, "done", []string{"tasks/get", "tasks/update", "tasks/get"}},
		{"Task Polling: until the end", "", []string{working, working, working, completed}, "done", []string{"tasks/get", "tasks/get", "tasks/get", "tasks/get"}},
		{"Task Cancellation: an interrupt is no notifications/cancelled", "", []string{working, cancelled}, "context canceled", []string{"tasks/get", "tasks/get"}},
		{"Task Execution Errors: isError is a result", "", []string{state("completed", `,"result":{"isError":true,"content":[{"type":"text","text":"no"}]}`)}, "no", []string{"tasks/get"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			answers := modernScript(c.get...)
			if c.call != "" {
				answers["tools/call"] = []string{c.call}
			}
			s := newServer(t, http.HandlerFunc(answers.serve))
			s.front = func(_ http.ResponseWriter, r *http.Request, rpc string) bool {
				if rpc != "tasks/get" || answers[rpc][0] != cancelled {
					return false
				}
				cancel()
				<-r.Context().Done()
				return true
			}
			m := client(t, s)
			r, err := m.Call(ctx, "work", Arguments{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = r.Content[0].Text
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, rpc := range []string{"tools/list", "tools/call", "tasks/get", "tasks/update"} {
				for _, r := range s.requests(rpc) {
					wantTaskHeader(t, r)
				}
			}
			seen := s.seen()
			if after := seen[slices.Index(seen, "tools/call")+1:]; !slices.Equal(after, c.seen) {
				t.Errorf("requests\n got %v\nwant %v", after, c.seen)
			}
		})
	}
}

// wantTaskHeader checks the capabilities and the Mcp-Name header of each request (Capability Negotiation; Routing Headers).
func wantTaskHeader(t *testing.T, r recorded) {
	t.Helper()
	declared := jsonscan.Member(paramsOf(t, r), "_meta")
	for _, name := range []string{"io.modelcontextprotocol/clientCapabilities", "extensions", "io.modelcontextprotocol/tasks"} {
		declared = jsonscan.Member(declared, name)
	}
	if string(declared) != "{}" || r.header.Get("Mcp-Method") != r.rpc {
		t.Errorf("%s: the extension is declared as %q, Mcp-Method is %q", r.rpc, declared, r.header.Get("Mcp-Method"))
	}
	if name := r.header.Get("Mcp-Name"); strings.HasPrefix(r.rpc, "tasks/") && name != "t1" {
		t.Errorf("%s: Mcp-Name is %q", r.rpc, name)
	}
}

// CancelTask sends tasks/cancel and does not wait for the end of the task (Task Cancellation).
func TestTaskIsCancelled(t *testing.T) {
	s := newServer(t, http.HandlerFunc(modernScript(state("working", "")).serve))
	m := client(t, s)
	if err := m.CancelTask(t.Context(), "t1"); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.requests("tasks/cancel") {
		wantTaskHeader(t, r)
	}
	wantSeen(t, s, "server/discover", "tasks/cancel")
}

// If the server refuses to cancel a task, the record of the task is kept, because the task goes on. If the server does not know the task, the
// record is deleted.
func TestRefusedCancellation(t *testing.T) {
	for code, kept := range map[int]int{-32603: 1, -32602: 0} {
		answers := modernScript()
		answers["tools/call"] = []string{`"result":{"resultType":"task","taskId":"t1","status":"working"}`}
		answers["tasks/cancel"] = []string{fmt.Sprintf(`"error":{"code":%d,"message":"try again later"}`, code)}
		m := client(t, newServer(t, http.HandlerFunc(answers.serve)), func(m *Client) { m.TaskDir, m.Detach = t.TempDir(), true })
		if _, err := m.Call(t.Context(), "work", Arguments{}); err != nil {
			t.Fatal(err)
		}
		err := m.CancelTask(t.Context(), "t1")
		if tasks := m.KnownTasks(); err == nil || !strings.Contains(err.Error(), "try again later") || len(tasks) != kept || kept > 0 && tasks[0].Tool != "work" {
			t.Errorf("%d: %v, tasks %v", code, err, tasks)
		}
	}
}

// The client polls with the server's latest interval, within its own limits (Task Polling).
func TestTaskInterval(t *testing.T) {
	every := func(status, ms, more string) string {
		return `"result":{"taskId":"t1","status":"` + status + `"` + ms + more + `}`
	}
	s := newServer(t, http.HandlerFunc(modernScript(every("working", `,"pollIntervalMs":2500`, ""), every("working", "", ""), every("working", `,"pollIntervalMs":-1`, ""),
		every("working", `,"pollIntervalMs":3600000`, ""), every("completed", "", finished)).serve))
	var pauses []time.Duration
	m := client(t, s, func(m *Client) {
		m.pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
	})
	if got := callText(t, m, "work"); got != "done" {
		t.Errorf("got %q", got)
	}
	if want := []time.Duration{20 * time.Millisecond, 2500 * time.Millisecond, time.Second, time.Second, time.Minute}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
}

// A server can neither make the client poll without a pause, nor make it write the record of a task at each poll.
func TestTaskPollsAreBounded(t *testing.T) {
	var get []string
	for range 10 {
		get = append(get, state("working", ""), state("input_required", ""))
	}
	s := newServer(t, http.HandlerFunc(modernScript(append(get, state("completed", finished))...).serve))
	var pauses []time.Duration
	writes := 0
	m := client(t, s, func(m *Client) {
		m.TaskDir, m.now = t.TempDir(), func() time.Time { return time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC) }
		m.pause = func(_ context.Context, d time.Duration) error {
			pauses = append(pauses, d)
			if os.Remove(m.taskFile("t1")) == nil {
				writes++
			}
			return nil
		}
	})
	if got := callText(t, m, "work"); got != "done" {
		t.Errorf("got %q", got)
	}
	for i, pause := range pauses {
		if i < 8 && pause < 20*time.Millisecond || i >= 8 && pause != 250*time.Millisecond {
			t.Errorf("pause %d is %v", i, pause)
		}
	}
	if len(pauses) != 21 || writes != 1 {
		t.Errorf("%d pauses, and the record was written %d times before the end, want 21 and 1", len(pauses), writes)
	}
	if tasks := m.KnownTasks(); len(tasks) != 1 || tasks[0].Status != TaskCompleted {
		t.Errorf("stored at the end: %v", tasks)
	}
}

// If the client stops waiting, the record contains the last status that the server sent.
func TestStatusOfAPendingTask(t *testing.T) {
	s := newServer(t, http.HandlerFunc(modernScript(state("input_required", "")).serve))
	m := client(t, s, func(m *Client) {
		m.TaskDir, m.now = t.TempDir(), func() time.Time { return time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC) }
		m.pause = func(context.Context, time.Duration) error {
			if len(s.requests("tasks/get")) > 0 {
				return context.Canceled
			}
			return nil
		}
	})
	if _, err := m.Call(t.Context(), "work", Arguments{}); err == nil {
		t.Error("the call did not end")
	}
	if tasks := m.KnownTasks(); len(tasks) != 1 || tasks[0].Status != TaskInputRequired {
		t.Errorf("stored: %v", tasks)
	}
}

// Only questions that are not answered yet count. Their keys do not make the record large.
func TestRepeatedQuestionsOfATask(t *testing.T) {
	questions := func(count int) string {
		var list []string
		for i := range count {
			list = append(list, fmt.Sprintf(`"%03d%s":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object"}}}`, i, strings.Repeat("<", 990)))
		}
		return state("input_required", `,"inputRequests":{`+strings.Join(list, ",")+`}`)
	}
	for _, tt := range []struct {
		last int
		want string
	}{{100, "done"}, {101, "asks more than 100 questions"}} {
		s := newServer(t, http.HandlerFunc(modernScript(questions(60), questions(tt.last), questions(tt.last), state("completed", finished)).serve))
		m := client(t, s, func(m *Client) { m.TaskDir = t.TempDir() })
		r, err := m.Call(t.Context(), "work", Arguments{})
		got := fmt.Sprint(err)
		if err == nil {
			got = r.Content[0].Text
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%d questions: got %q, want %q", tt.last, got, tt.want)
		}
		if info, err := os.Stat(m.taskFile("t1")); err != nil || info.Size() > 10_000 {
			t.Errorf("the record: %v, %v", info, err)
		}
	}
}

// The client requests the result of a task by tasks/get even if the task has ended when it is created.
func TestDetachedTaskHasEnded(t *testing.T) {
	answers := modernScript()
	answers["tools/call"] = []string{`"result":{"resultType":"task","taskId":"t1","status":"completed"}`}
	m := client(t, newServer(t, http.HandlerFunc(answers.serve)), func(m *Client) { m.Detach = true })
	if r, err := m.Call(t.Context(), "work", Arguments{}); err != nil || r.Task == nil || r.Task.ID != "t1" {
		t.Errorf("got %+v, %v, want the task", r, err)
	}
}

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tasksExtension is the name of the tasks extension (SEP-2663).
const tasksExtension = "io.modelcontextprotocol/tasks"

// A call of the tool report always creates a task. The task takes pages × delay_ms, even if no client polls it. With ask, the task stops
// halfway until the client has answered an elicitation request. With fail, the task ends with the status failed.
const reportSchema = `{"type":"object","properties":{
"pages":{"type":"integer","minimum":1,"default":3,"description":"number of pages"},
"delay_ms":{"type":"integer","minimum":0,"default":50,"description":"milliseconds per page"},
"ask":{"type":"boolean","description":"asks for a title half way"},
"fail":{"type":"boolean","description":"the task fails"}},"additionalProperties":false}`

// task is one call of report.
type task struct {
	id        string
	subject   string // the user who created the task; it is hidden from other users
	created   time.Time
	pages     int
	delay     time.Duration
	ask, fail bool

	asked     time.Time // time at which the task stopped to ask; zero: not yet
	answered  time.Time // time at which the client answered; zero: not yet
	title     string
	cancelled bool
}

// rpcRequest is the part of a request that the task methods need.
type rpcRequest struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name           string                     `json:"name"`
		Arguments      json.RawMessage            `json:"arguments"`
		TaskID         string                     `json:"taskId"`
		InputResponses map[string]json.RawMessage `json:"inputResponses"`
		Meta           struct {
			Capabilities struct {
				Extensions map[string]json.RawMessage `json:"extensions"`
			} `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	} `json:"params"`
}

// serveTask handles the requests of the tasks extension. The result is false for other requests.
func (s *Server) serveTask(w http.ResponseWriter, r *request) bool {
	var m rpcRequest
	if r.Header.Get("Mcp-Protocol-Version") < modern || json.Unmarshal(r.body, &m) != nil {
		return false
	}
	switch m.Method {
	case "tasks/get", "tasks/update", "tasks/cancel":
		if r.Header.Get("Mcp-Name") != m.Params.TaskID {
			rpcError(w, r, -32020, "Header mismatch: Mcp-Name is not the task id", nil) // SEP-2663, Routing Headers
			return true
		}
		s.taskMethod(w, r, m)
	case "tools/call":
		if m.Params.Name != "report" {
			return false
		}
		if _, ok := m.Params.Meta.Capabilities.Extensions[tasksExtension]; !ok {
			rpcError(w, r, -32021, "Missing required client capability", map[string]any{
				"requiredCapabilities": map[string]any{"extensions": map[string]any{tasksExtension: map[string]any{}}}})
			return true
		}
		s.createTask(w, r, m)
	default:
		return false
	}
	return true
}

// createTask responds to tools/call with a CreateTaskResult.
func (s *Server) createTask(w http.ResponseWriter, r *request, m rpcRequest) {
	in := struct {
		Pages     int
		Delay     int `json:"delay_ms"`
		Ask, Fail bool
	}{Pages: 3, Delay: 50}
	if len(m.Params.Arguments) > 0 && json.Unmarshal(m.Params.Arguments, &in) != nil {
		rpcError(w, r, -32602, "Invalid params: arguments do not fit the schema", nil)
		return
	}
	s.count("tool/report", "task/created")
	t := &task{id: secret("task"), subject: s.subject(r), created: s.now(), pages: in.Pages,
		delay: time.Duration(in.Delay) * time.Millisecond, ask: in.Ask, fail: in.Fail}
	s.mu.Lock()
	if s.tasks == nil {
		s.tasks = map[string]*task{}
	}
	s.tasks[t.id] = t
	state := s.taskState(t)
	s.mu.Unlock()
	state["resultType"] = "task"
	rpcResult(w, m.ID, state)
}

// taskMethod handles tasks/get, tasks/update and tasks/cancel.
func (s *Server) taskMethod(w http.ResponseWriter, r *request, m rpcRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[m.Params.TaskID]
	if t == nil || t.subject != s.subjectLocked(r) {
		rpcError(w, r, -32602, "Unknown task", nil)
		return
	}
	state := s.taskState(t)
	switch m.Method {
	case "tasks/get":
		if state["status"] == "completed" {
			s.count("task/delivered")
		}
		state["resultType"] = "complete"
		rpcResult(w, m.ID, state)
		return
	case "tasks/update":
		if answer, ok := m.Params.InputResponses["title"]; ok && state["status"] == "input_required" {
			t.answer(answer, s.now())
			s.count("task/answered")
		}
	case "tasks/cancel":
		if !terminal(state["status"]) {
			t.cancelled = true
			s.count("task/cancelled")
		}
	}
	rpcResult(w, m.ID, map[string]any{"resultType": "complete"})
}

func terminal(status any) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

// answer stores the client's result for the elicitation request.
func (t *task) answer(raw json.RawMessage, now time.Time) {
	var a struct {
		Action  string
		Content struct{ Title string }
	}
	json.Unmarshal(raw, &a)
	t.answered, t.title = now, orText(a.Content.Title, a.Action)
}

// taskState returns the result of tasks/get (SEP-2663, DetailedTask). The caller holds s.mu.
func (s *Server) taskState(t *task) map[string]any {
	now, total := s.now(), time.Duration(t.pages)*t.delay
	worked := now.Sub(t.created)
	if t.ask {
		half := total / 2
		switch {
		case worked >= half && t.answered.IsZero():
			if t.asked.IsZero() {
				t.asked = now
			}
			worked = half
		case !t.answered.IsZero():
			worked = half + now.Sub(t.answered)
		}
	}
	done := t.pages
	if t.delay > 0 {
		done = min(t.pages, int(worked/t.delay))
	}
	state := map[string]any{"taskId": t.id, "status": "working", "statusMessage": fmt.Sprintf("page %d of %d", done, t.pages),
		"createdAt": t.created.UTC().Format(time.RFC3339Nano), "lastUpdatedAt": now.UTC().Format(time.RFC3339Nano), "ttlMs": 3_600_000, "pollIntervalMs": 20}
	switch {
	case t.cancelled:
		state["status"] = "cancelled"
	case t.ask && !t.asked.IsZero() && t.answered.IsZero():
		state["status"] = "input_required"
		state["inputRequests"] = map[string]any{"title": map[string]any{"method": "elicitation/create", "params": map[string]any{
			"mode": "form", "message": "How shall the report be called?",
			"requestedSchema": json.RawMessage(`{"type":"object","properties":{"title":{"type":"string","default":"Annual report"}},"required":["title"]}`)}}}
	case worked < total:
	case t.fail:
		state["status"], state["error"] = "failed", map[string]any{"code": -32603, "message": "the printer is out of paper"}
	default:
		state["status"] = "completed"
		state["result"] = map[string]any{"resultType": "complete", "content": []any{map[string]any{"type": "text",
			"text": fmt.Sprintf("%s: %d pages", orText(t.title, "report"), t.pages)}}}
	}
	return state
}

// subject returns the user of the request's token.
func (s *Server) subject(r *request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subjectLocked(r)
}

func (s *Server) subjectLocked(r *request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if a := s.state.access[token]; a != nil {
		return a.grant.subject
	}
	return ""
}

// rpcResult sends a JSON-RPC result.
func rpcResult(w http.ResponseWriter, id json.RawMessage, result any) {
	writeJSON(w, http.StatusOK, map[string]any{"jsonrpc": "2.0", "id": id, "result": result})
}

// runReport runs the tool for clients of revisions without the extension.
func runReport(context.Context, call) (*mcp.CallToolResult, error) {
	return nil, errors.New("report is a task: it needs a client that supports " + tasksExtension)
}

package demo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// result returns the result of a JSON-RPC response, or the code of its error.
func (u *user) result(method, params string) (map[string]any, int) {
	u.t.Helper()
	_, text := u.rpc(method, params)
	m := object(text)
	if e, ok := m["error"].(map[string]any); ok {
		return nil, int(e["code"].(float64))
	}
	result, _ := m["result"].(map[string]any)
	return result, 0
}

const declared = `"extensions":{"io.modelcontextprotocol/tasks":{}}`

func TestTask(t *testing.T) {
	now := time.Now()
	s := start(t, Options{Now: func() time.Time { return now }})
	u := newUser(t, s)
	u.login("notes:read")
	if _, code := u.result("tools/call", `{"name":"report","arguments":{}}`); code != -32021 {
		t.Errorf("a client that does not declare tasks gets %d, want -32021", code)
	}
	created, _ := u.result("tools/call", `{"name":"report","arguments":{"pages":2,"delay_ms":1000,"ask":true},`+declared+`}`)
	if created["resultType"] != "task" || created["status"] != "working" {
		t.Fatalf("created: %v", created)
	}
	id := fmt.Sprintf(`{"taskId":%q,`+declared+`}`, created["taskId"])
	get := func(want string) map[string]any {
		t.Helper()
		state, code := u.result("tasks/get", id)
		if state["status"] != want || state["resultType"] != "complete" {
			t.Fatalf("the task is %v (error %d), want %s", state, code, want)
		}
		return state
	}
	get("working")
	now = now.Add(1500 * time.Millisecond)
	if asked, _ := get("input_required")["inputRequests"].(map[string]any); asked["title"] == nil {
		t.Errorf("asked for %v", asked)
	}
	u.result("tasks/update", fmt.Sprintf(`{"taskId":%q,"inputResponses":{"title":{"action":"accept","content":{"title":"Trees"}}},`+declared+`}`, created["taskId"]))
	get("working")
	now = now.Add(time.Second)
	if text := fmt.Sprint(get("completed")["result"]); !strings.Contains(text, "Trees: 2 pages") {
		t.Errorf("result: %s", text)
	}
	if s.Count("task/delivered") != 1 || s.Count("task/answered") != 1 {
		t.Errorf("counts: %v", s.Counts())
	}
}

func TestTaskEnds(t *testing.T) {
	s := start(t, Options{})
	u := newUser(t, s)
	u.login("notes:read")
	failed, _ := u.result("tools/call", `{"name":"report","arguments":{"delay_ms":0,"fail":true},`+declared+`}`)
	if failed["status"] != "failed" || failed["error"] == nil {
		t.Errorf("a task that fails: %v", failed)
	}
	long, _ := u.result("tools/call", `{"name":"report","arguments":{"delay_ms":100000},`+declared+`}`)
	id := fmt.Sprintf(`{"taskId":%q,`+declared+`}`, long["taskId"])
	u.result("tasks/cancel", id)
	if state, _ := u.result("tasks/get", id); state["status"] != "cancelled" {
		t.Errorf("after tasks/cancel: %v", state)
	}
	if _, code := u.result("tasks/get", `{"taskId":"unknown",`+declared+`}`); code != -32602 {
		t.Errorf("unknown task: %d", code)
	}
	if res, _ := u.hop("POST", s.URL(), strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":`+withMeta(id)+`}`), http.Header{
		"Authorization": {"Bearer " + u.access}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {modern}, "Mcp-Method": {"tasks/get"}, "Mcp-Name": {"another"}}); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong Mcp-Name is answered %d", res.StatusCode)
	}
}

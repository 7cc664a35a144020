package mcpclient

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The record of a task contains no text that the server chooses freely.
func TestTaskRecordHoldsNoFreeText(t *testing.T) {
	const foreign = "foreign-word"
	create := `"result":{"resultType":"task","taskId":"t1","status":"working","pollIntervalMs":5}`
	asks := func(key string) string {
		return state("input_required", `,"inputRequests":{"`+key+`":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object"}}}}`)
	}
	for _, c := range []struct{ name, call, get, want string }{
		{"status of a new task", strings.Replace(create, "working", foreign, 1), state("working", ""), "does not define"},
		{"no status", strings.Replace(create, `"working"`, "7", 1), state("working", ""), "does not define"},
		{"status of a known task", create, state(foreign, ""), "does not define"},
		{"long key of a question", create, asks(foreign + strings.Repeat("k", maxQuestionKey)), "whose key has more than 1000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := modernScript(c.get, state("completed", finished))
			answers["tools/call"] = []string{c.call}
			wantCleanRecord(t, client(t, newServer(t, http.HandlerFunc(answers.serve))), foreign, c.want)
		})
	}
	t.Run("status of a task of 2025-11-25", func(t *testing.T) {
		s := newServer(t, onlyLegacy(http.HandlerFunc(script{
			"initialize": {`"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}},"serverInfo":{"name":"t","version":"1"}}`},
			"tools/list": {`"result":{"tools":[{"name":"work","inputSchema":{"type":"object"},"execution":{"taskSupport":"required"}}]}`},
			"tools/call": {`"result":{"task":{"taskId":"t1","status":"` + foreign + `","createdAt":"2026-01-01T00:00:00Z","ttl":60000}}`},
			"tasks/get":  {`"result":{"taskId":"t1","status":"completed"}`}, "tasks/result": {`"result":` + done},
		}.serve)))
		wantCleanRecord(t, client(t, s), foreign, "does not define")
	})
}

// wantCleanRecord calls the tool work and checks that the call fails and that no record contains the word.
func wantCleanRecord(t *testing.T, m *Client, word, want string) {
	t.Helper()
	m.TaskDir = t.TempDir()
	if _, err := m.Call(t.Context(), "work", Arguments{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
	names, _ := filepath.Glob(filepath.Join(m.TaskDir, "*"))
	for _, name := range names {
		if data, err := os.ReadFile(name); err != nil || strings.Contains(string(data), word) {
			t.Errorf("the record is %.300s (%v)", data, err)
		}
	}
}

// writeTask writes no record that readTask would not read. The records of all tasks together are bounded, and the oldest are deleted first.
func TestTaskRecordsAreBounded(t *testing.T) {
	c := &Client{URL: "https://x", TaskDir: t.TempDir()}
	if err := c.writeTask(Task{ID: "t1", Tool: strings.Repeat("a", maxTaskFile), Status: taskWorking}); err == nil {
		t.Error("a record that is too large was written")
	}
	if maxTaskFiles/maxTaskFile < 500 {
		t.Errorf("%d tasks of one server push out the records of the others", maxTaskFiles/maxTaskFile)
	}
	full := Task{ID: strings.Repeat("t", maxTaskID), Tool: strings.Repeat("a", 1000), Status: taskWorking, answered: map[string]bool{}}
	for i := range maxQuestions {
		full.answered[shortHash(fmt.Sprint(i))] = true
	}
	long := &Client{URL: "https://x/" + strings.Repeat("a", 8<<10), TaskDir: t.TempDir()}
	if err := long.writeTask(full); err != nil {
		t.Error(err)
	}
	const records = maxTaskFiles/(maxTaskFile-1000) + 5
	for i := range records {
		task := Task{ID: fmt.Sprint("t", i), Tool: strings.Repeat("a", maxTaskFile-1000), Status: taskWorking}
		if err := c.writeTask(task); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(time.Duration(i-records) * time.Second)
		if err := os.Chtimes(c.taskFile(task.ID), when, when); err != nil {
			t.Fatal(err)
		}
	}
	total := int64(0)
	names, _ := filepath.Glob(filepath.Join(c.TaskDir, "*"))
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if _, ok := c.readTask(c.taskFile(fmt.Sprint("t", records-1))); !ok || total > maxTaskFiles {
		t.Errorf("the records have %d bytes, and the newest is stored: %v", total, ok)
	}
	if _, ok := c.readTask(c.taskFile("t0")); ok {
		t.Error("the oldest record was not deleted")
	}
}

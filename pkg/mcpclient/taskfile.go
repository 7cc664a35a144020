package mcpclient

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mcpauth/internal/httpx"
)

const (
	taskFormat   = 1
	maxTaskFile  = 32 << 10            // maximum size of a record in bytes; a few large records of one server would push out those of other servers
	maxTaskFiles = 16 << 20            // maximum size of the records of all servers in bytes; beyond it, the oldest are deleted
	taskExpiry   = 30 * 24 * time.Hour // how long a record is kept after its last change
)

// taskRecord is the content of a task's file.
type taskRecord struct {
	Format   int       `json:"format"`
	URL      string    `json:"url"`
	ID       string    `json:"id"`
	Tool     string    `json:"tool,omitempty"`
	Status   string    `json:"status"`
	Created  time.Time `json:"created,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Noted    time.Time `json:"noted"`
	Old      bool      `json:"old,omitempty"`
	Answered []string  `json:"answered,omitempty"`
}

func (c *Client) taskFile(id string) string {
	return filepath.Join(c.TaskDir, c.filePrefix()+shortHash(id)+".task")
}

// writeTask writes the state of a task to its file.
func (c *Client) writeTask(t Task) error {
	if c.TaskDir == "" || t.Tool == "" { // a task that another program began gets no record
		return nil
	}
	data, err := json.Marshal(taskRecord{Format: taskFormat, URL: c.fileURL(), ID: t.ID, Tool: t.Tool, Status: t.Status, Created: t.Created,
		Expires: t.Expires, Noted: c.clock(), Old: t.legacy, Answered: slices.Sorted(maps.Keys(t.answered))})
	if err != nil {
		return err
	}
	if len(data) > maxTaskFile {
		return fmt.Errorf("its record has more than %d bytes", maxTaskFile)
	}
	if err := httpx.WriteFile(c.taskFile(t.ID), data); err != nil {
		return err
	}
	pruneFiles(c.TaskDir, maxTaskFiles, taskExpiry, c.clock(), ".task")
	return nil
}

// readTask returns a stored task.
func (c *Client) readTask(name string) (Task, bool) {
	data, err := httpx.ReadFile(name, maxTaskFile)
	var r taskRecord
	if c.TaskDir == "" || err != nil || json.Unmarshal(data, &r) != nil || r.Format != taskFormat || r.URL != c.fileURL() || r.ID == "" || !knownStatus(r.Status) {
		return Task{}, false
	}
	t := Task{ID: r.ID, Tool: r.Tool, Status: r.Status, Created: r.Created, Expires: r.Expires, legacy: r.Old, answered: map[string]bool{}}
	for _, key := range r.Answered {
		t.answered[key] = true
	}
	now := c.clock()
	return t, now.Before(r.Noted.Add(taskExpiry)) && (r.Expires.IsZero() || now.Before(r.Expires))
}

// ForgetTask deletes the record of a task. Call ForgetTask when the result of the task is no longer needed.
func (c *Client) ForgetTask(id string) {
	if c.TaskDir != "" && id != "" {
		_ = os.Remove(c.taskFile(id))
	}
}

// KnownTasks returns the stored tasks, oldest first. Records of tasks that have expired or ended without a result are deleted. KnownTasks
// sends no request and reads no credential.
func (c *Client) KnownTasks() []Task {
	if c.TaskDir == "" {
		return nil
	}
	var out []Task
	for _, name := range filesIn(c.TaskDir, c.filePrefix()+"*.task") {
		t, ok := c.readTask(name)
		if !ok || t.Status == TaskFailed || t.Status == TaskCancelled {
			_ = os.Remove(name)
			continue
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Task) int { return a.Created.Compare(b.Created) })
	return out
}

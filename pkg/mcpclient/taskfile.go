package mcpclient

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mcpauth/internal/mcphttp"
)

const (
	taskFormat  = 1
	maxTaskFile = 1 << 20
	taskExpiry  = 30 * 24 * time.Hour // how long the record of a task without an expiry is kept
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

// taskPrefix is the common prefix of the file names of all tasks of this server and login name.
func (c *Client) taskPrefix() string {
	return filepath.Join(c.TaskDir, shortHash(c.URL, c.CacheKey)+"-")
}

func (c *Client) taskFile(id string) string { return c.taskPrefix() + shortHash(id) + ".task" }

// remember writes the state of a task to its file.
func (c *Client) remember(t Task) error {
	if c.TaskDir == "" || t.Tool == "" { // a task that another program began gets no record
		return nil
	}
	data, err := json.Marshal(taskRecord{Format: taskFormat, URL: c.URL, ID: t.ID, Tool: t.Tool, Status: t.Status, Created: t.Created,
		Expires: t.Expires, Noted: c.clock(), Old: t.old, Answered: slices.Sorted(maps.Keys(t.answered))})
	if err != nil {
		return err
	}
	return mcphttp.WriteFile(c.taskFile(t.ID), data)
}

// readTask returns a stored task.
func (c *Client) readTask(name string) (Task, bool) {
	data, err := mcphttp.ReadFile(name, maxTaskFile)
	var r taskRecord
	if c.TaskDir == "" || err != nil || json.Unmarshal(data, &r) != nil || r.Format != taskFormat || r.URL != c.URL || r.ID == "" {
		return Task{}, false
	}
	t := Task{ID: r.ID, Tool: r.Tool, Status: r.Status, Created: r.Created, Expires: r.Expires, old: r.Old, answered: map[string]bool{}}
	for _, key := range r.Answered {
		t.answered[key] = true
	}
	over := r.Expires
	if over.IsZero() {
		over = r.Noted.Add(taskExpiry)
	}
	return t, c.clock().Before(over)
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
	names, _ := filepath.Glob(c.taskPrefix() + "*.task")
	var out []Task
	for _, name := range names {
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

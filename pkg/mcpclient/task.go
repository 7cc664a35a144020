package mcpclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/mcphttp"
)

// Task is a call that the server continues after its response. A Task belongs to the extension io.modelcontextprotocol/tasks (SEP-2663) or
// to the experimental tasks of MCP 2025-11-25.
type Task struct {
	ID      string
	Tool    string          // name of the tool; empty if TaskDir has no record of the task
	Status  string          // working, input_required, completed, failed or cancelled
	Message string          // the server's text, not safe to print
	Created time.Time       // zero if unknown
	Expires time.Time       // zero if unknown or if the task does not expire
	Raw     json.RawMessage // last state sent by the server; nil if only read from TaskDir

	pollPause time.Duration   // pause before the next tasks/get
	legacy    bool            // a task of MCP 2025-11-25
	answered  map[string]bool // hashes of the keys of the answered inputRequests
}

// The statuses of tasks (SEP-2663, Task Status).
const (
	taskWorking       = "working"
	TaskInputRequired = "input_required"
	TaskCompleted     = "completed"
	TaskFailed        = "failed"
	TaskCancelled     = "cancelled"
)

// Ended reports whether the status is final.
func (t Task) Ended() bool {
	return t.Status == TaskCompleted || t.Status == TaskFailed || t.Status == TaskCancelled
}

const (
	tasksExtension   = "io.modelcontextprotocol/tasks"
	maxTaskID        = 1000 // in bytes; people and scripts must be able to type the ID
	maxQuestionKey   = 1000 // in bytes
	defaultPoll      = time.Second
	maxPoll          = time.Minute
	maxFailedPolls   = 10
	maxFailedPollGap = 10 * time.Second
)

// pollFloor contains the shortest pauses before the first polls of a task; the last pause is for all further polls. Otherwise a server could
// make the client poll without a pause. The first pauses are short, because many tasks end soon.
var pollFloor = [...]time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond}

// PendingError is returned if the client stops waiting for a task while the server continues it. PendingError wraps the error that ended
// the wait.
type PendingError struct {
	Task Task
	Err  error
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("task %s continues on the server: %v", httpx.Quote(e.Task.ID, 200), e.Err)
}

func (e *PendingError) Unwrap() error { return e.Err }

// TaskError is returned if a task ends without a result. TaskError wraps the *RPCError of the server if the task failed or if the server
// does not know the task.
type TaskError struct {
	Task Task
	Err  error // nil if the task was cancelled
}

// Unknown reports whether the server does not know the task.
func (e *TaskError) Unknown() bool { return e.Err != nil && e.Task.Status != TaskFailed }

func (e *TaskError) Error() string {
	text := "task " + quoteName(e.Task.ID)
	switch {
	case e.Unknown():
		return text + ": " + e.Err.Error()
	case e.Err == nil:
		text += " was cancelled"
	default:
		text += " failed"
	}
	if e.Task.Message != "" {
		text += ": " + httpx.Text(e.Task.Message, 500)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *TaskError) Unwrap() error { return e.Err }

// parseTask parses the state of a task from CreateTaskResult, tasks/get or tasks/cancel.
func (c *Client) parseTask(raw json.RawMessage, old bool) Task {
	text := func(name string) string { return jsonscan.Unquote(jsonscan.Member(raw, name)) }
	millis := func(name string) time.Duration {
		var ms float64
		_ = json.Unmarshal(jsonscan.Member(raw, name), &ms)
		return time.Duration(max(0, min(ms, 1e12))) * time.Millisecond
	}
	t := Task{ID: text("taskId"), Status: text("status"), Message: c.link.Clean(text("statusMessage")), Raw: raw, legacy: old, answered: map[string]bool{}}
	t.Created, _ = time.Parse(time.RFC3339, text("createdAt"))
	ttl, poll := "ttlMs", "pollIntervalMs"
	if old {
		ttl, poll = "ttl", "pollInterval"
	}
	if d := millis(ttl); d > 0 && !t.Created.IsZero() {
		t.Expires = t.Created.Add(d)
	}
	t.pollPause = min(cmp.Or(millis(poll), defaultPoll), maxPoll)
	return t
}

// newTask parses and stores the task that a call became. Call newTask before anything else uses the task, so that the ID of the task is
// stored even if the process is killed soon after.
func (c *Client) newTask(tool string, raw json.RawMessage, old bool) (Task, error) {
	t := c.parseTask(raw, old)
	switch {
	case t.ID == "":
		return t, c.protocolError("the server answers with a task that has no taskId")
	case len(t.ID) > maxTaskID:
		return t, c.protocolError(fmt.Sprintf("the server answers with a task whose taskId has more than %d bytes", maxTaskID))
	case !httpx.IsOneWord(t.ID) || httpx.HidesArgument(t.ID):
		return t, c.protocolError("the server answers with a task whose taskId is not one word, or could be read as a flag, a file or a wildcard")
	case c.link.LoginSecrets().Holds(t.ID):
		return t, c.protocolError("the server answers with a task whose taskId contains the access token")
	case !knownStatus(t.Status):
		return t, c.unknownStatus(t)
	}
	t.Tool = tool
	if err := c.writeTask(t); err != nil {
		c.warn("task %s cannot be stored: %v", httpx.Quote(t.ID, 200), err)
	}
	return t, nil
}

// knownStatus reports whether the protocol defines a status. Other texts must not be stored, because a server could send the access token as
// the status.
func knownStatus(status string) bool {
	return slices.Contains([]string{taskWorking, TaskInputRequired, TaskCompleted, TaskFailed, TaskCancelled}, status)
}

func (c *Client) unknownStatus(t Task) error {
	return c.protocolError(fmt.Sprintf("the server answers with a task of status %s, which the protocol does not define", httpx.Quote(c.Clean(t.Status), 60)))
}

// Follow waits for a task and returns the result of its call. Call ForgetTask after using the result.
func (c *Client) Follow(ctx context.Context, id string) (Result, error) {
	t, err := c.TaskState(ctx, id)
	if err != nil {
		return Result{}, err
	}
	raw, err := c.pollTask(ctx, t)
	if err != nil {
		return Result{}, err
	}
	r := decodeResult(raw)
	r.TaskID = id
	return r, nil
}

// pollTask polls a task until it ends, and answers its elicitation requests (SEP-2663, Task Polling).
func (c *Client) pollTask(ctx context.Context, t Task) (json.RawMessage, error) {
	for polls, failed := 0, 0; ; polls++ {
		if c.Progress != nil {
			c.Progress(Progress{Message: cmp.Or(t.Message, t.Status)})
		}
		if t.Ended() || t.legacy && t.Status == TaskInputRequired {
			return c.taskResult(ctx, t)
		}
		if t.Status == TaskInputRequired {
			if err := c.answerTask(ctx, t); err != nil {
				return nil, c.pendingError(t, err)
			}
		}
		gap := max(t.pollPause, pollFloor[min(polls, len(pollFloor)-1)])
		if failed > 0 {
			gap = max(gap, min(retryPause(failed), maxFailedPollGap))
		}
		if err := c.link.Wait(ctx, gap); err != nil {
			return nil, c.pendingError(t, contextError(ctx, c.plainURL()))
		}
		next, err := c.getTask(ctx, t)
		switch {
		case err == nil:
			if t, failed = next, 0; t.Ended() {
				_ = c.writeTask(t) // an error is ignored, because only KnownTasks uses the stored status
			}
		case asRPCError(err) != nil:
			return nil, c.taskRequestError(t, err)
		case failed < maxFailedPolls && isTemporary(err) && ctx.Err() == nil:
			failed++
		default:
			return nil, c.pendingError(t, err)
		}
	}
}

// pendingError stores the last status of a task for KnownTasks, and returns a *PendingError. While pollTask polls, it does not store a status
// that is not final, because a server can change the status with each poll.
func (c *Client) pendingError(t Task, err error) error {
	_ = c.writeTask(t) // an error is ignored, because only KnownTasks uses the stored status
	return &PendingError{Task: t, Err: err}
}

// isTemporary reports whether an error is temporary, so that the next poll may succeed. Network errors are temporary, and so are the
// statuses of a busy or unavailable server.
func isTemporary(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.StatusCode >= 500 || status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout
	}
	_, network := errors.AsType[*url.Error](err)
	return network
}

// taskRequestError returns the error to report for a failed request about a task.
func (c *Client) taskRequestError(t Task, err error) error {
	if rpc := asRPCError(err); rpc != nil && rpc.Code == codeInvalidParams {
		c.ForgetTask(t.ID)
		return &TaskError{Task: t, Err: err}
	}
	return c.pendingError(t, err)
}

// taskResult returns the result of a finished task.
func (c *Client) taskResult(ctx context.Context, t Task) (json.RawMessage, error) {
	switch {
	case t.Status == TaskCancelled:
		c.ForgetTask(t.ID)
		return nil, &TaskError{Task: t}
	case t.legacy:
		return c.legacyTaskResult(ctx, t)
	case t.Status == TaskFailed:
		c.ForgetTask(t.ID)
		return nil, &TaskError{Task: t, Err: c.link.Failure(mcphttp.Outcome{Answer: mcphttp.Message{Error: json.RawMessage(cmp.Or(string(jsonscan.Member(t.Raw, "error")), "{}"))}})}
	}
	raw := jsonscan.Member(t.Raw, "result")
	if raw == nil {
		return nil, &PendingError{Task: t, Err: c.protocolError("the completed task has no result")}
	}
	return raw, nil
}

// legacyTaskResult requests the result of a task of MCP 2025-11-25. The server answers when the task has ended, and sends elicitation
// requests on the same stream.
func (c *Client) legacyTaskResult(ctx context.Context, t Task) (json.RawMessage, error) {
	raw, err := c.plainResult(ctx, requestSpec{method: "tasks/result", members: taskParam(t.ID), idempotent: true, isCall: true})
	switch {
	case asRPCError(err) != nil:
		c.ForgetTask(t.ID)
		return nil, &TaskError{Task: t, Err: err}
	case err != nil:
		return nil, &PendingError{Task: t, Err: err}
	}
	return raw, nil
}

func taskParam(id string) []byte { return append([]byte(`"taskId":`), jsonscan.Quote(id)...) }

// prepareTask determines the server's era if the era is unknown. The request about the task cannot show the era, because servers of every
// era may send the same error for an unknown task.
func (c *Client) prepareTask(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil || c.serverEra() != eraUnknown {
		return err
	}
	if err := c.discoverEra(ctx); asRPCError(err) == nil {
		return err
	}
	return nil // the server refuses server/discover, so the era stays unknown
}

// TaskState requests the state of a task.
func (c *Client) TaskState(ctx context.Context, id string) (Task, error) {
	if err := c.prepareTask(ctx); err != nil {
		return Task{}, err
	}
	t := c.knownTask(id)
	next, err := c.getTask(ctx, t)
	if err != nil {
		return t, c.taskRequestError(t, err)
	}
	if next.Status != t.Status {
		_ = c.writeTask(next) // an error is ignored, because only KnownTasks uses the stored status
	}
	return next, nil
}

// knownTask returns the task with this ID, as far as TaskDir has a record of it.
func (c *Client) knownTask(id string) Task {
	if t, known := c.readTask(c.taskFile(id)); known {
		return t
	}
	return Task{ID: id, answered: map[string]bool{}}
}

// getTask requests the state of a task.
func (c *Client) getTask(ctx context.Context, t Task) (Task, error) {
	raw, err := c.plainResult(ctx, requestSpec{method: "tasks/get", members: taskParam(t.ID), idempotent: true})
	if err != nil {
		return t, err
	}
	next := c.parseTask(raw, t.legacy || c.serverEra() == eraLegacy)
	if next.ID != t.ID {
		return t, c.protocolError("the answer to tasks/get is about another task")
	}
	if !knownStatus(next.Status) {
		return t, c.unknownStatus(next)
	}
	next.Tool, next.answered = t.Tool, t.answered
	if next.Created.IsZero() {
		next.Created, next.Expires = t.Created, t.Expires
	}
	return next, nil
}

// answerTask answers the elicitation requests of a task. Each request is answered only once, because the server may repeat a request before
// it has processed the answer (SEP-2663, Task Update Requests).
func (c *Client) answerTask(ctx context.Context, t Task) error {
	responses, keys, err := c.answerAll(ctx, "task "+quoteName(t.ID), jsonscan.Member(t.Raw, "inputRequests"), t.answered)
	if err != nil || len(keys) == 0 {
		return err
	}
	own := bytes.NewBuffer(taskParam(t.ID))
	retryParams{responses: responses}.writeMembers(own)
	if _, err := c.plainResult(ctx, requestSpec{method: "tasks/update", members: own.Bytes(), idempotent: true}); err != nil {
		return err
	}
	for _, key := range keys {
		t.answered[shortHash(key)] = true
	}
	return c.writeTask(t)
}

// CancelTask asks the server to cancel a task. The server may still finish the task (SEP-2663, Task Cancellation).
func (c *Client) CancelTask(ctx context.Context, id string) error {
	if err := c.prepareTask(ctx); err != nil {
		return err
	}
	_, err := c.plainResult(ctx, requestSpec{method: "tasks/cancel", members: taskParam(id), idempotent: true})
	switch {
	case asRPCError(err) != nil:
		return c.taskRequestError(c.knownTask(id), err)
	case err == nil:
		c.ForgetTask(id)
	}
	return err
}

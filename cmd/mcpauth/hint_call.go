package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"mcpauth/pkg/mcpclient"
)

// mayHaveRun is the beginning of a hint for a call that failed, because a hint must not suggest to run a tool twice.
const mayHaveRun = "the tool may have run, so check before you call it again"

// isCall reports whether the command calls a tool that the user did not allow to run twice.
func (a hintInput) isCall() bool { return a.typed.command == "call" && !a.typed.idempotent }

// mayHaveRun reports whether the tool may have run although the call failed. A server that answers 429 has refused the request.
func (a hintInput) mayHaveRun() bool {
	op, ok := errors.AsType[*net.OpError](a.err)
	return a.isCall() && a.sent && !(ok && op.Op == "dial") && !hasStatus(http.StatusTooManyRequests)(a.err) &&
		!fromLogin(a.err)
}

// hintOf returns the hint of a row. If the server accepted the call, the hint says so first, whatever a later request of the call led to.
func (a hintInput) hintOf(r errorRow) string {
	hint, wait := r.hint(a), hintFrom(taskHint)(a)
	if !a.isCall() || !mcpclient.WasAccepted(a.err) || strings.HasPrefix(hint, mayHaveRun) || wait != "" && hint == wait {
		return hint
	}
	return strings.TrimSuffix(mayHaveRun+"; "+hint, "; ")
}

// careful returns the hint for an error after which the user may want to repeat the command.
func (a hintInput) careful(hint string) string {
	switch {
	case !a.mayHaveRun():
		return hint
	case hint == "":
		return mayHaveRun
	}
	return mayHaveRun + "; " + hint
}

func laterHint(a hintInput) string {
	if wait := responseOf(a.err).retryAfter; wait > 0 {
		hint := "the server asks clients to wait: try again in " + inWords(wait)
		if a.isCall() {
			hint += "; if the call may be sent twice, call --idempotent waits and retries"
		}
		return a.careful(hint)
	}
	return a.careful("the server failed: try again later; if it keeps failing, only its operator can help")
}

func timeHint(a hintInput) string {
	if a.timeLeft {
		return a.careful("try again later")
	}
	return a.careful("allow more time: add --timeout " + inWords(max(5*time.Minute, 2*a.typed.limit)))
}

func outputHint(a hintInput) string {
	return a.careful("check that stdout and the folder of --save-dir can be written, and that the disk is not full")
}

// resultHint is the hint for a result that cannot be printed, and for a server that broke a limit during a call.
func resultHint(a hintInput, e *protocolError) string {
	hint := "add --output json, which prints the whole result"
	switch {
	case !e.result:
		return a.careful("")
	case a.isCall():
		return "the tool has run, and another call runs it again; for later calls, " + hint
	}
	return hint
}

// taskHint suggests the command that waits for a task.
func taskHint(a hintInput, e *mcpclient.PendingError) string {
	return "wait for the result: " + a.command("task", e.Task.ID)
}

// noTaskHint suggests listing the tasks if the server does not know a task.
func noTaskHint(a hintInput, e *mcpclient.TaskError) string {
	if !e.Unknown() {
		return ""
	}
	return "list the tasks: " + a.command("task")
}

// Package task runs work in goroutines that callers share. Callers that need the same work wait for the same task. Work that must not be
// interrupted, such as a request with a one-time secret, continues after its callers have returned.
package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrSpending is returned by Once if the caller's context has ended but a request protected by Spend continues.
var ErrSpending = errors.New("the request that uses a one-time secret is still running")

// Outlive returns a context for work that must continue after ctx has ended. The returned context ends after the duration limit. If ctx
// ends, the work may continue for at most the duration grace. Only Outlive detaches work from a caller's context.
func Outlive(ctx context.Context, grace, limit time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return out, func() { stop(); cancel() }
}

// Group runs tasks. The zero value of a Group is ready for use.
type Group[T any] struct {
	mu       sync.Mutex
	running  map[*Task[T]]bool
	joinable map[string]*Task[T] // running tasks with a name, which other callers may join
}

// Task is a task of a Group. When the last caller of a task stops waiting, Context ends, but a request protected by Spend continues.
type Task[T any] struct {
	Context context.Context // ends when no caller waits any more, or at the time limit

	stop   context.CancelFunc
	done   chan struct{} // closed when result and err are set
	result T
	err    error

	group    *Group[T]
	callers  int // group.mu guards callers, spending and settled
	spending bool
	settled  *T // set by Settle
}

// Settle sets the result of a task that only has to clean up. If a caller's context ends during the clean-up, Once returns result and a nil
// error.
func (t *Task[T]) Settle(result T) {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	t.settled = &result
}

// Spend returns a context for a request that callers cannot cancel, such as one with a one-time secret. The context ends after the duration
// limit. If all callers stop waiting, the request may continue for at most the duration grace. Spend returns an error if all callers had
// already stopped waiting. The task must call done when the request has ended.
func (t *Task[T]) Spend(grace, limit time.Duration) (ctx context.Context, done func(), err error) {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	if err := t.Context.Err(); err != nil {
		return nil, nil, err
	}
	t.spending = true
	ctx, cancel := Outlive(t.Context, grace, limit)
	return ctx, func() {
		cancel()
		t.group.mu.Lock()
		t.spending = false
		t.group.mu.Unlock()
	}, nil
}

// Once runs work as a new task, or joins the running task of that name, and returns the result. If ctx ends first, Once returns the error
// of ctx. A task whose name is "" cannot be joined. limit is the time limit of the task, except for requests protected by Spend.
func (g *Group[T]) Once(ctx context.Context, name string, limit time.Duration, work func(*Task[T]) (T, error)) (result T, joined bool, err error) {
	t, joined := g.joinOrStart(ctx, name, limit, work)
	ended := func(within time.Duration) bool {
		select {
		case <-t.done:
			return true
		case <-time.After(within):
			return false
		}
	}
	select {
	case <-t.done:
		return t.result, joined, t.err
	case <-ctx.Done():
	}
	// The task has the same deadline as its first caller, so the task may return its own error a moment later. The task's error is better
	// than ctx.Err(), because it names what the task waited for, such as a lock or a browser.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && ended(100*time.Millisecond) {
		return t.result, joined, t.err
	}
	goesOn, settled := g.removeCaller(name, t)
	switch {
	case ended(250 * time.Millisecond):
		return t.result, joined, t.err
	case settled != nil:
		return *settled, joined, nil
	case goesOn:
		return result, joined, fmt.Errorf("%w: %w", ErrSpending, ctx.Err())
	}
	return result, joined, ctx.Err()
}

// joinOrStart joins the running task of that name, or starts one.
func (g *Group[T]) joinOrStart(ctx context.Context, name string, limit time.Duration, work func(*Task[T]) (T, error)) (t *Task[T], joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.joinable[name]; t != nil {
		t.callers++
		return t, true
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	run, cancel := Outlive(ctx, limit, limit)
	t = &Task[T]{Context: run, stop: cancel, done: make(chan struct{}), callers: 1, group: g}
	if g.running == nil {
		g.running, g.joinable = map[*Task[T]]bool{}, map[string]*Task[T]{}
	}
	g.running[t] = true
	if name != "" {
		g.joinable[name] = t
	}
	go func() {
		t.result, t.err = work(t)
		cancel()
		g.mu.Lock()
		delete(g.running, t)
		g.unname(name, t)
		g.mu.Unlock()
		close(t.done)
	}()
	return t, false
}

// removeCaller is called when a caller stops waiting. spending reports whether a request protected by Spend continues. settled is the
// result that Settle has set.
func (g *Group[T]) removeCaller(name string, t *Task[T]) (spending bool, settled *T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.callers--; t.callers == 0 {
		t.stop()
		if !t.spending {
			g.unname(name, t) // the next caller starts a new task
		}
	}
	return t.spending, t.settled
}

func (g *Group[T]) unname(name string, t *Task[T]) {
	if g.joinable[name] == t {
		delete(g.joinable, name)
	}
}

// anyRunning returns a running task, or nil. If a task has a request protected by Spend, anyRunning returns that task, and spending is
// true.
func (g *Group[T]) anyRunning() (t *Task[T], spending bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t = range g.running {
		if t.spending {
			return t, true
		}
	}
	return t, false
}

// Wait cancels the running tasks and waits until they end. If Wait has to wait for a request that Spend protects, it first calls
// beforeWait, but only once. If a task with a protected request ends without an error, Wait calls onSuccess once for that task.
func (g *Group[T]) Wait(ctx context.Context, beforeWait, onSuccess func()) error {
	for told := false; ; {
		t, spending := g.anyRunning()
		if t == nil {
			return nil
		}
		if spending && !told {
			told = true
			beforeWait()
		}
		t.stop()
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if spending && t.err == nil {
			onSuccess()
		}
	}
}

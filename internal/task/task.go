// Package task runs work in goroutines that outlive their callers: callers that want the same work share it, and what must not be cut off,
// such as a request that spends a one-time secret, goes on after they have left.
package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrSpending says that a caller left a task that goes on without it.
var ErrSpending = errors.New("the request that uses a one-time secret is still running")

// Outlive returns a context for work that must go on after its caller has left. It ends grace after ctx does, and after limit at the latest.
// Nothing else in this project detaches work from its caller.
func Outlive(ctx context.Context, grace, limit time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return out, func() { stop(); cancel() }
}

// Group runs tasks. Its zero value is ready for use.
type Group[T any] struct {
	mu      sync.Mutex
	running map[*Task[T]]bool
	named   map[string]*Task[T] // those that other callers may join
}

// Task is one of them. When its last caller leaves, its context ends; what it does under Spend goes on.
type Task[T any] struct {
	Context context.Context // ends when nobody waits any more

	stop   context.CancelFunc
	done   chan struct{} // closed when result and err are set
	result T
	err    error

	group    *Group[T]
	callers  int // guarded by group.mu, as are the two below
	spending bool
	settled  *T // see Settle
}

// Settle is for a task that has its result, and only cleans up from now on: a caller that leaves gets the result and no error.
func (t *Task[T]) Settle(result T) {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	t.settled = &result
}

// Spend returns a context for a request that no caller may stop. It ends grace after the last caller has left, and after limit at the latest. Spend
// fails if the last caller has left already. Call done at the end.
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

// Once runs do in a goroutine of its own, or joins the task of that name that is running already; a task without a name is joined by nobody.
// It returns the result, or the error of ctx when that ends first. limit is the time limit of the task, except for what it does under Spend.
func (g *Group[T]) Once(ctx context.Context, name string, limit time.Duration, do func(*Task[T]) (T, error)) (result T, joined bool, err error) {
	t, joined := g.join(ctx, name, limit, do)
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
	// If the task ends by itself now, its error says better than that of ctx what it waited for, such as a lock or a browser. It has the
	// time limit of its first caller.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && ended(100*time.Millisecond) {
		return t.result, joined, t.err
	}
	goesOn, settled := g.leave(name, t)
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

// join returns the running task of that name, or starts one.
func (g *Group[T]) join(ctx context.Context, name string, limit time.Duration, do func(*Task[T]) (T, error)) (t *Task[T], joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.named[name]; t != nil {
		t.callers++
		return t, true
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	run, cancel := Outlive(ctx, limit, limit)
	t = &Task[T]{Context: run, stop: cancel, done: make(chan struct{}), callers: 1, group: g}
	if g.running == nil {
		g.running, g.named = map[*Task[T]]bool{}, map[string]*Task[T]{}
	}
	g.running[t] = true
	if name != "" {
		g.named[name] = t
	}
	go func() {
		t.result, t.err = do(t)
		cancel()
		g.mu.Lock()
		delete(g.running, t)
		g.unname(name, t)
		g.mu.Unlock()
		close(t.done)
	}()
	return t, false
}

// leave says that a caller does not wait any more. It reports whether the task goes on all the same, and its result if it has one.
func (g *Group[T]) leave(name string, t *Task[T]) (goesOn bool, settled *T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.callers--; t.callers == 0 {
		t.stop()
		if !t.spending {
			g.unname(name, t) // whoever comes now begins anew
		}
	}
	return t.spending, t.settled
}

func (g *Group[T]) unname(name string, t *Task[T]) {
	if g.named[name] == t {
		delete(g.named, name)
	}
}

// any returns a running task, nil when there is none, and whether it is spending a secret.
func (g *Group[T]) any() (t *Task[T], spending bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := range g.running {
		if t.spending {
			return t, true
		}
	}
	for t := range g.running {
		return t, false
	}
	return nil, false
}

// Wait stops the tasks that are running, and waits for what they do under Spend. It calls finishing before it waits for such work, and done
// when that has ended well.
func (g *Group[T]) Wait(ctx context.Context, finishing, done func()) error {
	for told := false; ; {
		t, spending := g.any()
		if t == nil {
			return nil
		}
		if spending && !told {
			told = true
			finishing()
		}
		t.stop()
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if spending && t.err == nil {
			done()
		}
	}
}

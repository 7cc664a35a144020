package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	redeemLimit = 30 * time.Second // for a request that spends a one-time secret
	storeLimit  = 10 * time.Second // for storing what it brought
)

// outlive returns a context for work that must go on after its caller has left. It ends grace after ctx does, and after limit at the latest.
// Nothing else in this project detaches work from its caller.
func outlive(ctx context.Context, grace, limit time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return out, func() { stop(); cancel() }
}

// tasks are the renewals and logins that a Client runs in goroutines of its own.
type tasks struct {
	mu      sync.Mutex
	running map[*task]bool
	named   map[string]*task // those that other callers may join
}

// task is one of them. When its last caller leaves it ends, but not before a request that spends a one-time secret is answered and the result
// is stored.
type task struct {
	ctx  context.Context // ends when nobody waits any more
	stop context.CancelFunc
	done chan struct{} // closed when cred and err are set
	cred Credential
	err  error

	callers  int // guarded by tasks.mu, as is spending
	spending bool
	tasks    *tasks
}

// spend returns a context for a request that spends a one-time secret, and for what must follow it: no caller can stop it. It fails when the
// last caller has left already. Call done when the secret is spent or known not to be.
func (t *task) spend() (ctx context.Context, done func(), err error) {
	t.tasks.mu.Lock()
	defer t.tasks.mu.Unlock()
	if err := t.ctx.Err(); err != nil {
		return nil, nil, err
	}
	t.spending = true
	ctx, cancel := outlive(t.ctx, redeemLimit, redeemLimit)
	return ctx, func() {
		cancel()
		t.tasks.mu.Lock()
		t.spending = false
		t.tasks.mu.Unlock()
	}, nil
}

// store returns a context for storing what the request brought.
func (t *task) store() (context.Context, context.CancelFunc) {
	return outlive(t.ctx, storeLimit, storeLimit)
}

// once runs do in a goroutine that the Client owns, or joins the task of that name that is running already; a task without a name is joined
// by nobody. It returns the result, or the error of ctx when that ends first. limit bounds the part of the task that spends nothing.
func (c *Client) once(ctx context.Context, name string, limit time.Duration, do func(*task) (Credential, error)) (cred Credential, joined bool, err error) {
	t, joined := c.tasks.join(ctx, name, limit, do)
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
		return t.cred, joined, t.err
	case <-ctx.Done():
	}
	// A task that ends by itself now says better than ctx what it waited for: a lock, a browser. It has the time limit of its first caller.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && ended(100*time.Millisecond) {
		return t.cred, joined, t.err
	}
	goesOn := c.tasks.leave(name, t)
	if ended(250 * time.Millisecond) {
		return t.cred, joined, t.err
	}
	if goesOn {
		return Credential{}, joined, fmt.Errorf("the request that spends a one-time secret is still under way: %w", ctx.Err())
	}
	return Credential{}, joined, ctx.Err()
}

// join returns the running task of that name, or starts one.
func (ts *tasks) join(ctx context.Context, name string, limit time.Duration, do func(*task) (Credential, error)) (t *task, joined bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.named[name]; t != nil {
		t.callers++
		return t, true
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	run, cancel := outlive(ctx, limit, limit)
	t = &task{ctx: run, stop: cancel, done: make(chan struct{}), callers: 1, tasks: ts}
	if ts.running == nil {
		ts.running, ts.named = map[*task]bool{}, map[string]*task{}
	}
	ts.running[t] = true
	if name != "" {
		ts.named[name] = t
	}
	go func() {
		t.cred, t.err = do(t)
		cancel()
		ts.mu.Lock()
		delete(ts.running, t)
		ts.unname(name, t)
		ts.mu.Unlock()
		close(t.done)
	}()
	return t, false
}

// leave says that a caller does not wait any more. It reports whether the task goes on all the same.
func (ts *tasks) leave(name string, t *task) (goesOn bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.callers--; t.callers == 0 {
		t.stop()
		if !t.spending {
			ts.unname(name, t) // whoever comes now begins anew
		}
	}
	return t.spending
}

func (ts *tasks) unname(name string, t *task) {
	if ts.named[name] == t {
		delete(ts.named, name)
	}
}

// any returns a running task, nil when there is none, and whether it is spending a secret.
func (ts *tasks) any() (t *task, spending bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.running {
		if t.spending {
			return t, true
		}
	}
	for t := range ts.running {
		return t, false
	}
	return nil, false
}

// Wait waits until no task is running any more, so that the process may end. Call it on every way out of the program: a task whose caller
// has left may be spending a refresh token or a code, and what that brings must be stored. It takes no longer than such a request may, 30
// seconds, and the storing of its result.
func (c *Client) Wait(ctx context.Context) error {
	told := false
	for {
		t, spending := c.tasks.any()
		if t == nil {
			return nil
		}
		if spending && !told {
			told = true
			c.progress(fmt.Sprintf("finishing a request that spends a one-time secret, within %s; a second interrupt ends at once", redeemLimit))
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if spending && t.err == nil {
			c.progress("its result is stored")
		}
	}
}

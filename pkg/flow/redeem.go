package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

const (
	redeemLimit = 30 * time.Second // for a request that spends a one-time secret
	storeLimit  = 30 * time.Second // for storing what it brought; a database may fail over meanwhile
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
func (t *task) spend(limit time.Duration) (ctx context.Context, done func(), err error) {
	t.tasks.mu.Lock()
	defer t.tasks.mu.Unlock()
	if err := t.ctx.Err(); err != nil {
		return nil, nil, err
	}
	t.spending = true
	ctx, cancel := outlive(t.ctx, redeemLimit, limit)
	return ctx, func() {
		cancel()
		t.tasks.mu.Lock()
		t.spending = false
		t.tasks.mu.Unlock()
	}, nil
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

// Wait stops the tasks that are running, and waits for those that cannot be stopped: a task that is spending a refresh token or a code goes
// on until what that brings is stored. Call it on every way out of the program. It takes no longer than such a request may, 30 seconds, and
// the storing of its result.
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
		t.stop()
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

// exchange is what turns the answer to a login into tokens.
type exchange struct {
	t       Target
	cred    Credential // the new login but for its tokens
	reused  bool       // the client registration is an earlier login's
	methods []string   // of client authentication that the metadata names
	notes   *notes
	stage   string        // as errors name it
	limit   time.Duration // for the request
	request func(context.Context, token.Endpoint) (token.Token, error)
}

func (d draft) exchange(cred Credential, reused bool, stage string, request func(context.Context, token.Endpoint) (token.Token, error)) exchange {
	return exchange{t: d.t, cred: cred, reused: reused, methods: d.found.Server.TokenEndpointAuthMethodsSupported, notes: d.notes, stage: stage,
		limit: redeemLimit, request: request}
}

// exchange redeems a code, a device code or a machine's grant, once, and stores the new login:
//
//  1. lock the credential and reserve the place of the new record; while a person types a device code this comes after the request
//  2. send the request; from here on no caller can stop the task
//  3. put the tokens and the replaced grants into the credential, and store it
//  4. end what is provably no longer used by anyone
func (c *Client) exchange(k *task, x exchange) (Credential, error) {
	e, err := c.endpoint(x.cred)
	if err != nil {
		return Credential{}, err
	}
	e.Stray = x.notes.add
	unlock := func() {}
	if x.limit == redeemLimit {
		if unlock, err = c.reserve(k.ctx, x.t); err != nil {
			return Credential{}, err
		}
	}
	defer func() { unlock() }()
	ctx, done, err := k.spend(x.limit)
	if err != nil {
		return Credential{}, err
	}
	defer done()
	tok, method, err := eitherMethod(e, x.cred.Client, x.methods, func(e token.Endpoint) (token.Token, error) { return x.request(ctx, e) })
	if err != nil {
		return Credential{}, stage(x.stage, clientRefused(err, x.reused))
	}
	if method != "" {
		x.cred.Client.AuthMethod = method
		x.notes.add("other_auth_method")
	}
	ctx, cancel := outlive(k.ctx, lockLimit+storeLimit, lockLimit+storeLimit)
	defer cancel()
	if x.limit != redeemLimit {
		if unlock, err = c.reserve(ctx, x.t); err != nil {
			return Credential{}, err
		}
	}
	stored, replaced, err := c.replace(ctx, x, tok)
	unlock()
	done()
	if err == nil {
		c.tidy(k.ctx, stored, replaced)
	}
	return stored, err
}

// reserve locks the credential and proves that it can be stored.
func (c *Client) reserve(ctx context.Context, t Target) (unlock func(), err error) {
	if unlock, err = c.lock(ctx, t, keystore.LockCredential); err != nil {
		return func() {}, err
	}
	if err := c.Store.Reserve(ctx, t.key()); err != nil {
		unlock()
		return func() {}, err
	}
	return unlock, nil
}

// replace stores a new login in place of the stored one. The caller holds the credential's lock.
func (c *Client) replace(ctx context.Context, x exchange, tok token.Token) (stored, replaced Credential, err error) {
	if replaced, err = c.loadOrNew(ctx, x.t); err != nil {
		return Credential{}, replaced, err
	}
	cred := x.cred
	cred.Token, cred.ObtainedAt, cred.Deviations = tok, c.now(), union(cred.Deviations, x.notes.codes)
	cred.Token.IDToken = "" // large, and nobody asks for it
	cred.Retired, _ = cred.retire(replaced)
	cred.generation, cred.unknown = replaced.generation, replaced.unknown
	if err := c.save(ctx, x.t, &cred); err != nil {
		return Credential{}, replaced, err
	}
	c.journal(ctx, x.t, cred, "login", nil)
	if lost := missing(cred.Scopes, cred.granted()); len(lost) > 0 {
		c.warn(fmt.Sprintf("asked for %s, but the server granted %s", quoteScopes(cred.Scopes), quoteScopes(cred.granted())))
	}
	return cred, replaced, nil
}

// cleanupLimit bounds what is done at the server for the replaced login. The new one works, so a failure matters little.
const cleanupLimit = 5 * time.Second

// tidy revokes replaced grants that are provably separate from the new one, and deletes client registrations that are used no more. A pending
// login may still use a registration: then all of them are left in place.
func (c *Client) tidy(ctx context.Context, stored, replaced Credential) {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	if _, apart := stored.retire(replaced); len(apart) > 0 {
		var report LogoutReport
		c.revoke(ctx, replaced, apart, &report)
		for _, w := range report.Warnings {
			c.progress("the replaced login: " + w)
		}
	}
	if pending, err := c.pendingOf(ctx, Target{URL: stored.Server, Profile: stored.Profile}); err != nil || len(pending) > 0 {
		return
	}
	for _, client := range replaced.clients() {
		if client.ID != stored.Client.ID {
			_ = dcr.Delete(ctx, c.http(), client) // --verbose shows the answer of a server that keeps it
		}
	}
}

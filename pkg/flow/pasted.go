// This file lets a pasted address race the listener: a browser on another machine ends on an address of this one, which it cannot reach, and a
// person copies it from there.

package flow

import (
	"context"
	"errors"
	"io"

	"mcpauth/pkg/callback"
	"mcpauth/pkg/keystore"
)

// Paste returns what a person pastes: the whole address that the browser ended on, or the query of it. It is asked again after an answer
// that does not belong to this login, with the reason; an error ends the login, but io.EOF: then nothing more is pasted, and the wait for the
// browser goes on. It may be blocked in a read when Login returns.
type Paste func(ctx context.Context, refused error) (string, error)

// otherAnswer is an address that was pasted here and belongs to a pending login.
type otherAnswer struct{ text string }

func (*otherAnswer) Error() string { return "the address answers a login that was begun before" }

// answered waits for the answer on the listener or from the person, whichever comes first.
func (a *attempt) answered(ctx context.Context, l *callback.Listener, expect callback.Expect) (string, error) {
	if a.o.Paste == nil {
		return l.Wait(ctx, expect)
	}
	type answer struct {
		code string
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 2)
	go func() {
		code, err := l.Wait(ctx, expect)
		answers <- answer{code, err}
	}()
	go func() {
		code, err := a.pasted(ctx, expect)
		if !errors.Is(err, io.EOF) {
			answers <- answer{code, err}
		}
	}()
	first := <-answers
	return first.code, first.err
}

// pasted asks for an address until one belongs to this login. Like a stranger's request on the listener, another one does not end the wait
// unless the caller says so: it is the person's mistake, and may be made good.
func (a *attempt) pasted(ctx context.Context, expect callback.Expect) (string, error) {
	var refused error
	for {
		text, err := a.o.Paste(ctx, refused)
		if err != nil {
			return "", err
		}
		code, err := callback.Parse(text, expect)
		switch {
		case errors.Is(err, callback.ErrState) && a.c.isPending(ctx, a.t, text):
			return "", &otherAnswer{text}
		case errors.Is(err, callback.ErrBareCode), errors.Is(err, callback.ErrState), errors.Is(err, callback.ErrMalformed):
			refused = err
		default:
			return code, err
		}
	}
}

// isPending reports whether an answer is that of a login begun by Pending.
func (c *Client) isPending(ctx context.Context, t Target, answer string) bool {
	state, err := stateOf(answer)
	if err != nil {
		return false
	}
	e, err := c.Store.Entry(ctx, pendingKey(t, state))
	return !errors.Is(err, keystore.ErrNotFound) && kindOf(e) != kindSpent
}

// This file is the single operations on a keychain item, each within the time limit: a keychain that hangs, because a prompt stands on a
// screen that nobody sees, keeps its goroutine and not us.

package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// probe proves that an item can be written, read and deleted.
func (k *keychain) probe(ctx context.Context, name string) error {
	if err := k.available(ctx); err != nil {
		return err
	}
	account, value := name+"#probe", "mcpauth probe"
	if err := k.set(ctx, account, value); err != nil {
		return err
	}
	got, err := k.get(ctx, account)
	if errors.Is(err, ErrNotFound) || err == nil && got != value {
		return at(account, fmt.Errorf("%w: a probe reads back differently", ErrUnwritable))
	}
	if err != nil {
		return err
	}
	return k.delete(ctx, account)
}

func (k *keychain) available(ctx context.Context) error {
	_, err := k.do(ctx, "probe", func() (string, error) { return "", k.platform.available() })
	return err
}

func (k *keychain) get(ctx context.Context, account string) (string, error) {
	return k.do(ctx, "get", func() (string, error) { return k.ring.get(account) })
}

func (k *keychain) set(ctx context.Context, account, value string) error {
	if len(value) > k.platform.room(account) {
		return at(account, fmt.Errorf("%w: %d bytes in an item that holds %d", ErrUnwritable, len(value), k.platform.room(account)))
	}
	_, err := k.do(ctx, "set", func() (string, error) { return "", k.ring.set(account, value) })
	return err
}

// delete deletes an item; absence is no error.
func (k *keychain) delete(ctx context.Context, account string) error {
	_, err := k.do(ctx, "delete", func() (string, error) { return "", k.ring.delete(account) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// do runs one operation in a goroutine, which a hanging keychain may keep for as long as it likes.
func (k *keychain) do(ctx context.Context, op string, f func() (string, error)) (string, error) {
	wait, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	select {
	case k.turn <- struct{}{}:
	case <-wait.Done():
		return "", k.late(ctx, op)
	}
	type result struct {
		value string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-k.turn }()
		var r result
		defer func() {
			if p := recover(); p != nil { // go-keyring's prompt handler does when the bus goes away
				r.err = fmt.Errorf("%w: it broke off", ErrUnavailable)
			}
			done <- r
		}()
		r.value, r.err = f()
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", k.platform.classify(op, r.err)
		}
		return r.value, nil
	case <-wait.Done():
		return "", k.late(ctx, op)
	}
}

// late is the error of an operation that did not end in time.
func (k *keychain) late(ctx context.Context, op string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := fmt.Errorf("%w: the keychain did not answer %q within %s", ErrTimeout, op, k.timeout)
	if k.platform.locked == nil {
		return err
	}
	locked := make(chan bool, 1)
	go func() { locked <- k.platform.locked() }()
	select {
	case yes := <-locked:
		if yes {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
	case <-time.After(time.Second):
	}
	return err
}

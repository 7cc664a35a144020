// Single operations on keychain items, each with a time limit. A keychain hangs, for example, while it shows a prompt on a screen that
// nobody sees.

package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func (k *keychain) available(ctx context.Context) error {
	_, err := k.runOperation(ctx, "probe", func() (string, error) { return "", k.platform.available() })
	return err
}

func (k *keychain) getItem(ctx context.Context, account string) (string, error) {
	return k.runOperation(ctx, "get", func() (string, error) { return k.items.get(account) })
}

func (k *keychain) setItem(ctx context.Context, account, value string) error {
	_, err := k.runOperation(ctx, "set", func() (string, error) { return "", k.items.set(account, value) })
	return err
}

// deleteItem deletes an item, if it exists.
func (k *keychain) deleteItem(ctx context.Context, account string) error {
	_, err := k.runOperation(ctx, "delete", func() (string, error) { return "", k.items.delete(account) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// runOperation runs one operation in a goroutine. A keychain that does not answer blocks only that goroutine, not the caller.
func (k *keychain) runOperation(ctx context.Context, op string, f func() (string, error)) (string, error) {
	began, wait, cancel := time.Now(), ctx, context.CancelFunc(func() {})
	if k.timeout > 0 {
		wait, cancel = context.WithTimeout(ctx, k.timeout)
	}
	defer cancel()
	select {
	case k.running <- struct{}{}:
	case <-wait.Done():
		return "", k.timeoutError(ctx, op, time.Since(began))
	}
	type result struct {
		value string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-k.running }()
		var r result
		defer func() {
			if p := recover(); p != nil { // go-keyring panics if the D-Bus connection ends during a prompt
				r.err = fmt.Errorf("%w: the operation was interrupted", ErrUnavailable)
			}
			done <- r
		}()
		r.value, r.err = k.platform.runGuarded(f)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", k.platform.classify(op, r.err)
		}
		return r.value, nil
	case <-wait.Done():
		return "", k.timeoutError(ctx, op, time.Since(began))
	}
}

// runGuarded runs an operation if the guard returns no error. If another process deleted the item during the operation, runGuarded repeats
// both, and the operation searches for the item again.
func (p platform) runGuarded(operation func() (string, error)) (value string, err error) {
	for range 5 {
		if p.guard != nil {
			if err := p.guard(); err != nil {
				return "", err
			}
		}
		if value, err = operation(); err == nil || p.vanished == nil || !p.vanished(err) {
			break
		}
	}
	return value, err
}

// timeoutError returns the error for an operation that did not end in time. If the deadline of ctx passed first, the error still names the
// keychain.
func (k *keychain) timeoutError(ctx context.Context, op string, waited time.Duration) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	err := fmt.Errorf("%w: the keychain did not answer %q within %s", ErrTimeout, op, waited.Round(time.Second/10))
	if k.platform.isLocked == nil {
		return err
	}
	locked := make(chan bool, 1)
	go func() { locked <- k.platform.isLocked() }()
	select {
	case yes := <-locked:
		if yes {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
	case <-time.After(time.Second):
	}
	return err
}

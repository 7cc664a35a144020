package main

import (
	"context"
	"errors"
	"time"
)

// After its time limit or an interrupt, a command normally ends by itself, because its work observes the context. A read from a terminal or
// a write to a full pipe cannot be cancelled, so punctual does not wait for a command that hangs in one.
const (
	grace  = 1400 * time.Millisecond // how long punctual waits for a command after the end of its context
	report = 300 * time.Millisecond  // time to print the error; a write to stderr can hang too
)

// punctual runs a command. If the command does not end soon after the limit or the first interrupt, punctual returns the error of the
// context without waiting for the command. Before punctual returns, it waits for requests whose responses must not be lost, such as a
// refresh. A limit of 0 means no limit. ctx ends at the first interrupt, but not at the limit.
func (p *program) punctual(ctx context.Context, limit time.Duration, act func() error) error {
	done := make(chan error, 1)
	go func() { done <- act() }()
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit + grace)
	}
	select {
	case err := <-done:
		return err
	case <-late:
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		case <-late:
		case <-time.After(grace):
		}
	}
	p.wait()
	select {
	case err := <-done:
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) { // after the time limit, context.Canceled means that p.wait cancelled the command
			return err
		}
	default:
	}
	err, code := ctx.Err(), exitInterrupted
	if !errors.Is(err, context.Canceled) {
		err, code = context.DeadlineExceeded, exitNetwork
	}
	time.AfterFunc(report, func() { p.stuck <- code })
	return err
}

// wait waits for requests whose responses must not be lost, such as a refresh. flow.Client.Wait prints a message, which can hang if stderr
// is a full pipe, so wait has its own time limit.
func (p *program) wait() {
	c := p.flowClient.Load()
	if c == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_ = c.Wait(context.Background())
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
	}
}

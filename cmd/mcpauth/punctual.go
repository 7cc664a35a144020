package main

import (
	"context"
	"errors"
	"time"
)

// A command that reaches its time limit or is interrupted normally ends by itself, because all its work observes its context. A command
// that reads from a terminal or a pipe, or writes to a pipe that nobody reads, does not end by itself. punctual ends such a command.
const (
	grace  = 1400 * time.Millisecond // time that a command has to end by itself after the end of its context; then punctual returns the context's error
	report = 300 * time.Millisecond  // time to print the error of punctual; printing it may hang, because stderr may be a pipe that nobody reads
)

// punctual runs a command. If the command still runs a short time after the limit or the first interrupt, punctual returns the error of the
// context and leaves the command behind. punctual first waits for requests whose answers must not be lost, such as a refresh. A limit of 0
// means that there is no limit. ctx ends at the first interrupt, but not at the limit.
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
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) { // at the time limit, wait has cancelled the work
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

// wait waits for requests whose answers must not be lost, such as a refresh. It does not rely on the time limit of flow.Client.Wait,
// because that method also prints a message, and stderr may be a pipe that nobody reads.
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

package main

import (
	"context"
	"errors"
	"time"
)

// A command that reaches its time limit or is interrupted normally ends by itself, because all its work observes its context. A read from a
// terminal or a pipe and a write to a pipe that nobody reads do not. punctual ends these commands.
const (
	grace  = 1400 * time.Millisecond // time between the end of the context and an error without the command's result
	report = 300 * time.Millisecond  // time to print that error; stderr may be the pipe that nobody reads
)

// punctual runs a command. If the command still runs a short time after the limit or the first interrupt, punctual returns the error of the
// context and leaves the command behind. It waits for requests that must not be cut short. A limit of 0 means none. ctx ends with an
// interrupt, not with the limit.
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
		return err
	default:
	}
	err, code := ctx.Err(), exitInterrupted
	if !errors.Is(err, context.Canceled) {
		err, code = context.DeadlineExceeded, exitNetwork
	}
	time.AfterFunc(report, func() { p.stuck <- code })
	return err
}

// wait waits for requests that must not be cut short. flow.Client.Wait has its own time limit, but it also prints a message, and stderr may
// be a pipe that nobody reads.
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

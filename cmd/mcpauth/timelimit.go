package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// After its time limit or an interrupt, a command normally ends by itself, because its work stops when the context ends. A read from a
// terminal or a write to a full pipe cannot be cancelled, so runPunctually does not wait for a command that hangs in such a read or write.
const (
	gracePeriod = 1700 * time.Millisecond // how long runPunctually waits for a command after the end of its context
	printTime   = time.Second             // time to print the error after that; a write to stderr can hang too
)

// runPunctually runs a command. If the command does not end soon after the limit or the first interrupt, runPunctually returns the error of
// the context without waiting for the command. Before runPunctually returns this error, it waits for requests whose responses must not be
// lost, such as a refresh. A limit of 0 means no limit. ctx ends at the first interrupt, but not at the limit.
//
// A command that is writing its result may exceed the default limit, because the reader of stdout may be slow.
func (p *program) runPunctually(ctx context.Context, limit time.Duration, act func() error) error {
	done := make(chan error, 1)
	go func() { done <- act() }()
	if err, ended := p.waitUntilLate(ctx, limit, done); ended {
		return err
	}
	begun := time.Now()
	p.waitForRequests()
	rest := time.Duration(0)
	if time.Since(begun) > 20*time.Millisecond { // the command has waited for the same requests and needs some time to print its result
		rest = gracePeriod
	}
	select {
	case err := <-done:
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) { // after the time limit, context.Canceled means that p.waitForRequests cancelled the command
			return err
		}
	case <-time.After(rest):
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return context.DeadlineExceeded
}

// limitLastWrite ends the process if the message of err is still not written to stderr printTime after the end of the time limit or after the
// first interrupt. The command may have ended with err before the time limit or the interrupt. ctx ends at the first interrupt. The caller
// calls stop after the write.
func (p *program) limitLastWrite(ctx context.Context, err error) (stop func()) {
	if err == nil {
		return func() {}
	}
	exit := func(code int) { p.forcedExit <- code }
	var late *time.Timer
	if !p.limitEnd.IsZero() {
		late = time.AfterFunc(max(0, time.Until(p.limitEnd))+printTime, func() { exit(p.effectiveRow(err).exit) })
	}
	stopWatching := context.AfterFunc(ctx, func() { time.AfterFunc(printTime, func() { exit(exitInterrupted) }) })
	return func() {
		stopWatching()
		if late != nil {
			late.Stop()
		}
	}
}

// waitUntilLate waits until a command ends. If the command still runs gracePeriod after its time limit or an interrupt, waitUntilLate stops
// waiting, and ended is false.
func (p *program) waitUntilLate(ctx context.Context, limit time.Duration, done <-chan error) (err error, ended bool) {
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit + gracePeriod)
	}
	wrote := false // whether the command was writing its result at the last check; if so, it has just finished
	for {
		select {
		case err := <-done:
			return err, true
		case <-late:
			writes := p.out.stdoutWriters.Load() > 0
			if p.global.timeout > 0 || !writes && !wrote {
				return nil, false
			}
			wrote = writes
			late = time.After(gracePeriod)
		case <-ctx.Done():
			select {
			case err := <-done:
				return err, true
			case <-late:
			case <-time.After(gracePeriod):
			}
			return nil, false
		}
	}
}

// waitForRequests waits for requests whose responses must not be lost, such as a refresh. flow.Client.Wait prints a message, which can hang
// if stderr is a full pipe, so waitForRequests has its own time limit.
func (p *program) waitForRequests() {
	if c := p.flowClient.Load(); c != nil {
		_ = runWithin(40*time.Second, func() error { return c.Wait(context.Background()) })
	}
}

// runWithin runs a function. If the function takes longer than limit, runWithin returns nil without waiting for its end.
func runWithin(limit time.Duration, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return nil
	}
}

// setLimit sets the end of the time limit.
func (p *program) setLimit(limit time.Duration) { p.limitEnd = time.Now().Add(limit) }

// hasNoLimit reports whether a command has no default time limit. The commands proxy, call --batch and exec run until their work ends.
func hasNoLimit(cx *cli.Context) bool {
	return cx.Command.Name == "proxy" || cx.Command.Name == "exec" || cx.Command.Name == "call" && cx.IsSet("batch")
}

// timeLimit returns the value of --timeout or, if the flag is not given, the default time limit of a command.
func (p *program) timeLimit(command string) time.Duration {
	switch {
	case p.global.timeout > 0:
		return p.global.timeout
	case command == "login":
		return loginTimeout
	}
	return defaultTimeout
}

const (
	defaultTimeout = 60 * time.Second
	loginTimeout   = 5 * time.Minute
)

// inWords formats a duration for people, for example as 10m instead of 10m0s.
func inWords(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

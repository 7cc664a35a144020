package task

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A task runs as long as a caller waits for it. When the last caller leaves, its context ends, and the next caller starts a new task.
func TestLastCallerStopsTheTask(t *testing.T) {
	var g Group[int]
	begun := make(chan *Task[int], 2)
	do := func(t *Task[int]) (int, error) {
		begun <- t
		<-t.Context.Done()
		return 0, t.Context.Err()
	}
	first, leaveFirst := context.WithCancel(context.Background())
	second, leaveSecond := context.WithCancel(context.Background())
	errs := make(chan error, 2)
	call := func(ctx context.Context) {
		_, _, err := g.Once(ctx, "x", time.Minute, do)
		errs <- err
	}
	go call(first)
	running := <-begun
	go call(second)
	for joined := false; !joined; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		joined = running.callers == 2
		g.mu.Unlock()
	}
	leaveFirst()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	if running.Context.Err() != nil {
		t.Error("the task ended though the second caller waits")
	}
	leaveSecond()
	<-errs
	<-running.done
	if err := g.Wait(context.Background(), nil, nil); err != nil {
		t.Error(err)
	}
}

// A request under Spend continues after the callers have left, and Wait waits for it.
func TestSpendOutlivesTheCallers(t *testing.T) {
	var g Group[string]
	answer, spending := make(chan bool), make(chan bool, 1)
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		<-spending
		leave()
	}()
	_, _, err := g.Once(ctx, "x", time.Minute, func(t *Task[string]) (string, error) {
		own, done, err := t.Spend(time.Minute, time.Minute)
		if err != nil {
			return "", err
		}
		defer done()
		spending <- true
		select {
		case <-answer:
			return "stored", nil
		case <-own.Done():
			return "", own.Err()
		}
	})
	if !errors.Is(err, ErrSpending) || !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	finished := false
	err = g.Wait(context.Background(), func() { close(answer) }, func() { finished = true })
	if err != nil || !finished {
		t.Errorf("waited: %v, finished well: %t", err, finished)
	}
}

// Spend fails if no caller waits any more.
func TestSpendFailsWithoutCallers(t *testing.T) {
	var g Group[int]
	ctx, leave := context.WithCancel(context.Background())
	leave()
	_, _, err := g.Once(ctx, "", time.Minute, func(t *Task[int]) (int, error) {
		<-t.Context.Done()
		_, _, err := t.Spend(time.Minute, time.Minute)
		return 0, err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The context from Outlive ends at the earlier of two times: grace after the end of the parent context, or at the limit.
func TestOutlive(t *testing.T) {
	parent, end := context.WithCancel(context.Background())
	lingering, cancel := Outlive(parent, 10*time.Millisecond, time.Hour)
	defer cancel()
	end()
	<-lingering.Done()
	bounded, cancel := Outlive(context.Background(), time.Hour, 10*time.Millisecond)
	defer cancel()
	<-bounded.Done()
	if lingering.Err() == nil || !errors.Is(bounded.Err(), context.DeadlineExceeded) {
		t.Error(lingering.Err(), bounded.Err())
	}
}

// If a caller's context ends after the task has called Settle, the caller gets that result.
func TestSettledTask(t *testing.T) {
	var g Group[string]
	end := make(chan struct{})
	defer close(end)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	got, _, err := g.Once(ctx, "", time.Minute, func(k *Task[string]) (string, error) {
		k.Settle("stored")
		<-end
		return "", errors.New("too late")
	})
	if got != "stored" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

package flow

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// If the caller leaves after the token endpoint has rotated the refresh token and before it answers, the result is stored nevertheless.
func TestRedemptionSurvivesItsCaller(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, endpoint, count string
		run                   func(context.Context, *bench) error
	}{
		{"refresh", "token:grant=refresh_token", "refresh", func(ctx context.Context, b *bench) error {
			_, err := b.c.Refresh(ctx, b.t, 0)
			return err
		}},
		{"token", "token:grant=refresh_token", "refresh", func(ctx context.Context, b *bench) error {
			_, err := b.c.Token(ctx, b.t, 2*time.Hour)
			return err
		}},
		{"login", "token:grant=authorization_code", "token", func(ctx context.Context, b *bench) error {
			_, err := b.c.Login(ctx, b.t, LoginOptions{})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, demo.Options{})
			b.login(t)
			before := b.stored(t).Token
			b.set(t, "reset")
			b.set(t, tt.endpoint+",late=1s,n=1")
			caller, leave := context.WithCancel(ctx)
			defer leave()
			failed := make(chan error, 1)
			go func() { failed <- tt.run(caller, b) }()
			eventually(t, "the server has carried it out", func() bool { return b.Count(tt.count) == 1 })
			leave()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Fatalf("the caller got %v, want context.Canceled", err)
			}
			if b.stored(t).Token != before {
				t.Fatal("the answer came too early for this test")
			}
			if err := b.c.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			if b.stored(t).Token == before {
				t.Error("the result is not stored")
			}
			if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
				t.Errorf("the next refresh: %v", err)
			}
		})
	}
}

// The end of the caller's deadline does not interrupt a redemption.
func TestRedemptionSurvivesATimeLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.login(t)
	b.set(t, "token:grant=refresh_token,late=1500ms,n=1")
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := b.c.Refresh(short, b.t, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want context.DeadlineExceeded", err)
	}
	if err := b.c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("the next refresh: %v", err)
	}
}

// Callers in one process share a redemption and its error.
func TestOneRedemptionInAProcess(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]int{"token:grant=refresh_token,late=300ms": 1, "token:grant=refresh_token,status=503,late=300ms": 0} {
		b := newBench(t, demo.Options{})
		b.login(t)
		b.set(t, words)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := b.c.Refresh(ctx, b.t, 0); (err == nil) != (want == 1) {
					t.Errorf("%s: %v", words, err)
				}
			})
		}
		all.Wait()
		if n := b.Count("refresh"); n != want {
			t.Errorf("%s: %d refreshes, want %d", words, n, want)
		}
		if n := len(b.Requests("token")); n != 2 {
			t.Errorf("%s: %d token requests with that of the login, want 2", words, n)
		}
	}
}

// If the caller leaves before the refresh token is sent, the task stops, and Wait returns at once.
func TestNothingIsSpentForNobody(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	unlock, err := b.client(t).Store.Lock(ctx, b.t.key(), keystore.LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := b.c.Refresh(short, b.t, 0); !errors.Is(err, keystore.ErrBusy) {
		t.Errorf("got %v, want keystore.ErrBusy", err)
	}
	if err := b.c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	unlock()
	b.counts(t, map[string]int{"refresh": 0})
}

// If Finish is called twice with the same response, concurrently or later, one call logs in and the other returns an error that says so.
func TestPendingAnswerIsSentOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	answer := b.pending(t)
	b.set(t, "token:grant=authorization_code,late=300ms")
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := b.client(t).Finish(ctx, b.t, answer)
			errs <- err
		}()
	}
	first, second := <-errs, <-errs
	if first != nil && second != nil || first == nil && second == nil {
		t.Fatalf("want one to succeed: %v, %v", first, second)
	}
	refused := errors.Join(first, second)
	_, later := b.client(t).Finish(ctx, b.t, answer)
	for _, err := range []error{refused, later} {
		if !errors.Is(err, ErrNoPending) || !strings.Contains(err.Error(), "the login succeeded") {
			t.Errorf("got %v", err)
		}
	}
	b.counts(t, map[string]int{"token": 1})
	if _, err := b.client(t).Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("the login does not work: %v", err)
	}
}

// If the code was certainly not sent, Finish can be called again.
func TestPendingAnswerThatNeverLeft(t *testing.T) {
	b := newBench(t, demo.Options{})
	answer := b.pending(t)
	b.c.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}}}
	if _, err := b.c.Finish(ctx, b.t, answer); err == nil {
		t.Fatal("no error")
	}
	if _, err := b.client(t).Finish(ctx, b.t, answer); err != nil {
		t.Error(err)
	}
}

// pending starts a pending login and returns the URL on which the browser ended.
func (b *bench) pending(t *testing.T) string {
	t.Helper()
	address, err := b.c.Pending(ctx, b.t, LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return landing(t, address)
}

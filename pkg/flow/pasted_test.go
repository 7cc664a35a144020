package flow

import (
	"context"
	"errors"
	"io"
	"testing"

	"mcpauth/internal/demo"
	"mcpauth/pkg/callback"
)

// The user may paste text that is not a response, and then a response to another login. The login reports each mistake, and continues until
// the user pastes the right response.
func TestPastedAddress(t *testing.T) {
	b := newBench(t, demo.Options{})
	address := make(chan string, 1)
	b.c.Open = func(_ context.Context, a string) error { address <- a; return nil }
	var told []error
	turns := []func() string{
		func() string { return "abc123" },
		func() string { return "http://127.0.0.1:1/callback?code=c&state=not-yours" },
		func() string { return landing(t, <-address) },
	}
	paste := func(_ context.Context, refused error) (string, error) {
		told = append(told, refused)
		next := turns[0]
		turns = turns[1:]
		return next(), nil
	}
	if _, err := b.c.Login(ctx, b.t, LoginOptions{Paste: paste}); err != nil {
		t.Fatal(err)
	}
	if len(told) != 3 || told[0] != nil || !errors.Is(told[1], callback.ErrBareCode) || !errors.Is(told[2], callback.ErrState) {
		t.Errorf("told %v", told)
	}
}

// A pasted response gets the same checks as a response to the callback, and can end the login.
func TestPasteEndsTheLogin(t *testing.T) {
	own := errors.New("nobody to ask")
	for _, tt := range []struct {
		name  string
		paste func(address string) (string, error)
		fault string
		want  error
	}{
		{name: "the caller gives up", paste: func(string) (string, error) { return "", own }, want: own},
		{name: "an answer of another issuer", paste: func(a string) (string, error) { return landing(t, a), nil }, fault: "authorize:wrong-iss", want: callback.ErrIssuer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			if tt.fault != "" {
				b.set(t, tt.fault)
			}
			address := make(chan string, 1)
			b.c.Open = func(_ context.Context, a string) error { address <- a; return nil }
			paste := func(context.Context, error) (string, error) { return tt.paste(<-address) }
			if _, err := b.c.Login(ctx, b.t, LoginOptions{Paste: paste}); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// After io.EOF from Paste, Login waits for the browser.
func TestNothingIsPasted(t *testing.T) {
	b := newBench(t, demo.Options{})
	ended := make(chan struct{})
	open := b.c.Open
	b.c.Open = func(ctx context.Context, address string) error {
		go func() { <-ended; open(ctx, address) }()
		return nil
	}
	paste := func(context.Context, error) (string, error) { defer close(ended); return "", io.EOF }
	if _, err := b.c.Login(ctx, b.t, LoginOptions{Paste: paste}); err != nil {
		t.Fatal(err)
	}
}

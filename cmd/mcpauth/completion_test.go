package main

import (
	"testing"
	"time"
)

// A completion that takes too long prints nothing, and the shell does not wait for its end.
func TestCompletionIsLimited(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ended := make(chan error, 1)
	go func() { ended <- runWithin(10*time.Millisecond, func() error { <-hang; return nil }) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("within waits for the end of the completion")
	}
}

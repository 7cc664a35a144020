//go:build unix

// Tests of signals, which Windows does not have.

package main

import (
	"os"
	"syscall"
	"testing"
)

func TestServesUntilSignal(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, _, _ := program(t)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}

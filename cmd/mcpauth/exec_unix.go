//go:build unix

package main

import (
	"os"
	"slices"
	"syscall"
)

// passedOn are the signals that exec passes on to its command.
func passedOn() []os.Signal {
	return slices.Concat(interrupts(), []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2})
}

// exitCodeOf is the exit code of a process, or, as in a shell, 128 and the number of the signal that ended it.
func exitCodeOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

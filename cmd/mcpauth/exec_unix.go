//go:build unix

package main

import (
	"os"
	"slices"
	"syscall"
)

// forwardedSignals returns the signals that exec passes on to its command.
func forwardedSignals() []os.Signal {
	return slices.Concat(interruptSignals(), []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2})
}

// exitCodeOf returns the exit code of a process. If a signal ended the process, the exit code is 128 plus the number of the signal, as in a
// shell.
func exitCodeOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

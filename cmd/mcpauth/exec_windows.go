package main

import "os"

// forwardedSignals returns the signals that do not end exec while its command runs. The console sends Ctrl-C to both exec and the command.
func forwardedSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// exitCodeOf returns the exit code of a process.
func exitCodeOf(state *os.ProcessState) int { return state.ExitCode() }

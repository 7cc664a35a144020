package main

import "os"

// passedOn are the signals that exec passes on to its command. The console tells the command about Ctrl-C itself.
func passedOn() []os.Signal { return []os.Signal{os.Interrupt} }

// exitCodeOf is the exit code of a process.
func exitCodeOf(state *os.ProcessState) int { return state.ExitCode() }

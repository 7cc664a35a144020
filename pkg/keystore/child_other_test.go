//go:build !linux && !darwin

package keystore

import "os"

func childUnix(string) error { return nil }

// stop does nothing on this system, because a stopped process that holds a lock looks like a running process to other processes.
func stop(*os.Process) error { return nil }

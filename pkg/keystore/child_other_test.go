//go:build !linux && !darwin

package keystore

import "os"

func childUnix(string) error { return nil }

// stop does nothing on this system, because other processes see no difference between a stopped process that holds a lock and a running
// one.
func stop(*os.Process) error { return nil }

//go:build !linux && !darwin

package flow

import "os"

// openWithoutLinks opens a file. On Windows, it also follows links, because projects are not usually stored in a folder that other users can
// change.
func openWithoutLinks(path string) (*os.File, error) { return os.Open(path) }

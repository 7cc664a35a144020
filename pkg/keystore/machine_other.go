//go:build !unix

package keystore

import "io/fs"

// fileID names a file on this machine, as far as the system has such a name.
func fileID(fs.FileInfo) string { return "" }

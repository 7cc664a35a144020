//go:build !unix

package keystore

import "io/fs"

// fileID returns "", because this system has no inode numbers.
func fileID(fs.FileInfo) string { return "" }

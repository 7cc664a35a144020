//go:build unix && !linux

package config

// otherWriter always returns "", because only Linux shows access lists as extended attributes.
func otherWriter(string, uint32) string { return "" }

//go:build unix

package keystore

func childUnix(string) error { return nil }

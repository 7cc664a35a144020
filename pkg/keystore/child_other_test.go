//go:build !linux && !darwin

package keystore

func childUnix(string) error { return nil }

//go:build !linux

package httpx

import "crypto/x509"

// rootMemory records nothing, because macOS and Windows verify certificates without reading a bundle of roots first.
type rootMemory string

func (rootMemory) recallRoot(string) *x509.Certificate    { return nil }
func (rootMemory) rememberRoot(string, *x509.Certificate) {}

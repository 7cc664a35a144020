//go:build !linux

package httpx

import "crypto/x509"

// rootMemory remembers nothing: macOS and Windows verify through the system, which parses no bundle for that.
type rootMemory string

func (rootMemory) recall(string) *x509.Certificate    { return nil }
func (rootMemory) remember(string, *x509.Certificate) {}

package keystore

import (
	"fmt"
	"os"
)

// systemKeychain returns the macOS Keychain, which go-keyring accesses through /usr/bin/security.
func systemKeychain() (itemStore, platform) {
	return goKeyring{}, platform{maxSize: maxSizeMacOS, classify: classifyMacOS, available: func() error {
		if _, err := os.Stat("/usr/bin/security"); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil
	}}
}

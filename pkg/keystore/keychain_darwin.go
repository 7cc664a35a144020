package keystore

import (
	"fmt"
	"os"
)

// systemKeychain returns the macOS Keychain, which go-keyring accesses through /usr/bin/security.
func systemKeychain() (ring, platform) {
	return goKeyring{}, platform{room: roomMacOS, classify: classifyMacOS, available: func() error {
		if _, err := os.Stat("/usr/bin/security"); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil
	}}
}

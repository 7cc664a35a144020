package keystore

import (
	"fmt"
	"os"
)

// systemKeychain is the macOS Keychain, by way of /usr/bin/security.
func systemKeychain() (ring, platform) {
	return goKeyring{}, platform{room: roomMacOS, classify: classifyMacOS, available: func() error {
		if _, err := os.Stat("/usr/bin/security"); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil
	}}
}

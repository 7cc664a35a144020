// Size limits and errors of the keychains, as pure functions that are compiled and tested on every system.

package keystore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/zalando/go-keyring"
)

// serviceName is the service name of all items.
const serviceName = "mcpauth"

// goKeyring accesses the keychain of this system through the package go-keyring.
type goKeyring struct{}

func (goKeyring) set(account, value string) error    { return keyring.Set(serviceName, account, value) }
func (goKeyring) get(account string) (string, error) { return keyring.Get(serviceName, account) }
func (goKeyring) delete(account string) error        { return keyring.Delete(serviceName, account) }

// macOSLine is the length in bytes of the longest line that `security -i` reads.
const macOSLine = 4095

// maxSizeMacOS returns the number of bytes that fit in an item. The limit exists because go-keyring passes service, account and value to
// `security -i` in one line, with the value in base64. go-keyring puts an account with "#" in quotes. No account contains a quote, see
// Key.name, so the quotes are two bytes.
func maxSizeMacOS(account string) int {
	line := "add-generic-password -U -s " + serviceName + " -a '" + account + "' -w go-keyring-base64:\n"
	return max(0, base64.StdEncoding.DecodedLen((macOSLine-len(line))/4*4))
}

// maxSizeWindows returns the maximum size of a credential blob (CRED_MAX_CREDENTIAL_BLOB_SIZE). go-keyring does not convert the bytes to
// UTF-16.
func maxSizeWindows(string) int { return 5 * 512 }

// maxSizeSecretService returns 64 kB. The protocol has no limit, but services become slow with items of more than about 100 kB.
func maxSizeSecretService(string) int { return 64 << 10 }

// classifyCommon converts an error that any system may return to one of this package's errors. An unknown error is never ErrNotFound.
func classifyCommon(op string, err error) error {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrLocked), errors.Is(err, ErrDenied), errors.Is(err, ErrTimeout),
		errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnwritable), errors.Is(err, ErrForeignBus):
		return err
	case errors.Is(err, keyring.ErrNotFound) && op == "set":
		return fmt.Errorf("%w: the keychain reports that the item to write does not exist", ErrUnwritable)
	case errors.Is(err, keyring.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return fmt.Errorf("%w: %w", ErrUnwritable, err)
	case errors.Is(err, keyring.ErrUnsupportedPlatform), errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case op == "set":
		return fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	return fmt.Errorf("%w: %w", ErrDenied, err)
}

// classifyMacOS converts an error by the exit status of /usr/bin/security, which is the last byte of the OSStatus.
func classifyMacOS(op string, err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return codeMacOS(op, exit.ExitCode())
	}
	return classifyCommon(op, err)
}

func codeMacOS(op string, code int) error {
	reason := func(sentinel error, words string) error {
		return fmt.Errorf("%w: %s (security: exit status %d)", sentinel, words, code)
	}
	switch code {
	case 36: // errSecInteractionNotAllowed -25308
		return reason(ErrLocked, "the keychain is locked, or cannot ask for the password in this session")
	case 29: // errSecInteractionRequired -25315
		return reason(ErrLocked, "the keychain needs to ask the user, but cannot")
	case 44: // errSecItemNotFound -25300
		return classifyCommon(op, keyring.ErrNotFound)
	case 51: // errSecAuthFailed -25293
		return reason(ErrDenied, "authorization failed")
	case 128: // userCanceledErr -128
		return reason(ErrDenied, "the user cancelled")
	case 50, 37, 53: // errSecNoSuchKeychain -25294, errSecNoDefaultKeychain -25307, errSecNotAvailable -25291
		return reason(ErrUnavailable, "there is no keychain")
	}
	if op == "set" {
		return reason(ErrUnwritable, "the keychain refused")
	}
	return reason(ErrDenied, "the keychain refused")
}

// classifyWindows converts an error by the system error code of the Credential Manager.
func classifyWindows(op string, err error) error {
	code, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return classifyCommon(op, err)
	}
	switch code {
	case 1168: // ERROR_NOT_FOUND
		return classifyCommon(op, keyring.ErrNotFound)
	case 1312: // ERROR_NO_SUCH_LOGON_SESSION: the session has no user profile, for example in a service or after some SSH logins
		return fmt.Errorf("%w: this logon session has no Credential Manager (Windows error %d)", ErrUnavailable, uint(code))
	case 5, 8200: // ERROR_ACCESS_DENIED
		return fmt.Errorf("%w: Windows error %d", ErrDenied, uint(code))
	}
	if op == "set" { // 1783 (RPC_X_BAD_STUB_DATA) and 87 (ERROR_INVALID_PARAMETER) mean that the item is too large; 112 is ERROR_DISK_FULL
		return fmt.Errorf("%w: Windows error %d", ErrUnwritable, uint(code))
	}
	return fmt.Errorf("%w: Windows error %d", ErrDenied, uint(code))
}

// classifySecretService converts an error of the Secret Service. name is the D-Bus name of the error, or "" if it is not a D-Bus error.
func classifySecretService(op, name string, err error) error {
	reason := func(sentinel error) error { return fmt.Errorf("%w: %w", sentinel, err) }
	const bus, secret = "org.freedesktop.DBus.Error.", "org.freedesktop.Secret.Error."
	switch {
	case name == secret+"IsLocked", name == "" && strings.Contains(err.Error(), "failed to unlock"):
		return reason(ErrLocked) // go-keyring reports "failed to unlock" after the user dismissed the prompt
	case name == secret+"NoSession", isGone(name):
		return reason(ErrUnavailable)
	case name == bus+"ServiceUnknown", name == bus+"NameHasNoOwner", name == bus+"NoServer", name == bus+"Disconnected",
		strings.HasPrefix(name, bus+"Spawn."):
		return reason(ErrUnavailable)
	case name == bus+"NoReply", name == bus+"Timeout", name == bus+"TimedOut":
		return reason(ErrTimeout)
	case name == bus+"AccessDenied", name == bus+"AuthFailed":
		return reason(ErrDenied)
	case name == "" && strings.Contains(err.Error(), "connection closed"):
		return reason(ErrUnavailable)
	}
	return classifyCommon(op, err)
}

// isGone reports whether a D-Bus error means that an object does not exist. GNOME Keyring uses several error names, depending on how far
// the deletion of the object has progressed.
func isGone(name string) bool {
	const bus = "org.freedesktop.DBus.Error."
	return slices.Contains([]string{"org.freedesktop.Secret.Error.NoSuchObject", bus + "UnknownObject", bus + "UnknownMethod", bus + "UnknownInterface"}, name)
}

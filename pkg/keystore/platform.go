// The limits and the answers of the keychains, as pure functions that every system compiles and tests.

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

// service is the service name of all items.
const service = "mcpauth"

// goKeyring is the keychain of this system.
type goKeyring struct {
	guard    func() error     // says whether it may be touched at all; nil: it may
	vanished func(error) bool // says that an item went away between finding and using it; nil: that cannot be
}

func (g goKeyring) check() error {
	if g.guard == nil {
		return nil
	}
	return g.guard()
}

func (g goKeyring) set(account, value string) error {
	if err := g.check(); err != nil {
		return err
	}
	return keyring.Set(service, account, value)
}

func (g goKeyring) get(account string) (string, error) {
	if err := g.check(); err != nil {
		return "", err
	}
	return g.again(func() (string, error) { return keyring.Get(service, account) })
}

func (g goKeyring) delete(account string) error {
	if err := g.check(); err != nil {
		return err
	}
	_, err := g.again(func() (string, error) { return "", keyring.Delete(service, account) })
	return err
}

// again repeats an operation if another process deleted its item in the middle of it. The next search shows whether the item exists.
func (g goKeyring) again(do func() (string, error)) (value string, err error) {
	for range 5 {
		if value, err = do(); err == nil || g.vanished == nil || !g.vanished(err) {
			break
		}
	}
	return value, err
}

// macOSLine is what `security -i` reads of one line: 4095 bytes.
const macOSLine = 4095

// roomMacOS is what fits in the line by which go-keyring passes an item to `security -i`, as base64, with service and account.
func roomMacOS(account string) int {
	line := "add-generic-password -U -s " + service + " -a " + shellQuoted(account) + " -w go-keyring-base64:\n"
	return max(0, base64.StdEncoding.DecodedLen((macOSLine-len(line))/4*4))
}

// shellQuoted is how go-keyring passes an account that is not made of harmless characters alone.
func shellQuoted(s string) string {
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if strings.TrimFunc(s, harmless) == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// roomWindows is the size of a credential blob (CRED_MAX_CREDENTIAL_BLOB_SIZE). go-keyring stores the bytes as they are, not as UTF-16.
func roomWindows(string) int { return 5 * 512 }

// roomSecretService is our own limit: the protocol has none, but services become slow with items of more than about 100 kB.
func roomSecretService(string) int { return 64 << 10 }

// sorted maps an error that all systems have. It returns another error for anything else, and never treats it as absence.
func sorted(op string, err error) error {
	var ours *Error
	switch {
	case errors.As(err, &ours), errors.Is(err, ErrNotFound), errors.Is(err, ErrLocked), errors.Is(err, ErrDenied), errors.Is(err, ErrTimeout),
		errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnwritable):
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

// classifyMacOS reads the exit status of /usr/bin/security, which is the last byte of the OSStatus.
func classifyMacOS(op string, err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return sorted(op, err)
	}
	return codeMacOS(op, exit.ExitCode())
}

func codeMacOS(op string, code int) error {
	reason := func(sentinel error, words string) error {
		return fmt.Errorf("%w: %s (security: exit status %d)", sentinel, words, code)
	}
	switch code {
	case 36: // errSecInteractionNotAllowed -25308
		return reason(ErrLocked, "the keychain is locked, or cannot ask for the password in this session")
	case 29: // errSecInteractionRequired -25315
		return reason(ErrLocked, "the keychain needs to ask the user, and cannot")
	case 44: // errSecItemNotFound -25300
		return sorted(op, keyring.ErrNotFound)
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

// classifyWindows reads the system error codes of the Credential Manager.
func classifyWindows(op string, err error) error {
	var code syscall.Errno
	if !errors.As(err, &code) {
		return sorted(op, err)
	}
	switch code {
	case 1168: // ERROR_NOT_FOUND
		return sorted(op, keyring.ErrNotFound)
	case 1312: // ERROR_NO_SUCH_LOGON_SESSION: a session without a user's profile, as of a service or some SSH logins
		return fmt.Errorf("%w: this logon session has no Credential Manager (Windows error %d)", ErrUnavailable, uint(code))
	case 5, 8200: // ERROR_ACCESS_DENIED
		return fmt.Errorf("%w: Windows error %d", ErrDenied, uint(code))
	}
	if op == "set" { // 1783 RPC_X_BAD_STUB_DATA, 87 ERROR_INVALID_PARAMETER: too large; 112 ERROR_DISK_FULL
		return fmt.Errorf("%w: Windows error %d", ErrUnwritable, uint(code))
	}
	return fmt.Errorf("%w: Windows error %d", ErrDenied, uint(code))
}

// classifySecretService reads the name of a D-Bus error, "" where it is another error.
func classifySecretService(op, name string, err error) error {
	reason := func(sentinel error) error { return fmt.Errorf("%w: %w", sentinel, err) }
	const bus, secret = "org.freedesktop.DBus.Error.", "org.freedesktop.Secret.Error."
	switch {
	case name == secret+"IsLocked", name == "" && strings.Contains(err.Error(), "failed to unlock"):
		return reason(ErrLocked) // the second is go-keyring's word for a prompt that was dismissed
	case name == secret+"NoSession", gone(name):
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
	return sorted(op, err)
}

// gone reports whether a D-Bus error says that an object does not exist. GNOME Keyring uses three names for it, depending on how far a
// deletion got.
func gone(name string) bool {
	const bus = "org.freedesktop.DBus.Error."
	return slices.Contains([]string{"org.freedesktop.Secret.Error.NoSuchObject", bus + "UnknownObject", bus + "UnknownMethod", bus + "UnknownInterface"}, name)
}

package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zalando/go-keyring"
)

// The exit status of security is the low byte of its OSStatus.
func TestCodesMacOS(t *testing.T) {
	for _, test := range []struct {
		name     string
		osStatus int
		op       string
		want     error
	}{
		{"errSecInteractionNotAllowed", -25308, "get", ErrLocked},
		{"errSecInteractionNotAllowed on write", -25308, "set", ErrLocked},
		{"errSecInteractionRequired", -25315, "get", ErrLocked},
		{"errSecAuthFailed", -25293, "get", ErrDenied},
		{"userCanceledErr", -128, "set", ErrDenied},
		{"errSecItemNotFound", -25300, "get", ErrNotFound},
		{"errSecItemNotFound", -25300, "delete", ErrNotFound},
		{"errSecItemNotFound on write", -25300, "set", ErrUnwritable},
		{"errSecNoSuchKeychain", -25294, "get", ErrUnavailable},
		{"errSecNoDefaultKeychain", -25307, "set", ErrUnavailable},
		{"errSecNotAvailable", -25291, "get", ErrUnavailable},
		{"errSecDuplicateItem", -25299, "set", ErrUnwritable},
		{"anything else", 1, "get", ErrDenied},
		{"anything else", 1, "delete", ErrDenied},
		{"anything else on write", 161, "set", ErrUnwritable},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantOnly(t, codeMacOS(test.op, test.osStatus&0xff), test.want)
		})
	}
}

// wantOnly checks that an error wraps exactly one of this package's errors.
func wantOnly(t *testing.T, err, want error) {
	t.Helper()
	for _, e := range []error{ErrNotFound, ErrLocked, ErrDenied, ErrTimeout, ErrUnavailable, ErrUnwritable, ErrCorrupt, ErrNewer, ErrBusy, ErrInsecure} {
		if errors.Is(err, e) != (e == want) {
			t.Errorf("%v: is %v: %v, want %v", err, e, errors.Is(err, e), want)
		}
	}
}

func TestClassifyMacOSReadsExitStatus(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childRole+"=exit36")
	wantOnly(t, classifyMacOS("get", cmd.Run()), ErrLocked)
	wantOnly(t, classifyMacOS("get", fmt.Errorf("x: %w", keyring.ErrNotFound)), ErrNotFound)
	wantOnly(t, classifyMacOS("set", keyring.ErrSetDataTooBig), ErrUnwritable)
	_, err = exec.LookPath("no-such-program-here")
	wantOnly(t, classifyMacOS("get", err), ErrUnavailable)
}

func TestClassifyWindows(t *testing.T) {
	for _, test := range []struct {
		op   string
		err  error
		want error
	}{
		{"get", syscall.Errno(1168), ErrNotFound},
		{"get", keyring.ErrNotFound, ErrNotFound},
		{"set", syscall.Errno(1168), ErrUnwritable},
		{"get", syscall.Errno(1312), ErrUnavailable},
		{"get", fmt.Errorf("read: %w", syscall.Errno(5)), ErrDenied},
		{"set", syscall.Errno(1783), ErrUnwritable},
		{"set", keyring.ErrSetDataTooBig, ErrUnwritable},
		{"delete", syscall.Errno(87), ErrDenied},
	} {
		wantOnly(t, classifyWindows(test.op, test.err), test.want)
	}
}

func TestClassifySecretService(t *testing.T) {
	const bus, secret = "org.freedesktop.DBus.Error.", "org.freedesktop.Secret.Error."
	_, noLaunch := exec.LookPath("dbus-launch-that-is-missing")
	for _, test := range []struct {
		op, name string
		err      error
		want     error
	}{
		{"get", bus + "ServiceUnknown", errors.New("x"), ErrUnavailable},
		{"get", bus + "Spawn.ServiceNotFound", errors.New("x"), ErrUnavailable},
		{"get", secret + "NoSuchObject", errors.New("x"), ErrUnavailable},
		{"get", bus + "UnknownObject", errors.New("x"), ErrUnavailable},
		{"get", bus + "UnknownMethod", errors.New("No such interface"), ErrUnavailable},
		{"get", bus + "NoReply", errors.New("x"), ErrTimeout},
		{"get", bus + "AccessDenied", errors.New("x"), ErrDenied},
		{"get", secret + "IsLocked", errors.New("x"), ErrLocked},
		{"get", "", errors.New("failed to unlock correct collection '/org/freedesktop/secrets/aliases/default'"), ErrLocked},
		{"get", "", keyring.ErrNotFound, ErrNotFound},
		{"set", "", keyring.ErrNotFound, ErrUnwritable},
		{"get", "", noLaunch, ErrUnavailable},
		{"probe", "", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, ErrUnavailable},
		{"probe", "", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}, ErrUnavailable},
		{"probe", "", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}, ErrDenied},
		{"get", "", io.EOF, ErrUnavailable},
		{"get", "", errors.New("dbus: connection closed by user"), ErrUnavailable},
		{"get", bus + "Failed", errors.New("strange"), ErrDenied},
		{"set", bus + "Failed", errors.New("strange"), ErrUnwritable},
	} {
		t.Run(test.op+" "+test.name+" "+test.err.Error(), func(t *testing.T) {
			wantOnly(t, classifySecretService(test.op, test.name, test.err), test.want)
		})
	}
}

// If another process deletes an item between search and read, get searches again. If the Secret Service always reports a deleted item, the
// error is not ErrNotFound.
func TestVanishedItemIsLookedForAgain(t *testing.T) {
	away := errors.New("away")
	p := platform{vanished: func(err error) bool { return errors.Is(err, away) }}
	for _, tt := range []struct {
		name    string
		answers []error
		want    error
	}{
		{"there", []error{nil}, nil},
		{"replaced", []error{away, nil}, nil},
		{"deleted", []error{away, keyring.ErrNotFound}, keyring.ErrNotFound},
		{"another error", []error{io.EOF, nil}, io.EOF},
		{"for ever", slices.Repeat([]error{away}, 9), away},
	} {
		asked := 0
		_, err := p.runGuarded(func() (string, error) { asked++; return "", tt.answers[asked-1] })
		if !errors.Is(err, tt.want) || asked > 5 {
			t.Errorf("%s: %v after %d", tt.name, err, asked)
		}
	}
}

// The guard runs before each repeat of an operation, because go-keyring connects to the bus again if the connection has ended.
func TestRepeatsAreGuarded(t *testing.T) {
	away := errors.New("away")
	asked := 0
	p := platform{vanished: func(err error) bool { return errors.Is(err, away) }, guard: func() error {
		if asked == 2 {
			return ErrForeignBus
		}
		return nil
	}}
	_, err := p.runGuarded(func() (string, error) { asked++; return "", away })
	if !errors.Is(err, ErrForeignBus) || asked != 2 {
		t.Errorf("%v after %d operations", err, asked)
	}
}

// Neither an unknown error nor a missing system file leads to ErrNotFound.
func TestSortedFallsBackSafely(t *testing.T) {
	wantOnly(t, classifyCommon("get", errors.New("strange")), ErrDenied)
	wantOnly(t, classifyCommon("set", errors.New("strange")), ErrUnwritable)
	wantOnly(t, classifyCommon("get", fs.ErrNotExist), ErrUnavailable)
	wantOnly(t, classifyCommon("get", keyring.ErrUnsupportedPlatform), ErrUnavailable)
}

// An account that fills the line of `security -i` leaves no room.
func TestNoRoomMacOS(t *testing.T) {
	if room := maxSizeMacOS(strings.Repeat("x", 5000)); room != 0 {
		t.Errorf("room %d for an account that fills the line", room)
	}
}

package keystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The reasons why an operation failed. The methods of Store wrap these reasons in an *Error. A locked keychain, for example, is ErrLocked
// and never ErrNotFound, because after ErrNotFound the caller asks the user to log in again.
var (
	ErrNotFound    = errors.New("no such credential")
	ErrLocked      = errors.New("locked")
	ErrDenied      = errors.New("access denied")
	ErrTimeout     = errors.New("no response in time")
	ErrUnavailable = errors.New("not available")
	ErrUnwritable  = errors.New("not writable")
	ErrCorrupt     = errors.New("damaged record")
	ErrNewer       = errors.New("written by a newer mcpauth")
	ErrBusy        = errors.New("another process is using it")
	ErrInsecure    = errors.New("insecure file or folder") // wrong owner or mode, or a symbolic link
	ErrMode        = fmt.Errorf("%w: its mode gives other users access", ErrInsecure)
	ErrElsewhere   = errors.New("in another store") // the credential is in a store other than the requested one
	ErrKeyFile     = errors.New("the key file cannot be used")
	ErrForeignBus  = errors.New("the D-Bus session bus is not this user's") // another user's Secret Service would get the tokens

	// Only the postgres store returns these:
	ErrReadOnly = errors.New("the database is read-only") // for example a replica
	ErrNoTable  = errors.New("the table of credentials is missing")
	ErrFull     = errors.New("the database is full") // no disk space, memory or connections left
	ErrTooOld   = errors.New("the database server is too old")
	ErrPooled   = errors.New("the database connection cannot hold a lock")

	// ErrParameter means that the connection string or the service file contains a parameter that mcpauth does not send to the database.
	ErrParameter = errors.New("unknown parameter of the database connection")

	// ErrSearchPath means that another user of the database could replace the built-in operators.
	ErrSearchPath = errors.New("the search_path names pg_catalog after another schema")
)

// Error describes a failed operation. An Error contains no secret.
type Error struct {
	Op      string // "get", "put", "reserve", "delete", "entry", "list", "lock", "note"
	Backend string // "keychain", "file" or "postgres"; "" if the operation failed before a backend was chosen
	Path    string // file or keychain item that the error is about; "" if there is none
	Err     error  // wraps one of the errors above
}

func (e *Error) Error() string {
	where := []string{"credential store:", e.Op, "(" + e.Backend + ")", e.Path}
	where = slices.DeleteFunc(where, func(s string) bool { return s == "" || s == "()" })
	return strings.TrimSuffix(strings.Join(where, " "), ":") + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// withPath wraps err in an *Error with the given path. If err already contains an *Error, the result is err.
func withPath(path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Path: path, Err: err}
}

// withOp returns err as an *Error with the given operation and backend. If err is already an *Error, only its empty fields are set.
func withOp(op, backend string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error)
	if !ok {
		return &Error{Op: op, Backend: backend, Err: err}
	}
	full := *e
	full.Op, full.Backend = cmp.Or(e.Op, op), cmp.Or(e.Backend, backend)
	return &full
}

// mayTakeEffectLater reports whether the operation that failed with err may still take effect.
func mayTakeEffectLater(err error) bool {
	return errors.Is(err, ErrTimeout) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

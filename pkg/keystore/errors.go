package keystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a store. Each comes wrapped in an *Error that says where. None is ever guessed from another: a caller that takes
// a locked keychain for an absent login would ask a person to log in again.
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
	ErrElsewhere   = errors.New("in another store")        // than the one that was asked for

	// Of the postgres store:
	ErrReadOnly = errors.New("the database is read-only") // a replica
	ErrNoTable  = errors.New("the table of credentials is missing")
	ErrFull     = errors.New("the database is full") // its disk, its memory or its connections
	ErrTooOld   = errors.New("the database server is too old")
	ErrPooled   = errors.New("the database connection cannot hold a lock")
)

// Error says which operation failed and where. It contains no secret.
type Error struct {
	Op      string // "get", "put", "reserve", "delete", "entry", "list", "lock", "note", "probe"
	Backend string // "keychain", "file" or "postgres"; "" if it failed before one was chosen
	Path    string // the file, where there is one
	Err     error  // wraps one of the errors above
}

func (e *Error) Error() string {
	where := []string{"credential store:"}
	if e.Op != "" {
		where = append(where, e.Op)
	}
	if e.Backend != "" {
		where = append(where, "("+e.Backend+")")
	}
	if e.Path != "" {
		where = append(where, e.Path)
	}
	return strings.TrimSuffix(strings.Join(where, " "), ":") + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// at returns the error with the name of the file in front.
func at(path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Path: path, Err: err}
}

// fail adds the operation and the backend to an error, unless they are set.
func fail(op, backend string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error)
	if !ok {
		return &Error{Op: op, Backend: backend, Err: err}
	}
	full := *e
	if full.Op == "" {
		full.Op = op
	}
	if full.Backend == "" {
		full.Backend = backend
	}
	return &full
}

// addendum adds text to the reason of an error.
func addendum(err error, format string, args ...any) error {
	if e, ok := err.(*Error); ok {
		full := *e
		full.Err = addendum(e.Err, format, args...)
		return &full
	}
	return fmt.Errorf("%w"+format, append([]any{err}, args...)...)
}

// uncertain reports whether the failed operation may still take effect.
func uncertain(err error) bool {
	return errors.Is(err, ErrTimeout) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

package main

import "fmt"

// usageError is a command line that cannot be understood: nothing was sent.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

func usage(message string) error { return &usageError{message: message} }

// configError is a configuration or environment that cannot be used: nothing was sent.
type configError struct{ message, hint string }

func (e *configError) Error() string { return e.message }

// serverError is an error at one server, which hints name.
type serverError struct {
	server server
	err    error
}

func (e *serverError) Error() string { return e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// at says at which server an error happened, unless the error says so itself.
func at(s server, err error) error {
	if err == nil || as[*serverError](err) {
		return err
	}
	return &serverError{s, err}
}

// toolError says that the tool ran and reported an error, which is on stdout already.
type toolError struct{ tool string }

func (e *toolError) Error() string { return "the tool " + quote(e.tool) + " reported an error" }

// batchError says that calls of a batch failed. Each has its reason on stdout.
type batchError struct{ failed, calls int }

func (e *batchError) Error() string {
	return fmt.Sprintf("%d of %d calls failed", e.failed, e.calls)
}

// outputError says that the result could not be written.
type outputError struct {
	where string
	err   error
}

func (e *outputError) Error() string { return e.where + ": " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// protocolError is an answer that cannot be printed as asked.
type protocolError struct{ message string }

func (e *protocolError) Error() string { return e.message }

// printedError is an error that was printed already; only its exit code is still needed.
type printedError struct {
	code int
	err  error
}

func (e *printedError) Error() string { return e.err.Error() }
func (e *printedError) Unwrap() error { return e.err }

// unworkableError says why a login could not work. None was tried.
type unworkableError struct{ err error }

func (e *unworkableError) Error() string { return e.err.Error() }
func (e *unworkableError) Unwrap() error { return e.err }

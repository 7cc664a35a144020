package main

// usageError is an error in the command line.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

func usage(message string) error { return &usageError{message: message} }

// configError is an error in the configuration or the environment.
type configError struct{ message, hint string }

func (e *configError) Error() string { return e.message }

// serverError wraps an error and adds the server that the hint names.
type serverError struct {
	server server
	err    error
}

func (e *serverError) Error() string { return e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// errorAt adds the server to err, unless err already contains a server.
func errorAt(s server, err error) error {
	if err == nil || isA[*serverError](err) {
		return err
	}
	return &serverError{s, err}
}

// toolError means that a tool, or some calls of a batch, reported errors. The errors are already on stdout.
type toolError struct{ message string }

func (e *toolError) Error() string { return e.message }

// outputError means that the result could not be written.
type outputError struct {
	where string
	err   error
}

func (e *outputError) Error() string { return e.where + ": " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// protocolError means that the server broke a limit of mcpauth, or sent a result that cannot be printed in the requested form.
type protocolError struct {
	message string
	result  bool // the result of the command cannot be printed; --output json can print it
}

func (e *protocolError) Error() string { return e.message }

func unprintable(message string) error { return &protocolError{message: message, result: true} }

// printedError is an error that was already printed. The program prints nothing more and exits with the code in the field code.
type printedError struct {
	code int
	err  error
}

func (e *printedError) Error() string { return e.err.Error() }
func (e *printedError) Unwrap() error { return e.err }

// unworkableError is the reason why discover expects a login to fail.
type unworkableError struct{ err error }

func (e *unworkableError) Error() string { return e.err.Error() }
func (e *unworkableError) Unwrap() error { return e.err }

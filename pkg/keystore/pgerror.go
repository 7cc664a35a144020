package keystore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"mcpauth/internal/httpx"
)

// classifyPg converts an error of the database to one of this package's errors, by its SQLSTATE. The result quotes the server's message,
// which contains names but no values. The result omits the details of the message, which may quote a row.
func classifyPg(ctx context.Context, err error, password string) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Errorf("%w: %s", sentinelPg(e), safePgText(e.Message+" (SQLSTATE "+e.Code+")", password))
	}
	reason := safePgText(strings.ReplaceAll(connectErrorText(err), "\n", "; "), password)
	if ctx.Err() != nil || pgconn.Timeout(err) {
		return fmt.Errorf("%w: the database did not answer: %s", ErrTimeout, reason)
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, reason)
}

// safePgText shortens a text from the database server. If the text contains the password in any encoding, the result is another text.
func safePgText(text, password string) string {
	if password != "" && (strings.Contains(strings.ToLower(text), strings.ToLower(password)) || httpx.HoldsSecret(text, password)) {
		return "the server's message contains the password"
	}
	return strings.ToValidUTF8(text[:min(len(text), 400)], "")
}

func sentinelPg(e *pgconn.PgError) error {
	switch e.Code {
	case "25006": // read_only_sql_transaction
		return ErrReadOnly
	case "42P01": // undefined_table
		return ErrNoTable
	case "42703": // undefined_column
		return ErrNewer
	case "42501", "3D000", "3F000": // insufficient_privilege, invalid_catalog_name, invalid_schema_name
		return ErrDenied
	case "57014", "55P03": // query_canceled by statement_timeout, lock_not_available
		return ErrTimeout
	case "53100", "53200", "53300": // disk_full, out_of_memory, too_many_connections
		return ErrFull
	}
	if strings.HasPrefix(e.Code, "28") { // invalid authorization
		return ErrDenied
	}
	return ErrUnavailable
}

// connectErrorText returns the text of a connection error without user and database.
func connectErrorText(err error) string {
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return errors.Unwrap(e).Error()
	}
	return err.Error()
}

// isTransient reports whether another attempt to connect may succeed, for example after a restart of the database. pgconn makes one attempt
// for each host; with sslmode=prefer it makes two, one with TLS and one without. The result is true if any of these attempts failed for a
// temporary reason.
func isTransient(err error) bool {
	if isDistrusted(err) {
		return false
	}
	var attempts interface{ Unwrap() []error }
	if errors.As(err, &attempts) {
		return slices.ContainsFunc(attempts.Unwrap(), isTransient)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "53300" || strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08")
	}
	var certificate *tls.CertificateVerificationError
	refused := strings.HasSuffix(err.Error(), "server refused TLS connection") || strings.Contains(err.Error(), "remote error: tls: ") // the libraries have no types for these two errors
	return !refused && !errors.As(err, &certificate)
}

// badURL describes what is wrong with a connection string. The string is not quoted, because it may contain a password.
func badURL(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%w: %s: %w", ErrDenied, file.Path, file.Err)
	}
	known := []string{"invalid port", "sslmode is invalid", "unable to read CA file", "unable to add CA to cert pool", "unable to read cert", "unable to find user"}
	i := slices.IndexFunc(known, func(s string) bool { return strings.Contains(err.Error(), s) })
	if i < 0 {
		return fmt.Errorf("%w: the connection string is invalid", ErrUnavailable)
	}
	return fmt.Errorf("%w: the connection string cannot be used: %s", ErrUnavailable, known[i])
}

package keystore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A database that restarts answers each attempt differently; one that refuses for good is not asked for ten seconds.
func TestTransient(t *testing.T) {
	noTLS := fmt.Errorf("tls error: %w", errors.New("server refused TLS connection"))
	torn := fmt.Errorf("failed SASL auth: %w", io.ErrUnexpectedEOF)
	replica := errors.New("ValidateConnect failed: read only connection")
	state := func(code string) error { return fmt.Errorf("server error: %w", &pgconn.PgError{Code: code}) }
	unknown := fmt.Errorf("failed to write startup message: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"nobody listens", fmt.Errorf("dial error: %w", syscall.ECONNREFUSED), true},
		{"the end of a server, sslmode=prefer", errors.Join(noTLS, torn), true},
		{"the end of a server beside its replica", errors.Join(noTLS, torn, noTLS, replica), true},
		{"the end of a server during the handshake", fmt.Errorf("tls error: %w", io.EOF), true},
		{"a server that starts", errors.Join(noTLS, state("57P03")), true},
		{"too many clients", state("53300"), true},
		{"TLS is demanded, and the server has none", noTLS, false},
		{"a certificate of another authority", unknown, false},
		{"the server wants a certificate", errors.New("failed to receive message: remote error: tls: certificate required"), false},
		{"a wrong password", errors.Join(noTLS, state("28P01")), false},
		{"no such database", state("3D000"), false},
	} {
		if got := transient(tt.err); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

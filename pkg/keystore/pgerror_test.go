package keystore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// fakeDatabase starts a server that gives each connection to serve. It returns the server's address.
func fakeDatabase(t *testing.T, serve func(*pgproto3.Backend)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(pgproto3.NewBackend(conn, conn))
			}()
		}
	}()
	return l.Addr().String()
}

// A hostile server at the database's address can ask for the password in plain text and repeat it in an error. The store's error does not
// contain it.
func TestPasswordComesBack(t *testing.T) {
	address := fakeDatabase(t, func(b *pgproto3.Backend) {
		_, _ = b.ReceiveStartupMessage()
		b.Send(&pgproto3.AuthenticationCleartextPassword{})
		_ = b.Flush()
		_ = b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
		m, _ := b.Receive()
		if given, ok := m.(*pgproto3.PasswordMessage); ok {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: strings.ToUpper(given.Password) + " or " + given.Password + strings.Repeat("x", 1000)})
			_ = b.Flush()
		}
	})
	p := &postgres{url: "postgres://u:canary-password@" + address + "/db?sslmode=disable"}
	_, err := p.connect(t.Context())
	if !errors.Is(err, ErrDenied) || strings.Contains(strings.ToLower(err.Error()), "canary") || len(err.Error()) > 500 {
		t.Errorf("%v", err)
	}
}

// transient is true for errors during a restart of the database, and false for errors that another attempt cannot solve.
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
		{"a message that is too long", fmt.Errorf("failed to receive message: %w", &pgproto3.ExceededMaxBodyLenErr{MaxExpectedBodyLen: 1, ActualBodyLen: 2}), false},
	} {
		if got := isTransient(tt.err); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

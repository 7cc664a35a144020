package keystore

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// hostileDatabase is a server that asks for the password in plain text. login sends the end of the login, and answer sends the result of each
// statement.
type hostileDatabase struct {
	login  func(b *pgproto3.Backend, password string)
	answer func(b *pgproto3.Backend)
}

func (h hostileDatabase) serve(b *pgproto3.Backend) {
	_, _ = b.ReceiveStartupMessage()
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	_ = b.Flush()
	_ = b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
	m, _ := b.Receive()
	given, ok := m.(*pgproto3.PasswordMessage)
	if !ok {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	if h.login != nil {
		h.login(b, given.Password)
	} else {
		b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "16.0"})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte("1234")})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		if _, ok := m.(*pgproto3.Sync); ok && h.answer != nil {
			b.Send(&pgproto3.ParseComplete{})
			b.Send(&pgproto3.BindComplete{})
			h.answer(b)
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}
	}
}

// sendRows sends rows with these columns.
func sendRows(b *pgproto3.Backend, rows int, columns ...string) {
	var fields []pgproto3.FieldDescription
	var values [][]byte
	for _, c := range columns {
		fields, values = append(fields, pgproto3.FieldDescription{Name: []byte("c"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}), append(values, []byte(c))
	}
	b.Send(&pgproto3.RowDescription{Fields: fields})
	for i := range rows {
		b.Send(&pgproto3.DataRow{Values: values})
		if i%100 == 99 && b.Flush() != nil {
			return
		}
	}
}

// A hostile server at the database's address causes an error. It causes no panic and does not fill the memory, and no error contains the
// password.
func TestHostileDatabase(t *testing.T) {
	refuse := func(words func(password string) string) hostileDatabase {
		return hostileDatabase{login: func(b *pgproto3.Backend, password string) {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: words(password)})
		}}
	}
	const endless = 1 << 40
	for name, h := range map[string]hostileDatabase{
		"password in its version": {login: func(b *pgproto3.Backend, password string) {
			b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "9 " + password + strings.Repeat("x", 1<<20)})
		}},
		"password in base64":          refuse(func(p string) string { return "no: " + base64.StdEncoding.EncodeToString([]byte(p)) }),
		"password in hexadecimal":     refuse(func(p string) string { return "no: " + hex.EncodeToString([]byte(p)) }),
		"password in percent-encoded": refuse(func(p string) string { return fmt.Sprintf("no: %s", percent(p)) }),
		"no row":                      {answer: func(b *pgproto3.Backend) { sendRows(b, 0, "x") }},
		"no column":                   {answer: func(b *pgproto3.Backend) { sendRows(b, 1) }},
		"few columns":                 {answer: func(b *pgproto3.Backend) { sendRows(b, 1, "7", "1") }},
		"endless rows":                {answer: func(b *pgproto3.Backend) { sendRows(b, endless, "7", strings.Repeat("x", 60000)) }},
		"endless rows of nothing":     {answer: func(b *pgproto3.Backend) { sendRows(b, endless) }},
		"endless settings": {answer: func(b *pgproto3.Backend) {
			for i := 0; b.Flush() == nil; i++ {
				b.Send(&pgproto3.ParameterStatus{Name: fmt.Sprint(i, strings.Repeat("x", 1000)), Value: "x"})
			}
		}},
		"endless settings at login": {login: func(b *pgproto3.Backend, _ string) {
			for i := 0; b.Flush() == nil; i++ {
				b.Send(&pgproto3.ParameterStatus{Name: fmt.Sprint(i, strings.Repeat("x", 1000)), Value: "x"})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(Options{Backend: Postgres, URL: "postgres://u:canary-password@" + fakeDatabase(t, h.serve) + "/db?sslmode=disable", KeyFile: identity(t, dir, "key", false),
				StateDir: filepath.Join(dir, "state"), Dir: filepath.Join(dir, "keys"), Timeout: 20 * time.Second, LockWait: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, listErr := s.List(t.Context())
			_, getErr := s.Get(t.Context(), testKey())
			unlock, lockErr := s.Lock(t.Context(), testKey(), LockCredential)
			if lockErr == nil {
				unlock()
			}
			runtime.ReadMemStats(&after)
			if listErr == nil && name != "no row" || getErr == nil || lockErr == nil && name != "few columns" {
				t.Errorf("list: %v; get: %v; lock: %v", listErr, getErr, lockErr)
			}
			text := fmt.Sprint(listErr, getErr, lockErr)
			if strings.Contains(text, "canary") || strings.Contains(text, "Y2FuYXJ5") || strings.Contains(text, "63616e617279") || strings.Contains(text, "%63") || len(text) > 2000 {
				t.Errorf("%.3000s", text)
			}
			if after.Sys > before.Sys+600<<20 { // Sys can also fall
				t.Errorf("%d MB were used", (after.Sys-before.Sys)>>20)
			}
		})
	}
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

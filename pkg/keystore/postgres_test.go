//go:build postgres

package keystore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// serverURL is a superuser's connection string to a server for tests; scripts/fleet starts one.
var serverURL = os.Getenv("MCPAUTH_TEST_POSTGRES")

func init() { testDatabase = schemaFor }

// schemaFor makes a schema for a folder, with its own table and locks.
func schemaFor(t *testing.T, dir string) (string, string) {
	t.Helper()
	schema := fmt.Sprintf("test_%x", sha256.Sum256([]byte(dir)))[:30]
	admin(t, `CREATE SCHEMA IF NOT EXISTS `+schema)
	keyFile := filepath.Join(dir, "key")
	if _, err := os.Stat(keyFile); err != nil {
		identity(t, dir, "key", false)
	}
	return with(t, "search_path", schema), keyFile
}

// with is the connection string with a parameter set.
func with(t *testing.T, name, value string) string {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

var adminConn = struct {
	sync.Mutex
	*pgconn.PgConn
}{}

// admin runs a statement as the owner of the server.
func admin(t *testing.T, sql string) [][][]byte {
	t.Helper()
	adminConn.Lock()
	defer adminConn.Unlock()
	ctx := context.Background()
	if adminConn.PgConn == nil || adminConn.IsClosed() {
		conn, err := pgconn.Connect(ctx, serverURL)
		if err != nil {
			t.Fatal(err)
		}
		adminConn.PgConn = conn
	}
	r := adminConn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if r.Err != nil {
		t.Fatalf("%s: %v", sql, r.Err)
	}
	return r.Rows
}

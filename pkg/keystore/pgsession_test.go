package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// The driver would send each unknown line of a service file to the server. If PGSERVICEFILE names a file of another program, nothing of the file
// reaches the server or an error.
func TestServiceFileOfAnotherProgram(t *testing.T) {
	sent := make(chan map[string]string, 10)
	address := fakeDatabase(t, func(b *pgproto3.Backend) {
		if m, err := b.ReceiveStartupMessage(); err == nil {
			if start, ok := m.(*pgproto3.StartupMessage); ok {
				sent <- start.Parameters
			}
		}
	})
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_canary_id = canary\naws_secret_access_key = canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", file)
	url := "postgres://u@" + address + "/db?sslmode=disable&search_path=mine&TimeZone=UTC&options=-c%20geqo%3Doff&client_encoding=UTF8&application_name=fleet"
	config, err := (&postgres{url: url}).parseConfig(t.Context())
	if err != nil || config.RuntimeParams["search_path"] != "mine" || config.RuntimeParams["TimeZone"] != "UTC" || config.RuntimeParams["application_name"] != "fleet" {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	s, err := Open(Options{Backend: Postgres, URL: url + "&service=default", KeyFile: identity(t, dir, "key", false), StateDir: dir + "/state", Dir: dir + "/keys",
		Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), testKey())
	wantErr(t, err, ErrParameter)
	if strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "search_path") {
		t.Error(err)
	}
	select {
	case parameters := <-sent:
		t.Errorf("sent %v", parameters)
	default:
	}
}

// The error about a row of a later version names the version of the rows that this version reads.
func TestNewerRow(t *testing.T) {
	_, _, err := parseEntry([][]byte{[]byte("{}"), []byte("1"), []byte("9"), nil, nil, nil})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 9, this one reads 2") {
		t.Error(err)
	}
}

//go:build postgres

package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// serverURL is a superuser's connection string for the test server, which scripts/fleet starts.
var serverURL = os.Getenv("MCPAUTH_TEST_POSTGRES")

func init() { testDatabase = schemaFor }

// schemaFor creates a schema for a folder, so that the test has its own table and locks.
func schemaFor(t *testing.T, dir string) (string, string) {
	t.Helper()
	schema := fmt.Sprintf("test_%x", sha256.Sum256([]byte(dir)))[:30]
	admin(t, `CREATE SCHEMA IF NOT EXISTS `+schema)
	keyFile := filepath.Join(dir, "key")
	if _, err := os.Stat(keyFile); err != nil {
		identity(t, dir, "key", false)
	}
	return with(t, serverURL, "search_path", schema), keyFile
}

var adminConn = struct {
	sync.Mutex
	*pgconn.PgConn
}{}

// admin runs a statement as the superuser.
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

// machine opens a store with a separate state folder. Like another machine, it shares only the database.
func machine(t *testing.T, url, keyFile string) *testStore {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(Options{Backend: Postgres, URL: url, KeyFile: keyFile, StateDir: filepath.Join(dir, "state"), Dir: filepath.Join(dir, "keys"),
		Timeout: 2 * time.Second, LockWait: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &testStore{Store: s, dir: dir}
}

// Get, Lock and Writable return a different error for each kind of database problem. No error contains the password.
func TestPostgresErrors(t *testing.T) {
	dir := t.TempDir()
	good, key := schemaFor(t, dir)
	admin(t, `DROP ROLE IF EXISTS mcpauth_reader`)
	admin(t, `CREATE ROLE mcpauth_reader LOGIN PASSWORD 'canary-reader'`)
	admin(t, `DROP ROLE IF EXISTS mcpauth_crowd`)
	admin(t, `CREATE ROLE mcpauth_crowd LOGIN PASSWORD 'canary-crowd' CONNECTION LIMIT 0`)
	as := func(user, password string, params ...string) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		q := u.Query()
		for i := 0; i < len(params); i += 2 {
			q.Set(params[i], params[i+1])
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := nowhere.Addr().String() // accepts and never answers
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	closed.Close()
	t.Cleanup(func() { nowhere.Close() })
	for name, tt := range map[string]struct {
		url  string
		want error
	}{
		"wrong password":            {as("mcpauth_reader", "canary-wrong"), ErrDenied},
		"no such database":          {strings.Replace(as("mcpauth_reader", "canary-reader"), "/postgres?", "/absent?", 1), ErrDenied},
		"nobody there":              {"postgres://u:canary-pw@" + refused + "/db", ErrUnavailable},
		"accepts and never answers": {"postgres://u:canary-pw@" + silent + "/db?sslmode=disable", ErrTimeout},
		"no table and no right":     {as("mcpauth_reader", "canary-reader"), ErrNoTable},
		"too many clients":          {as("mcpauth_crowd", "canary-crowd"), ErrFull},
		"read only":                 {with(t, good, "options", "-cdefault_transaction_read_only=on"), ErrReadOnly},
		"too old":                   {"postgres://u:canary-pw@" + oldServer(t) + "/db?sslmode=disable", ErrTooOld},
		"no TLS there":              {as("postgres", "canary-pw", "sslmode", "require"), ErrUnavailable},
		"not a URL":                 {"postgres://u:canary-pw@host:port/db", ErrUnavailable},
		"not words":                 {"host=localhost password='canary-pw", ErrUnavailable},
		"a key that is not there":   {as("mcpauth_reader", "canary-reader", "sslrootcert", "/canary-absent"), ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := machine(t, tt.url, key)
			_, getErr := s.Get(t.Context(), testKey())
			_, lockErr := s.Lock(t.Context(), testKey(), LockCredential)
			for op, err := range map[string]error{"get": getErr, "lock": lockErr, "probe": s.Writable(t.Context(), testKey())} {
				if op == "get" && errors.Is(err, ErrNotFound) && tt.want == ErrReadOnly || op != "probe" && err == nil && tt.want == ErrReadOnly {
					continue // the table exists, so get and lock need not write to the read-only database
				}
				wantErr(t, err, tt.want)
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(strings.ReplaceAll(text, "canary-absent", ""), "canary") {
					t.Errorf("%s: the password is in %s", op, text)
				}
			}
		})
	}
}

// with adds a parameter to a connection string.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// oldServer starts a server that claims to be PostgreSQL 9.6.
func oldServer(t *testing.T) string {
	t.Helper()
	return fakeDatabase(t, func(b *pgproto3.Backend) {
		if _, err := b.ReceiveStartupMessage(); err == nil {
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "9.6.24"})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			_ = b.Flush()
			_, _ = b.Receive() // until the client closes the connection
		}
	})
}

// cutOff ends the session that holds the lock, like a restart, a fail-over or a network failure.
func (s *testStore) cutOff(t *testing.T) {
	t.Helper()
	admin(t, `SELECT pg_terminate_backend(`+s.postgres.heldSession(testKey()).backend+`, 5000)`)
}

// If a machine loses its lock during a refresh, it can still store the result, and no other machine can acquire the lock before that.
func TestHolderLosesItsConnection(t *testing.T) {
	address, key := schemaFor(t, t.TempDir())
	a, b := machine(t, address, key), machine(t, address, key)
	a.put(t, testKey(), "one")
	unlock, r := renewing(t, a)
	a.cutOff(t)
	_, err := b.Lock(t.Context(), testKey(), LockCredential)
	wantErr(t, err, ErrBusy)
	b.want(t, testKey(), "one")
	wantErr(t, a.Note(t.Context(), testKey(), "intent", []byte("x")), ErrUnavailable) // Note needs the lock
	r.Secret = []byte("two")
	if r, err = a.Put(t.Context(), testKey(), r); err != nil || r.Generation != 2 {
		t.Fatal(r, err)
	}
	unlock()
	unlock, err = b.Lock(t.Context(), testKey(), LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	b.want(t, testKey(), "two")
}

// If a machine loses its lock during a refresh and another machine refreshes after claimTime, the first machine's put fails.
func TestHolderComesBackTooLate(t *testing.T) {
	address, key := schemaFor(t, t.TempDir())
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("the other one has stored: %v", done), func(t *testing.T) {
			a, b := machine(t, address, key), machine(t, address, key)
			a.put(t, testKey(), "one")
			unlockA, mine := renewing(t, a)
			defer unlockA()
			a.cutOff(t)
			if _, err := a.postgres.plain(t, `UPDATE mcpauth_credentials SET claimed_at = claimed_at - interval '40 seconds'`); err != nil {
				t.Fatal(err)
			}
			unlockB, theirs := renewing(t, b)
			defer unlockB()
			if done {
				theirs.Secret = []byte("theirs")
				if _, err := b.Put(t.Context(), testKey(), theirs); err != nil {
					t.Fatal(err)
				}
			}
			mine.Secret = []byte("mine")
			_, err := a.Put(t.Context(), testKey(), mine)
			wantErr(t, err, ErrBusy)
			if !done {
				theirs.Secret = []byte("theirs")
				if _, err := b.Put(t.Context(), testKey(), theirs); err != nil {
					t.Fatal(err)
				}
			}
			b.want(t, testKey(), "theirs")
			if err := b.Delete(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A person who can write to the table cannot keep others from renewing a login for good.
func TestClaimOfTheFuture(t *testing.T) {
	address, key := schemaFor(t, t.TempDir())
	a, b := machine(t, address, key), machine(t, address, key)
	a.put(t, testKey(), "one")
	unlock, _ := renewing(t, a)
	defer unlock()
	a.cutOff(t)
	if _, err := a.postgres.plain(t, `UPDATE mcpauth_credentials SET claimed_at = 'infinity'`); err != nil {
		t.Fatal(err)
	}
	free, err := b.TryLock(t.Context(), testKey(), LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	free()
}

// plain runs a statement on a separate connection.
func (p *postgres) plain(t *testing.T, sql string) ([][][]byte, error) {
	conn, err := p.connect(t.Context())
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	return runSQL(t.Context(), conn, sql)
}

// A process that is killed during a refresh leaves a claim. Other processes on its machine can acquire the lock at once; other machines
// must wait.
func TestHolderIsKilled(t *testing.T) {
	dir := shared(t, Postgres)
	s, err := openDisk(dir, Postgres)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), testKey(), Record{Secret: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	cmd := holder(t, "renewing", dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	other := machine(t, s.o.URL, s.o.KeyFile)
	_, err = other.Lock(t.Context(), testKey(), LockCredential)
	wantErr(t, err, ErrBusy)
	unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), testKey())
	if err == nil {
		err = s.Reserve(t.Context(), testKey())
	}
	if err == nil {
		r, err = s.Put(t.Context(), testKey(), r)
	}
	unlock()
	if err != nil || r.Generation != 2 {
		t.Fatal(r, err)
	}
	if unlock, err = other.Lock(t.Context(), testKey(), LockCredential); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// A refresh that stores nothing and a logout leave no row.
func TestPostgresLeavesNothing(t *testing.T) {
	s := openTest(t, t.TempDir(), Postgres, newFake(), generous())
	s.refuse(t, testKey())
	if left := rowsOf(t, s); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	s.put(t, testKey(), "x")
	if err := s.Note(t.Context(), testKey(), "journal", []byte("[]")); err != nil {
		t.Fatal(err)
	}
	s.refuse(t, testKey())
	if err := s.Delete(t.Context(), testKey()); err != nil {
		t.Fatal(err)
	}
	if left := rowsOf(t, s); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// Lock rejects a pooler in transaction mode and accepts one in session mode.
func TestPoolers(t *testing.T) {
	for mode, variable := range map[string]string{"transaction": "MCPAUTH_TEST_POOLER_TRANSACTION", "session": "MCPAUTH_TEST_POOLER_SESSION"} {
		t.Run(mode, func(t *testing.T) {
			address := os.Getenv(variable)
			if address == "" {
				t.Fatalf("%s names no pooler: run scripts/fleet", variable)
			}
			s := machine(t, address, identity(t, t.TempDir(), "key", false))
			if mode == "session" {
				s.put(t, testKey(), "x")
				s.refresh(t, testKey(), "y")
				s.want(t, testKey(), "y")
				return
			}
			_, err := s.Lock(t.Context(), testKey(), LockLogin)
			wantErr(t, err, ErrPooled)
		})
	}
}

// The database, its dump and its log contain no secret, although the server logs every statement with its parameters.
func TestDatabaseHoldsNoSecret(t *testing.T) {
	s := openTest(t, t.TempDir(), Postgres, newFake(), generous())
	for range 3 {
		s.put(t, testKey(), "canary-token")
		s.refresh(t, testKey(), "canary-token-2")
	}
	admin(t, `CHECKPOINT`)
	folder := string(admin(t, `SHOW data_directory`)[0][0])
	seen := map[string]bool{}
	for _, root := range []string{folder, os.Getenv("MCPAUTH_TEST_POSTGRES_LOG")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // the running server creates and deletes files
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			seen[filepath.Base(filepath.Dir(path))] = true
			if bytes.Contains(data, []byte("canary-token")) {
				t.Errorf("%s holds the secret", path)
			}
			if bytes.Contains(data, []byte(testKey().name())) {
				seen["the row"] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !seen["pg_wal"] || !seen["the row"] {
		t.Errorf("looked in the wrong place: %v", seen)
	}
	dump, err := exec.Command("pg_dump", "--dbname", serverURL).Output()
	if err != nil || !bytes.Contains(dump, []byte(testKey().name())) || bytes.Contains(dump, []byte("canary-token")) {
		t.Errorf("dump of %d bytes, %v", len(dump), err)
	}
}

// docs/fleet.sql contains the statement createTable.
func TestTableIsDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/fleet.sql")
	if err != nil || !strings.Contains(string(data), createTable+";") {
		t.Errorf("docs/fleet.sql: %v", err)
	}
}

// Somebody who can write to the table and knows the recipient, but not the identity, cannot make the store return anything that a holder of
// the key file has not stored under that key.
func TestForgedRow(t *testing.T) {
	address, keyFile := schemaFor(t, t.TempDir())
	s := machine(t, address, keyFile)
	k, err := readKeys(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	evil, err := readKeys(identity(t, t.TempDir(), "key", false))
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := testKey(), Key{Server: "https://evil.example"}
	texts := authenticatedTexts(mine, 2, json.RawMessage(`{"n":3}`))
	toMe, err := k.encrypt([]byte("canary"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := evil.seal([]byte("canary"), texts...)
	if err != nil {
		t.Fatal(err)
	}
	evil.recipients = k.recipients
	forged, err := evil.seal([]byte("canary"), texts...)
	if err != nil {
		t.Fatal(err)
	}
	relabelled := slices.Concat(keyID(k.authKeys[0]), forged[keyIDSize:])
	for name, set := range map[string]string{
		"public part":                   `public = '{"n":3,"moved":"http://evil.example"}'`,
		"no public part":                `public = NULL`,
		"key":                           `key = '` + keyText(theirs) + `'`,
		"key and name":                  `key = '` + keyText(theirs) + `', name = '` + theirs.name() + `'`,
		"generation":                    `generation = generation + 1`,
		"version":                       `format = 1`,
		"encrypted to the recipient":    fmt.Sprintf(`format = 2, sealed = '\x%x'`, toMe),
		"encrypted part":                fmt.Sprintf(`sealed = substring(sealed FOR %d) || '\x%x'::bytea`, labelSize, toMe),
		"sealed with another key":       fmt.Sprintf(`sealed = '\x%x'`, elsewhere),
		"sealed for the recipient":      fmt.Sprintf(`sealed = '\x%x'`, forged),
		"with the ID of the key":        fmt.Sprintf(`sealed = '\x%x'`, relabelled),
		"cut":                           `sealed = substring(sealed FOR 40)`,
		"nothing":                       `sealed = NULL`,
		"a row of an early version":     fmt.Sprintf(`format = 1, sealed = '\x%x'`, toMe),
		"a note":                        `notes = '{"intent":"canary"}'`,
		"a note under another name":     `notes = jsonb_build_object('intent', notes ->> 'journal')`,
		"a note sealed by somebody":     fmt.Sprintf(`notes = jsonb_build_object('intent', encode('\x%x'::bytea, 'base64'))`, forged),
		"a note with the ID of the key": fmt.Sprintf(`notes = jsonb_build_object('intent', encode('\x%x'::bytea, 'base64'))`, relabelled),
	} {
		t.Run(name, func(t *testing.T) {
			s.put(t, mine, "one")
			for _, note := range []string{"intent", "journal"} {
				if err := s.Note(t.Context(), mine, note, []byte("mine")); err != nil {
					t.Fatal(err)
				}
			}
			admin(t, `UPDATE `+s.schema(t)+`.mcpauth_credentials SET `+set)
			if strings.HasPrefix(name, "a note") {
				note, err := s.ReadNote(t.Context(), mine, "intent")
				if !refusesForgery(err) {
					t.Errorf("note %q, %v", note, err)
				}
			} else {
				all, listErr := s.List(t.Context())
				_, err := s.Get(t.Context(), theirs)
				if _, mineErr := s.Get(t.Context(), mine); !strings.HasPrefix(name, "key") {
					err = mineErr
				}
				whole := name == "encrypted part" // List does not read it
				if !errors.Is(listErr, ErrCorrupt) != whole || len(all) > 0 != whole || !refusesForgery(err) && name != "key" {
					t.Errorf("list %+v, %v; get %v", all, listErr, err)
				}
			}
			admin(t, `TRUNCATE `+s.schema(t)+`.mcpauth_credentials`)
		})
	}
}

func refusesForgery(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrKeyFile) }

// schema returns the schema of a store's table.
func (s *testStore) schema(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.o.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}

// If another user of the database creates functions and operators in a schema of the search_path, no statement calls them. PostgreSQL would
// prefer one of them to a built-in one if its argument types were nearer to those of the call (CVE-2018-1058).
func TestForeignFunctions(t *testing.T) {
	checkCalls(t)
	address, keyFile := schemaFor(t, t.TempDir())
	a, b := machine(t, address, keyFile), machine(t, address, keyFile)
	schema := a.schema(t)
	createOperators(t, schema)

	a.put(t, testKey(), "one")
	if err := a.Note(t.Context(), testKey(), "intent", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if note, err := a.ReadNote(t.Context(), testKey(), "intent"); err != nil || string(note) != "mine" {
		t.Errorf("note %q, %v", note, err)
	}
	unlock, r := renewing(t, a)
	a.cutOff(t)
	_, err := b.Lock(t.Context(), testKey(), LockCredential)
	wantErr(t, err, ErrBusy)
	if _, err := a.Put(t.Context(), testKey(), r); err != nil {
		t.Error(err)
	}
	unlock()
	if err := a.postgres.deleteNote(t.Context(), testKey(), "intent"); err != nil {
		t.Error(err)
	}
	a.refuse(t, testKey())
	if all, err := b.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("list %v, %v", all, err)
	}
	if err := b.Delete(t.Context(), testKey()); err != nil {
		t.Error(err)
	}
	b.refuse(t, testKey())
	if called := string(admin(t, `SELECT is_called FROM `+schema+`.called`)[0][0]); called != "f" {
		t.Error("a foreign operator was called")
	}
}

// If the search_path names pg_catalog after another schema, the objects of that schema come first. In such a session, the store sends no
// statement that uses one of them, and neither does the driver for target_session_attrs.
func TestCatalogComesLast(t *testing.T) {
	address, keyFile := schemaFor(t, t.TempDir())
	schema := machine(t, address, keyFile).schema(t)
	createOperators(t, schema)
	admin(t, `CREATE FUNCTION `+schema+`.checked(v pg_catalog.name) RETURNS boolean LANGUAGE plpgsql
		AS $$ BEGIN PERFORM pg_catalog.nextval('`+schema+`.called'); RETURN true; END $$`)
	admin(t, `CREATE DOMAIN `+schema+`.name AS pg_catalog.name CHECK (`+schema+`.checked(VALUE))`)
	admin(t, `CREATE FUNCTION `+schema+`.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql
		AS $$ BEGIN PERFORM pg_catalog.nextval('`+schema+`.called'); RETURN false; END $$`)
	for _, attrs := range []string{"any", "read-write", "primary", "prefer-standby"} {
		for path, want := range map[string]error{schema + ",pg_catalog": ErrSearchPath, `"$user",` + schema: nil} {
			s := machine(t, with(t, with(t, serverURL, "search_path", path), "target_session_attrs", attrs), keyFile)
			unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
			if err == nil {
				unlock()
			}
			_, putErr := s.Put(t.Context(), testKey(), Record{})
			if !errors.Is(err, want) || want != nil && !errors.Is(putErr, want) {
				t.Errorf("%s, %s: lock %v, put %v", path, attrs, err, putErr)
			}
			if called := string(admin(t, `SELECT is_called FROM `+schema+`.called`)[0][0]); called != "f" {
				t.Fatalf("%s, %s: a foreign function was called", path, attrs)
			}
		}
	}
}

// createOperators creates operators with the names that the store's statements use, for many types. An operator that is called fails, and sets
// is_called of the sequence "called".
func createOperators(t *testing.T, schema string) {
	t.Helper()
	sql := "CREATE SEQUENCE " + schema + ".called;"
	types := []string{"text", "name", "varchar", `"char"`, "smallint", "integer", "bigint", "numeric", "float8", "boolean", "bytea", "json", "jsonb", "timestamptz", "timestamp", "interval"}
	for _, left := range types {
		for _, right := range types {
			sql += fmt.Sprintf(`CREATE FUNCTION %[1]s.foreign(a %[2]s, b %[3]s) RETURNS boolean LANGUAGE plpgsql
				AS $$ BEGIN PERFORM nextval('%[1]s.called'); RAISE EXCEPTION 'a foreign operator was called'; END $$;`, schema, left, right)
			for _, operator := range []string{"=", "<>", "<", "<=", ">", ">=", "||", "-", "+", "->>", "?"} {
				sql += fmt.Sprintf("CREATE OPERATOR %[1]s.%[2]s (LEFTARG = %[3]s, RIGHTARG = %[4]s, FUNCTION = %[1]s.foreign);", schema, operator, left, right)
			}
		}
	}
	conn, err := pgconn.Connect(t.Context(), serverURL)
	if err == nil {
		defer closeConn(conn)
		_, err = conn.Exec(t.Context(), sql).ReadAll()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkCalls checks that each statement in the source names the schema pg_catalog before each function that it calls.
func checkCalls(t *testing.T) {
	t.Helper()
	calls := 0
	for _, file := range []string{"postgres.go", "pglock.go", "pgnote.go", "pgsession.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range strings.Split(string(source), "`") {
			if i%2 == 0 {
				continue // not between two backquotes, so not SQL
			}
			for _, call := range regexp.MustCompile(`[\w.]*[a-z_]\(`).FindAllString(text, -1) {
				if calls++; !strings.HasPrefix(call, "pg_catalog.") {
					t.Errorf("%s: %s has no schema", file, call)
				}
			}
		}
	}
	if calls == 0 {
		t.Error("no statement was found")
	}
}

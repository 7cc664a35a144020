package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	oldestServer = 12 // oldest supported major version of PostgreSQL; the first with tcp_user_timeout

	firstPgPoll = 20 * time.Millisecond
	lastPgPoll  = 250 * time.Millisecond

	// idleTime is how long an unused connection stays open for the next statement of the same command.
	idleTime = time.Second

	// sessionSettings make the server end the session and release its locks if the client cannot be reached for 25 s. The tcp settings have
	// no effect on a Unix socket. synchronous_commit ensures that a committed record is on disk.
	sessionSettings = `SELECT pg_catalog.set_config('tcp_keepalives_idle', '10', false), pg_catalog.set_config('tcp_keepalives_interval', '5', false),
		pg_catalog.set_config('tcp_keepalives_count', '3', false), pg_catalog.set_config('tcp_user_timeout', '20000', false),
		pg_catalog.set_config('statement_timeout', '10000', false), pg_catalog.set_config('synchronous_commit',
		CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, false)`
	// idleSetting prevents the server from ending an idle session while a user logs in, because the end of the session would release the
	// lock. PostgreSQL 14 introduced this setting.
	idleSetting = `, pg_catalog.set_config('idle_session_timeout', '0', false)`
)

// lockSession is the connection that holds a lock.
type lockSession struct {
	mu         sync.Mutex
	ended      bool // the lock has been released
	conn       *pgconn.PgConn
	backend    string   // process ID of the server's backend
	machine    string   // see machineName
	claim      string   // claim that reserve wrote to the row; "" = no claim
	generation uint64   // generation of the row when reserve wrote the claim
	keys       *ageKeys // read when the row was claimed, because the key file may be deleted or replaced before the new record is stored
}

// heldSession returns the connection that holds LockCredential of the key in this process, or nil.
func (p *postgres) heldSession(key Key) *lockSession {
	s, _ := p.held.Load(key.name())
	held, _ := s.(*lockSession)
	return held
}

// query runs a statement. If this process holds the key's lock, query uses only the connection of the lock, so that a statement fails if
// the lock is lost. Without the lock, query uses any connection, and repeats the statement on another one if the connection breaks.
func (p *postgres) query(ctx context.Context, key Key, sql string, args ...any) ([][][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if s := p.heldSession(key); s != nil {
		if rows, ended, err := s.query(ctx, sql, args...); !ended {
			return rows, err
		}
	}
	for {
		conn, err := p.connect(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := runOrCreate(ctx, conn, sql, args...)
		p.keepIdle(conn, err)
		if !connectionLost(err) || ctx.Err() != nil {
			return rows, err
		}
	}
}

// query runs a statement. ended reports whether another goroutine has already released the lock.
func (s *lockSession) query(ctx context.Context, sql string, args ...any) (rows [][][]byte, ended bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, true, nil
	}
	if s.conn.IsClosed() {
		return nil, false, &brokenError{fmt.Errorf("%w: lost the database connection that held the lock", ErrUnavailable)}
	}
	rows, err = runOrCreate(ctx, s.conn, sql, args...)
	return rows, false, err
}

// runOrCreate runs a statement. If the table does not exist, runOrCreate creates the table and runs the statement again.
func runOrCreate(ctx context.Context, conn *pgconn.PgConn, sql string, args ...any) ([][][]byte, error) {
	rows, err := runSQL(ctx, conn, sql, args...)
	if !errors.Is(err, ErrNoTable) {
		return rows, err
	}
	_, createErr := runSQL(ctx, conn, createTable)
	if errors.Is(createErr, ErrReadOnly) || errors.Is(createErr, ErrUnavailable) || errors.Is(createErr, ErrTimeout) {
		return nil, createErr
	}
	again, err := runSQL(ctx, conn, sql, args...) // even after createErr: another process may have created the table
	if errors.Is(err, ErrNoTable) && createErr != nil {
		return nil, fmt.Errorf("%w, and it cannot be created: %w", ErrNoTable, createErr)
	}
	return again, err
}

// Keys of PgConn.CustomData.
const (
	passwordKey = "password" // the password, which errors must not contain
	connKey     = "wire"
)

const (
	selectedColumns = 6        // maximum number of columns that a statement selects
	maxRows         = 100_000  // maximum number of rows in an answer
	maxAnswer       = 64 << 20 // maximum size of an answer in bytes
)

// errDistrust means that the server sent an answer that no PostgreSQL server sends, or that another user may have created the server's
// socket.
var errDistrust = errors.New("the database is not trusted")

// isDistrusted reports whether the database did what no PostgreSQL server does, so that another attempt is useless.
func isDistrusted(err error) bool {
	_, tooLong := errors.AsType[*pgproto3.ExceededMaxBodyLenErr](err)
	return tooLong || errors.Is(err, errDistrust)
}

// limitedConn is the network connection to a database. At most maxAnswer bytes are read for each statement.
type limitedConn struct {
	net.Conn
	unread atomic.Int64
}

func (w *limitedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.unread.Add(int64(-n)) < 0 {
		return 0, fmt.Errorf("%w: it sent more than %d bytes", errDistrust, maxAnswer)
	}
	return n, err
}

// runSQL runs one statement. Arguments are text, numbers, bytes or nil.
func runSQL(ctx context.Context, conn *pgconn.PgConn, sql string, args ...any) ([][][]byte, error) {
	values, formats := make([][]byte, len(args)), make([]int16, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case nil:
		case []byte:
			values[i], formats[i] = a, 1
		default:
			values[i] = fmt.Append(nil, a)
		}
	}
	if wire, ok := conn.CustomData()[connKey].(*limitedConn); ok {
		wire.unread.Store(maxAnswer)
	}
	var rows [][][]byte
	result := conn.ExecParams(ctx, sql, values, nil, formats, nil)
	for len(rows) < maxRows && result.NextRow() {
		row := make([][]byte, max(selectedColumns, len(result.Values()))) // a column that the server leaves out counts as NULL
		for i, value := range result.Values() {
			row[i] = bytes.Clone(value)
		}
		rows = append(rows, row)
	}
	if len(rows) == maxRows {
		closeConn(conn)
		return nil, fmt.Errorf("%w: %w: it sent more than %d rows", ErrUnavailable, errDistrust, maxRows)
	}
	_, err := result.Close()
	password, _ := conn.CustomData()[passwordKey].(string)
	sorted := classifyPg(ctx, err, password)
	if err != nil && conn.IsClosed() && !isDistrusted(err) {
		sorted = &brokenError{sorted}
	}
	return rows, sorted
}

// runForValue runs a statement that returns one value.
func runForValue(ctx context.Context, conn *pgconn.PgConn, sql string, args ...any) (string, error) {
	rows, err := runSQL(ctx, conn, sql, args...)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%w: %w: it sent no row", ErrUnavailable, errDistrust)
	}
	if err != nil {
		return "", err
	}
	return string(rows[0][0]), nil
}

// brokenError means that the connection ended during a statement. The server may or may not have executed the statement.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

func connectionLost(err error) bool {
	_, ok := errors.AsType[*brokenError](err)
	return ok
}

// connect returns the idle connection or a new one. While the database restarts, fails over or has too many clients, connect tries again.
func (p *postgres) connect(ctx context.Context) (*pgconn.PgConn, error) {
	if conn := p.takeIdle(); conn != nil {
		return conn, nil
	}
	config, err := p.parseConfig(ctx)
	if err != nil {
		return nil, err
	}
	var reason error
	for wait := firstPgPoll; ; wait = min(wait*3/2, lastPgPoll) {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err == nil && serverVersion(conn) < oldestServer {
			closeConn(conn)
			version := conn.ParameterStatus("server_version")
			return nil, fmt.Errorf("%w: the server is PostgreSQL %s, but %d or newer is required", ErrTooOld, safePgText(version[:min(len(version), 40)], config.Password), oldestServer)
		}
		if err == nil {
			return conn, nil
		}
		if errors.Is(err, ErrSearchPath) {
			return nil, ErrSearchPath
		}
		if reason == nil || !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil { // if the time limit ended this attempt, keep the reason of an earlier one
			reason = classifyPg(ctx, err, config.Password)
		}
		if !isTransient(err) || !sleepRandomly(ctx, wait) {
			return nil, reason
		}
	}
}

// checkSearchPath returns ErrSearchPath if the objects of another schema come before those of pg_catalog. If the search_path does not name
// pg_catalog, PostgreSQL searches it first. Every function and type in the statement has its schema, because the order is not checked yet.
func checkSearchPath(ctx context.Context, conn *pgconn.PgConn) error {
	result := conn.ExecParams(ctx, `SELECT pg_catalog.array_position(pg_catalog.current_schemas(false), 'pg_catalog'::pg_catalog.name)`, nil, nil, nil, nil)
	answered, place := result.NextRow() && len(result.Values()) == 1, ""
	if answered {
		place = string(result.Values()[0])
	}
	_, err := result.Close()
	switch {
	case err != nil:
		return err
	case !answered:
		return fmt.Errorf("%w: it did not send its search_path", errDistrust)
	case place != "" && place != "1":
		return ErrSearchPath
	}
	return nil
}

// startupSettings are the settings of a session that the connection string and a service file may contain. The driver sends every parameter that
// it does not know to the server as a setting. Without this list, it would send another file that PGSERVICEFILE names by mistake.
var startupSettings = []string{"application_name", "client_encoding", "options", "search_path", "timezone"}

// parseConfig parses the connection string and reads the files that the string and the environment name. If reading a file blocks,
// parseConfig returns when ctx ends.
func (p *postgres) parseConfig(ctx context.Context) (*pgconn.Config, error) {
	var config *pgconn.Config
	parsed := make(chan error, 1)
	go func() {
		c, err := pgconn.ParseConfig(p.url)
		config = c
		parsed <- err
	}()
	select {
	case err := <-parsed:
		if err != nil {
			return nil, badURL(err)
		}
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: a file of the connection cannot be read (PGPASSFILE, PGSERVICEFILE, PGSSLROOTCERT, PGSSLCERT or PGSSLKEY)", ErrTimeout)
	}
	for name := range config.RuntimeParams {
		if !slices.Contains(startupSettings, strings.ToLower(name)) { // the error does not quote the name, because it may be a part of a secret
			return nil, fmt.Errorf("%w: of the settings of a session, the connection string and the service file may contain only %s",
				ErrParameter, strings.Join(startupSettings, ", "))
		}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "mcpauth"
	}
	config.ConnectTimeout = 0 // ctx limits the time
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	var last *limitedConn
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if network == "unix" {
			if err := checkSocket(conn, os.Geteuid()); err != nil {
				conn.Close()
				return nil, err
			}
		}
		last = &limitedConn{Conn: conn}
		last.unread.Store(maxAnswer)
		return last, nil
	}
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := pgproto3.NewFrontend(r, w)
		f.SetMaxBodyLen(maxAnswer)
		return f
	}
	session := config.ValidateConnect // checks target_session_attrs with a function that has no schema, so checkSearchPath must come first
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[passwordKey], conn.CustomData()[connKey] = config.Password, last
		if serverVersion(conn) < oldestServer {
			return nil // connect refuses it
		}
		if err := checkSearchPath(ctx, conn); err != nil || session == nil {
			return err
		}
		return session(ctx, conn)
	}
	return config, nil
}

// serverVersion returns the major version of the server, or 0 if the server does not report it.
func serverVersion(conn *pgconn.PgConn) int {
	version := conn.ParameterStatus("server_version")
	digits := strings.IndexFunc(version+".", func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(version[:digits])
	return n
}

// keepIdle keeps a connection open for idleTime, for the next statement of the same command.
func (p *postgres) keepIdle(conn *pgconn.PgConn, err error) {
	if connectionLost(err) || conn.IsClosed() {
		closeConn(conn)
		return
	}
	if former := p.idle.Swap(conn); former != nil {
		closeConn(former)
	}
	time.AfterFunc(idleTime, func() {
		if p.idle.CompareAndSwap(conn, nil) {
			closeConn(conn)
		}
	})
}

func (p *postgres) takeIdle() *pgconn.PgConn {
	conn := p.idle.Swap(nil)
	//lint:ignore SA1019 CheckConn is good enough: statements outside a lock are repeated on another connection
	if conn != nil && conn.CheckConn() != nil {
		closeConn(conn)
		return nil
	}
	return conn
}

func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

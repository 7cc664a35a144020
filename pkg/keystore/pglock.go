package keystore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// lock acquires a lock of the key in the database. The caller already holds the lock on this machine, so that only one process per machine
// waits for the database. If lock fails, it releases the local lock. If wait is false, lock tries only once.
func (p *postgres) lock(ctx context.Context, key Key, purpose, localPath string, freeLocal func(), wait bool) (unlock func(), err error) {
	defer func() {
		if err != nil {
			freeLocal()
			err = withOp("lock", Postgres, err)
		}
	}()
	machine := machineName(localPath)
	var s *lockSession
	for next, taken := firstPgPoll, false; !taken; next = min(next*3/2, lastPgPoll) {
		if s == nil {
			s, err = p.newSession(ctx, machine)
		}
		if s != nil {
			if taken, err = p.tryLock(ctx, s, key, purpose); err != nil {
				closeConn(s.conn)
				s = nil
			}
		}
		if err != nil && (!wait || !connectionLost(err)) {
			return nil, err
		}
		if !taken && (!wait || !sleepRandomly(ctx, next)) {
			if s != nil {
				closeConn(s.conn)
			}
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, withPath(key.name(), ErrBusy)
		}
	}
	if purpose == LockCredential { // query uses this session for statements about the key
		p.held.Store(key.name(), s)
	}
	return func() {
		p.held.CompareAndDelete(key.name(), s)
		s.mu.Lock() // another goroutine may be using the connection
		defer s.mu.Unlock()
		s.ended = true
		closeConn(s.conn)
		freeLocal()
	}, nil
}

// machineName returns a hash that identifies a lock file of this machine, followed by host name and process ID. Other machines compare only
// the hash. The host name and the process ID are for people who read the table.
func machineName(lock string) string {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // only on Linux; differs between copies of a virtual machine
	file := ""
	if info, err := os.Stat(lock); err == nil {
		file = fileID(info)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", host, boot, lock, file))
	return fmt.Sprintf("%x %s process %d", sum[:8], host, os.Getpid())
}

func (p *postgres) newSession(ctx context.Context, machine string) (*lockSession, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &lockSession{conn: conn, machine: machine}
	s.backend, err = runForValue(ctx, conn, `SELECT pg_catalog.pg_backend_pid()`)
	if err == nil && s.backend != strconv.FormatUint(uint64(conn.PID()), 10) {
		err = p.checkPooler(ctx, s)
	}
	if err == nil {
		settings := sessionSettings
		if serverVersion(conn) >= 14 {
			settings += idleSetting
		}
		_, err = runSQL(ctx, conn, settings)
	}
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	return s, nil
}

// tryLock acquires the lock, unless another session holds it or another machine has claimed the row.
func (p *postgres) tryLock(ctx context.Context, s *lockSession, key Key, purpose string) (bool, error) {
	const id = `pg_catalog.hashtextextended(COALESCE(pg_catalog.current_schema()::text, '') || '.mcpauth.' || $1::text, 0::bigint)`
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	name := key.name() + "." + purpose
	taken, err := runForValue(ctx, s.conn, `SELECT pg_catalog.pg_try_advisory_lock(`+id+`)`, name)
	if err != nil || taken != "t" || purpose != LockCredential {
		return taken == "t", err
	}
	claimed, err := runOrCreate(ctx, s.conn, `SELECT 1 FROM mcpauth_credentials WHERE name = $1 AND claim IS NOT NULL
		AND pg_catalog.split_part(claimed_by, ' ', 1) <> pg_catalog.split_part($2::text, ' ', 1)
		AND claimed_at BETWEEN pg_catalog.now() - pg_catalog.make_interval(secs => $3::float8) AND pg_catalog.now() + pg_catalog.make_interval(secs => $3::float8)`,
		key.name(), s.machine, claimTime.Seconds())
	if err != nil || len(claimed) == 0 {
		return err == nil, err
	}
	_, err = runSQL(ctx, s.conn, `SELECT pg_catalog.pg_advisory_unlock(`+id+`)`, name)
	return false, err
}

var errPooled = fmt.Errorf("%w: a pooler in transaction mode is between mcpauth and the database, and cannot hold a lock", ErrPooled)

// checkPooler returns errPooled if a connection pooler between mcpauth and the database is in transaction mode. A pooler is present if the
// process ID of the backend differs from the one that the server announced. In transaction mode, a second connection to the pooler gets the
// backend that the first connection has just used. In session mode, the second connection never gets the backend of the first connection.
func (p *postgres) checkPooler(ctx context.Context, s *lockSession) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	config, err := p.parseConfig(ctx)
	if err != nil {
		return err
	}
	other, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil // session mode, and the pooler has no backend for a second connection
	}
	defer closeConn(other)
	for range 3 {
		if _, err := runSQL(ctx, other, `BEGIN`); err != nil {
			return nil // session mode: no backend became free
		}
		theirs, err := runForValue(ctx, other, `SELECT pg_catalog.pg_backend_pid()`)
		if err != nil {
			return nil
		}
		ours, err := runForValue(ctx, s.conn, `SELECT pg_catalog.pg_backend_pid()`)
		if err != nil {
			return err
		}
		if theirs == s.backend || ours != s.backend {
			return errPooled
		}
		if _, err := runSQL(ctx, other, `ROLLBACK`); err != nil {
			return err
		}
	}
	return nil
}

package keystore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// createTable is the same as docs/fleet.sql.
const createTable = `CREATE TABLE IF NOT EXISTS mcpauth_credentials (
    name         text PRIMARY KEY,            -- derived from the key
    key          text NOT NULL,               -- server and profile, as JSON
    generation   bigint NOT NULL DEFAULT 0,   -- counts the writes; 0: nothing stored yet
    format       integer NOT NULL DEFAULT 1,  -- of the row
    sealed       bytea,                       -- the record, encrypted with age and authenticated by the client
    public       json,                        -- what "mcpauth status" shows, authenticated with the record
    notes        jsonb NOT NULL DEFAULT '{}', -- intent and journal of renewals, sealed like the record
    claim        text,                        -- names the renewal under way
    claimed_by   text,                        -- machine and process that renews
    claimed_at   timestamptz,
    updated      timestamptz NOT NULL DEFAULT pg_catalog.now()
)`

// rowVersion is the format version of new rows. Rows of version 1 were not authenticated.
const rowVersion = 2

const (
	// recoverTime limits the attempts to store a record after the connection was lost.
	recoverTime = 30 * time.Second
	// claimTime is how long a claim is valid after its holder has lost the lock. A token request begins at most claimLead after the claim
	// and takes at most 30 s, so the request ends before the claim expires.
	claimTime = 40 * time.Second
	claimLead = 4 * time.Second
)

// postgres stores credentials in a table that many machines share. The client encrypts the records. The locks are PostgreSQL's
// session-level advisory locks, on a connection that stays open while the lock is held.
//
// An advisory lock ends with its connection. After a restart of the database or a network failure, another machine could acquire the lock
// while the first machine is still redeeming the refresh token. For this case, reserve also writes a claim to the row. Until claimTime has
// passed, no other machine can acquire the lock of the row. The owner of the claim can store its record even without the lock. If another
// machine renews after claimTime, it replaces the claim, and a put of the former owner fails.
//
// In each statement, the functions have the schema pg_catalog, and the operands have the exact types of a built-in operator. Otherwise,
// PostgreSQL could call a function or an operator that another user created in a schema of the search_path. See checkSearchPath.
type postgres struct {
	url     string
	keyFile string
	timeout time.Duration // time limit of each statement, including the time to connect

	held sync.Map // the *lockSession that holds LockCredential, by Key.name
	idle atomic.Pointer[pgconn.PgConn]
}

func (p *postgres) kind() string { return Postgres }

const deleteEmptyRow = `DELETE FROM mcpauth_credentials WHERE name = $1 AND generation = 0 AND claim IS NULL AND notes = '{}'`

const selectEntry = `SELECT key, generation, format, public, name, `

// readRow returns the entry of a credential and its encrypted record. Neither is authenticated yet.
func (p *postgres) readRow(ctx context.Context, key Key) (Entry, []byte, error) {
	rows, err := p.query(ctx, key, selectEntry+`pg_catalog.encode(sealed, 'hex') FROM mcpauth_credentials WHERE name = $1`, key.name())
	if err != nil {
		return Entry{}, nil, err
	}
	if len(rows) == 0 {
		return Entry{}, nil, ErrNotFound
	}
	return parseEntry(rows[0])
}

func (p *postgres) get(ctx context.Context, key Key) (Record, error) {
	e, sealed, err := p.readRow(ctx, key)
	if err != nil {
		return Record{}, err
	}
	k, err := readKeys(p.keyFile)
	if err != nil {
		return Record{}, err
	}
	secret, err := k.unseal(sealed, authenticatedTexts(key, e.Generation, e.Public)...)
	if err != nil {
		return Record{}, withPath(key.name(), err)
	}
	return Record{Generation: e.Generation, Secret: secret, Public: e.Public}, nil
}

// authenticatedTexts returns the texts in a row that are authenticated with the record. unseal fails if the record is from another key or
// an earlier generation, or if the public part was changed.
func authenticatedTexts(key Key, generation uint64, public json.RawMessage) []string {
	return []string{"record", key.name(), strconv.FormatUint(generation, 10), string(public)}
}

// keysFor returns the keys that reserve has read. If reserve was not called, keysFor reads the key file.
func (p *postgres) keysFor(key Key) (*ageKeys, error) {
	if s := p.heldSession(key); s != nil && s.claim != "" {
		return s.keys, nil
	}
	return readKeys(p.keyFile)
}

// put replaces the row only if the row has not changed since put read it or reserve claimed it. If the connection of the lock is lost, put
// uses another one. While the claim is valid, no other machine can renew. If another machine has replaced an expired claim, put fails.
func (p *postgres) put(ctx context.Context, key Key, r Record, _ reservedSpace) (Record, error) {
	if len(r.Secret) > maxSecret {
		return Record{}, tooLarge(len(r.Secret))
	}
	s := p.heldSession(key)
	claim, oldGeneration := "", uint64(0)
	if s != nil && s.claim != "" {
		claim, oldGeneration = s.claim, s.generation
	} else if stored, _, err := p.readRow(ctx, key); err == nil {
		oldGeneration = stored.Generation
	} else if !errors.Is(err, ErrNotFound) {
		return Record{}, err
	}
	r.Generation = max(oldGeneration, r.Generation) + 1
	k, err := p.keysFor(key)
	if err != nil {
		return Record{}, err
	}
	sealed, err := k.seal(r.Secret, authenticatedTexts(key, r.Generation, r.Public)...)
	if err != nil {
		return Record{}, err
	}
	if err := p.replaceRow(ctx, key, claim, oldGeneration, r, sealed); err != nil {
		return Record{}, err
	}
	if s != nil {
		s.claim = ""
	}
	return r, nil
}

const (
	setRecord = ` SET key = $2, generation = $3, format = $4, sealed = $5, public = $6, updated = pg_catalog.now(), claim = NULL, claimed_by = NULL, claimed_at = NULL
		WHERE c.name = $1 AND c.generation = $7 AND ($8::text IS NULL OR c.claim = $8) RETURNING pg_catalog.encode(sealed, 'hex')`
	updateRecord = `UPDATE mcpauth_credentials AS c` + setRecord
	insertRecord = `INSERT INTO mcpauth_credentials AS c (name, key, generation, format, sealed, public) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (name) DO UPDATE` + setRecord
)

// replaceRow replaces the row if it has the generation oldGeneration. If claim is not empty, the row must also have that claim.
func (p *postgres) replaceRow(ctx context.Context, key Key, claim string, oldGeneration uint64, r Record, sealed []byte) error {
	sql := updateRecord
	if oldGeneration == 0 && claim == "" {
		sql = insertRecord
	}
	args := []any{key.name(), keyText(key), r.Generation, rowVersion, sealed, nil, oldGeneration, nil}
	if r.Public != nil {
		args[5] = string(r.Public)
	}
	if claim != "" {
		args[7] = claim
	}
	rows, err := p.query(ctx, key, sql, args...)
	if connectionLost(err) {
		rows, err = p.replaceRowAfterLoss(ctx, key, sql, args, r.Generation, sealed)
	}
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%w: another machine has changed or claimed it in the meantime", ErrBusy)
	}
	if string(rows[0][0]) != hex.EncodeToString(sealed) {
		return fmt.Errorf("%w: the stored data differs from the written data", ErrUnwritable)
	}
	return nil
}

// replaceRowAfterLoss repeats the write on other connections. replaceRowAfterLoss reads the row first, because the server may have executed
// the write before the connection broke.
func (p *postgres) replaceRowAfterLoss(ctx context.Context, key Key, sql string, args []any, generation uint64, sealed []byte) ([][][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	for {
		conn, err := p.connect(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := runSQL(ctx, conn, `SELECT pg_catalog.encode(sealed, 'hex') FROM mcpauth_credentials WHERE name = $1 AND generation = $2`, key.name(), generation)
		if err == nil && (len(rows) == 0 || string(rows[0][0]) != hex.EncodeToString(sealed)) {
			rows, err = runSQL(ctx, conn, sql, args...)
		}
		p.keepIdle(conn, err)
		if !connectionLost(err) || ctx.Err() != nil {
			return rows, err
		}
	}
}

// The method reserve writes a claim to the row of the key, and returns an error if the database is read-only or the key file cannot be read.
func (p *postgres) reserve(ctx context.Context, key Key) (reservedSpace, error) {
	k, err := readKeys(p.keyFile)
	if err != nil {
		return nil, err
	}
	s := p.heldSession(key)
	if s == nil {
		return nil, fmt.Errorf("%w: the lock of the credential is not held", ErrBusy)
	}
	claim := rand.Text()
	rows, err := p.query(ctx, key, `INSERT INTO mcpauth_credentials AS c (name, key, claim, claimed_by, claimed_at) VALUES ($1, $2, $3, $4, pg_catalog.now())
		ON CONFLICT (name) DO UPDATE SET claim = $3, claimed_by = $4, claimed_at = pg_catalog.now() WHERE c.format <= $5
		RETURNING generation, pg_catalog.pg_backend_pid()`, key.name(), keyText(key), claim, s.machine, rowVersion)
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, newer(rowVersion+1, rowVersion)
	case string(rows[0][1]) != s.backend:
		return nil, errPooled
	}
	s.claim, s.keys = claim, k
	s.generation, err = strconv.ParseUint(string(rows[0][0]), 10, 64)
	return claimedRow(func(ctx context.Context) { p.releaseClaim(ctx, key, s) }), err
}

// claimedRow releases the claim of this process.
type claimedRow func(ctx context.Context)

func (c claimedRow) release(ctx context.Context) { c(ctx) }

// releaseClaim removes the claim. A row that has neither a record nor notes is deleted.
func (p *postgres) releaseClaim(ctx context.Context, key Key, s *lockSession) {
	if s.claim == "" {
		return
	}
	_, err := p.query(ctx, key, `UPDATE mcpauth_credentials SET claim = NULL, claimed_by = NULL, claimed_at = NULL WHERE name = $1 AND claim = $2`, key.name(), s.claim)
	if err == nil && s.generation == 0 {
		_, _ = p.query(ctx, key, deleteEmptyRow, key.name())
	}
	s.claim = ""
}

func (p *postgres) delete(ctx context.Context, key Key) error {
	if _, _, err := p.readRow(ctx, key); errors.Is(err, ErrNewer) {
		return err
	}
	_, err := p.query(ctx, key, `DELETE FROM mcpauth_credentials WHERE name = $1 AND format <= $2`, key.name(), rowVersion)
	return err
}

func (p *postgres) entries(ctx context.Context, key *Key) ([]Entry, []error) {
	k, err := readKeys(p.keyFile)
	if err != nil {
		return nil, []error{err}
	}
	sql, of, args := fmt.Sprintf(selectEntry+`pg_catalog.encode(pg_catalog.substring(sealed, 1, %d), 'hex') FROM mcpauth_credentials WHERE generation > 0`, labelSize), Key{}, []any(nil)
	if key != nil {
		sql, of, args = sql+` AND name = $1`, *key, []any{key.name()}
	}
	rows, err := p.query(ctx, of, sql+` ORDER BY key`, args...)
	if err != nil {
		return nil, []error{err}
	}
	var all []Entry
	var errs []error
	for _, columns := range rows {
		e, label, err := parseEntry(columns)
		if err == nil {
			err = k.checkLabel(label, authenticatedTexts(e.Key, e.Generation, e.Public)...)
		}
		if errors.Is(err, ErrKeyFile) { // one row of another key file is a fault of the row, because the other rows may be readable
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err != nil {
			name := string(columns[4])
			errs = append(errs, fmt.Errorf("%s: %w", name[:min(len(name), 100)], err))
			continue
		}
		all = append(all, e)
	}
	return all, errs
}

// parseEntry parses a row that was selected with selectEntry. The last column contains the sealed record or its beginning.
func parseEntry(columns [][]byte) (Entry, []byte, error) {
	e := Entry{Backend: Postgres, Public: bytes.Clone(columns[3])}
	format, err := strconv.Atoi(string(columns[2]))
	generation, generationErr := strconv.ParseUint(string(columns[1]), 10, 64)
	sealed, sealedErr := hex.DecodeString(string(columns[5]))
	switch {
	case err == nil && format > rowVersion:
		return Entry{}, nil, newer(format, rowVersion)
	case errors.Join(err, generationErr, sealedErr, json.Unmarshal(columns[0], &e.Key)) != nil, e.Key.name() != string(columns[4]):
		return Entry{}, nil, fmt.Errorf("%w: the row cannot be read", ErrCorrupt)
	case generation == 0:
		return Entry{}, nil, ErrNotFound
	case format < rowVersion:
		return Entry{}, nil, fmt.Errorf("%w: an early version of mcpauth wrote it without authentication", ErrCorrupt)
	}
	e.Generation = generation
	return e, sealed, nil
}

func keyText(key Key) string {
	text, _ := json.Marshal(key) // cannot fail, because a Key has only strings
	return strings.TrimSpace(string(text))
}

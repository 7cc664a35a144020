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
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// createTable is the same as docs/fleet.sql.
const createTable = `CREATE TABLE IF NOT EXISTS mcpauth_credentials (
    name         text PRIMARY KEY,            -- derived from the key
    key          text NOT NULL,               -- server and profile, as JSON
    generation   bigint NOT NULL DEFAULT 0,   -- counts the writes; 0: nothing stored yet
    format       integer NOT NULL DEFAULT 1,  -- of the row
    sealed       bytea,                       -- the record, encrypted with age by the client
    public       json,                        -- what "mcpauth status" shows
    notes        jsonb NOT NULL DEFAULT '{}', -- intent and journal of renewals, without secrets
    claim        text,                        -- names the renewal under way
    claimed_by   text,                        -- machine and process that renews
    claimed_at   timestamptz,
    updated      timestamptz NOT NULL DEFAULT now()
)`

const (
	// recoverTime limits the attempts to store a record after the connection was lost.
	recoverTime = 30 * time.Second
	// claimTime is how long a claim is valid after its holder has lost the lock. A token request takes at most 30 s and begins at most
	// claimLead after the claim, so the claim outlives it.
	claimTime = 40 * time.Second
	claimLead = 4 * time.Second
)

// postgres stores credentials in a table that many machines share. The client encrypts the records. The locks are PostgreSQL's
// session-level advisory locks, on a connection that stays open while the lock is held.
//
// Such a lock ends with its connection. After a restart of the database, a fail-over or a network failure, another machine could acquire
// the lock while the first one still redeems the refresh token. Therefore reserve also writes a claim to the row. For claimTime no other
// machine can acquire the lock of a claimed row, and the owner of the claim can store its record even without the lock. A machine that
// renews after claimTime replaces the claim. The put of the former owner then fails.
type postgres struct {
	url     string
	keyFile string
	timeout time.Duration // time limit of each statement, including the time to connect

	held sync.Map // the *session that holds LockCredential, by Key.name
	idle atomic.Pointer[pgconn.PgConn]
}

func (p *postgres) kind() string { return Postgres }

const selectEntry = `SELECT key, generation, format, public, extract(epoch FROM updated), `

// read returns the entry of a credential and its encrypted record.
func (p *postgres) read(ctx context.Context, key Key) (Entry, []byte, error) {
	rows, err := p.query(ctx, key, selectEntry+`encode(sealed, 'hex') FROM mcpauth_credentials WHERE name = $1`, key.name())
	if err != nil {
		return Entry{}, nil, err
	}
	if len(rows) == 0 {
		return Entry{}, nil, ErrNotFound
	}
	e, err := parseEntry(rows[0])
	if err == nil && e.Generation == 0 {
		err = ErrNotFound
	}
	sealed, _ := hex.DecodeString(string(rows[0][5])) // cannot fail, because encode returns hexadecimal
	return e, sealed, err
}

func (p *postgres) get(ctx context.Context, key Key) (Record, error) {
	e, sealed, err := p.read(ctx, key)
	if err != nil {
		return Record{}, err
	}
	secret, err := p.unseal(key.name(), e.Generation, sealed)
	if err != nil {
		return Record{}, at(key.name(), err)
	}
	return Record{Generation: e.Generation, Secret: secret, Public: e.Public}, nil
}

// unseal decrypts a record. The record contains its key and generation, so that a row with the record of another key or of an earlier
// generation is detected.
func (p *postgres) unseal(name string, generation uint64, sealed []byte) ([]byte, error) {
	record, err := unseal(p.keyFile, sealed)
	if err != nil {
		return nil, err
	}
	h, payload, err := decodeFile(name, record)
	if err == nil && h.Generation != generation {
		err = fmt.Errorf("%w: the record has generation %d, but the row has %d", ErrCorrupt, h.Generation, generation)
	}
	if err != nil {
		return nil, err
	}
	return decodePayload(payload, h.Encoding)
}

func (p *postgres) seal(name string, generation uint64, secret []byte) ([]byte, error) {
	payload, encoding := encodePayload(secret)
	record, _, err := split(name, name, head{Generation: generation, Encoding: encoding}, payload, func(string) int { return maxFile })
	if err != nil {
		return nil, err
	}
	return seal(p.keyFile, []byte(record))
}

// put writes by compare-and-swap on the generation and, if reserve was called, on the claim. If the connection of the lock is lost, put
// uses another one. Because of the claim, no other machine renews meanwhile, or else this put fails.
func (p *postgres) put(ctx context.Context, key Key, r Record, _ place) (Record, error) {
	if len(r.Secret) > maxSecret {
		return Record{}, tooLarge(len(r.Secret))
	}
	name := key.name()
	s := p.session(key)
	claim, base := "", uint64(0)
	if s != nil && s.claim != "" {
		claim, base = s.claim, s.generation
	} else if stored, _, err := p.read(ctx, key); err == nil {
		base = stored.Generation
	} else if !errors.Is(err, ErrNotFound) {
		return Record{}, err
	}
	r.Generation = max(base, r.Generation) + 1
	sealed, err := p.seal(name, r.Generation, r.Secret)
	if err != nil {
		return Record{}, err
	}
	if err := p.swap(ctx, key, claim, base, r, sealed); err != nil {
		return Record{}, err
	}
	if s != nil {
		s.claim = ""
	}
	return r, nil
}

const (
	setRecord = ` SET key = $2, generation = $3, format = $4, sealed = $5, public = $6, updated = now(), claim = NULL, claimed_by = NULL, claimed_at = NULL
		WHERE c.name = $1 AND c.generation = $7 AND ($8::text IS NULL OR c.claim = $8) RETURNING encode(sealed, 'hex')`
	updateRecord = `UPDATE mcpauth_credentials AS c` + setRecord
	insertRecord = `INSERT INTO mcpauth_credentials AS c (name, key, generation, format, sealed, public) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (name) DO UPDATE` + setRecord
)

// swap replaces the row if its generation is base.
func (p *postgres) swap(ctx context.Context, key Key, claim string, base uint64, r Record, sealed []byte) error {
	sql := updateRecord
	if base == 0 && claim == "" {
		sql = insertRecord
	}
	args := []any{key.name(), keyText(key), r.Generation, formatVersion, sealed, nil, base, nil}
	if r.Public != nil {
		args[5] = string(r.Public)
	}
	if claim != "" {
		args[7] = claim
	}
	rows, err := p.query(ctx, key, sql, args...)
	if lost(err) {
		rows, err = p.swapAfterLoss(ctx, key, sql, args, r.Generation, sealed)
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

// swapAfterLoss repeats the write on other connections. It reads the row first, because the server may have executed the write before the
// connection broke.
func (p *postgres) swapAfterLoss(ctx context.Context, key Key, sql string, args []any, generation uint64, sealed []byte) ([][][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	for {
		conn, err := p.connect(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := runSQL(ctx, conn, `SELECT encode(sealed, 'hex') FROM mcpauth_credentials WHERE name = $1 AND generation = $2`, key.name(), generation)
		if err == nil && (len(rows) == 0 || string(rows[0][0]) != hex.EncodeToString(sealed)) {
			rows, err = runSQL(ctx, conn, sql, args...)
		}
		p.park(conn, err)
		if !lost(err) || ctx.Err() != nil {
			return rows, err
		}
	}
}

// reserve claims the row. It also checks that the database is writable and the key file is readable.
func (p *postgres) reserve(ctx context.Context, key Key) (place, error) {
	if _, err := seal(p.keyFile, nil); err != nil {
		return nil, err
	}
	s := p.session(key)
	if s == nil {
		return nil, fmt.Errorf("%w: the lock of the credential is not held", ErrBusy)
	}
	claim := rand.Text()
	rows, err := p.query(ctx, key, `INSERT INTO mcpauth_credentials AS c (name, key, claim, claimed_by, claimed_at) VALUES ($1, $2, $3, $4, now())
		ON CONFLICT (name) DO UPDATE SET claim = $3, claimed_by = $4, claimed_at = now() WHERE c.format <= $5
		RETURNING generation, pg_backend_pid()`, key.name(), keyText(key), claim, s.machine, formatVersion)
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, newer(formatVersion + 1)
	case string(rows[0][1]) != s.backend:
		return nil, errPooled
	}
	s.claim = claim
	s.generation, err = strconv.ParseUint(string(rows[0][0]), 10, 64)
	return claimed{p, key, s}, err
}

// claimed is a row with a claim of this process.
type claimed struct {
	p   *postgres
	key Key
	s   *session
}

// release removes the claim. It deletes the row if that contains no record and no notes.
func (c claimed) release(ctx context.Context) {
	p, key, s := c.p, c.key, c.s
	if s.claim == "" {
		return
	}
	_, err := p.query(ctx, key, `UPDATE mcpauth_credentials SET claim = NULL, claimed_by = NULL, claimed_at = NULL WHERE name = $1 AND claim = $2`, key.name(), s.claim)
	if err == nil && s.generation == 0 {
		_, _ = p.query(ctx, key, `DELETE FROM mcpauth_credentials WHERE name = $1 AND generation = 0 AND claim IS NULL AND notes = '{}'`, key.name())
	}
	s.claim = ""
}

// probe writes and deletes a row that belongs to no credential.
func (p *postgres) probe(ctx context.Context, key Key) error {
	if _, err := seal(p.keyFile, nil); err != nil {
		return err
	}
	if _, _, err := p.read(ctx, key); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	name := key.name() + "#probe." + rand.Text()
	_, err := p.query(ctx, key, `INSERT INTO mcpauth_credentials (name, key) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, keyText(key))
	if err == nil {
		_, err = p.query(ctx, key, `DELETE FROM mcpauth_credentials WHERE name = $1 OR name LIKE $2 AND updated < now() - interval '1 hour'`, name, key.name()+"#probe.%")
	}
	return err
}

func (p *postgres) delete(ctx context.Context, key Key) error {
	if _, _, err := p.read(ctx, key); errors.Is(err, ErrNewer) {
		return err
	}
	_, err := p.query(ctx, key, `DELETE FROM mcpauth_credentials WHERE name = $1 AND format <= $2`, key.name(), formatVersion)
	return err
}

func (p *postgres) entries(ctx context.Context, key *Key) ([]Entry, error) {
	sql, of, args := selectEntry+`NULL FROM mcpauth_credentials WHERE generation > 0`, Key{}, []any(nil)
	if key != nil {
		sql, of, args = sql+` AND name = $1`, *key, []any{key.name()}
	}
	rows, err := p.query(ctx, of, sql+` ORDER BY key`, args...)
	if err != nil {
		return nil, err
	}
	var all []Entry
	var errs []error
	for _, columns := range rows {
		e, err := parseEntry(columns)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, e)
	}
	return all, errors.Join(errs...)
}

func parseEntry(columns [][]byte) (Entry, error) {
	e := Entry{Backend: Postgres, Public: bytes.Clone(columns[3])}
	format, err := strconv.Atoi(string(columns[2]))
	if err == nil && format > formatVersion {
		return Entry{}, at(string(columns[0]), newer(format))
	}
	seconds, timeErr := strconv.ParseFloat(string(columns[4]), 64)
	generation, generationErr := strconv.ParseUint(string(columns[1]), 10, 64)
	if errors.Join(err, timeErr, generationErr, json.Unmarshal(columns[0], &e.Key)) != nil {
		return Entry{}, fmt.Errorf("%w: a row of the table cannot be read", ErrCorrupt)
	}
	e.Generation, e.Updated = generation, time.UnixMicro(int64(seconds*1e6)).UTC()
	return e, nil
}

// The notes of a credential are in its row, because every machine must see that a renewal is in progress.

// writeNote also renews the claim, because the note may be the one that is written just before the refresh token is sent.
func (p *postgres) writeNote(ctx context.Context, key Key, name string, data []byte, _ bool) error {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return fmt.Errorf("%w: a note must be text", ErrUnwritable)
	}
	began := time.Now()
	_, err := p.query(ctx, key, `INSERT INTO mcpauth_credentials AS c (name, key, notes) VALUES ($1, $2, jsonb_build_object($3::text, $4::text))
		ON CONFLICT (name) DO UPDATE SET notes = c.notes || excluded.notes, claimed_at = CASE WHEN c.claim IS NULL THEN NULL ELSE now() END`,
		key.name(), keyText(key), name, string(data))
	if s := p.session(key); err == nil && s != nil && s.claim != "" && time.Since(began) > claimLead {
		return fmt.Errorf("%w: the database is too slow to renew a token safely", ErrTimeout)
	}
	return err
}

func (p *postgres) readNote(ctx context.Context, key Key, name string) ([]byte, error) {
	rows, err := p.query(ctx, key, `SELECT notes ->> $2::text FROM mcpauth_credentials WHERE name = $1 AND notes ? $2::text`, key.name(), name)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrNotFound
	}
	return bytes.Clone(rows[0][0]), nil
}

func (p *postgres) deleteNote(ctx context.Context, key Key, name string) error {
	_, err := p.query(ctx, key, `UPDATE mcpauth_credentials SET notes = notes - $2::text WHERE name = $1`, key.name(), name)
	if err == nil {
		_, err = p.query(ctx, key, `DELETE FROM mcpauth_credentials WHERE name = $1 AND generation = 0 AND claim IS NULL AND notes = '{}'`, key.name())
	}
	return err
}

// deleteNotes does nothing, because the notes were deleted with the row.
func (p *postgres) deleteNotes(context.Context, Key) error { return nil }

func keyText(key Key) string {
	text, _ := json.Marshal(key) // cannot fail, because a Key has only strings
	return strings.TrimSpace(string(text))
}

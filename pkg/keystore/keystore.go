// Package keystore stores credentials in the operating system's keychain, in private files or in a PostgreSQL database. A credential is
// secret bytes under a key, with a generation number and a public part that can be listed without opening the secret. Each key has locks.
//
//	store, err := keystore.Open(keystore.Options{StateDir: state, Dir: data})
//	unlock, err := store.Lock(ctx, key, keystore.LockCredential)
//	defer unlock()
//	record, err := store.Get(ctx, key)         // ErrNotFound: nothing stored
//	err = store.Reserve(ctx, key)              // before a token is used up for the new record
//	record.Secret = changed
//	record, err = store.Put(ctx, key, record)  // writes the next generation and reads it back
//
// It cannot move a credential between backends (log out and log in again). The caller of Put must hold the key's lock.
package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The backends, as Options.Backend and Entry.Backend name them.
const (
	Auto     = "auto"
	Keychain = "keychain"
	File     = "file"
	Postgres = "postgres"
)

// The purposes of a lock.
const (
	LockCredential = "credential" // held around read, decide, redeem, write
	LockLogin      = "login"      // held while a person is asked
)

// Options configures a store.
type Options struct {
	Backend  string           // "keychain", "file", "postgres", or "auto", which "" means: the keychain if there is one, else files
	StateDir string           // folder of index, notes and locks, without secrets
	Dir      string           // folder of the file store
	KeyFile  string           // age identity to which the file and postgres stores are encrypted; "" = not encrypted, files only
	URL      string           // connection string of the postgres store; "" = as libpq's variables say
	Timeout  time.Duration    // limit of each operation on a keychain or database; 0 = 10 s; negative: keychains may take as long as the context allows
	LockWait time.Duration    // limit of the wait for a lock other than LockLogin; 0 = 45 s, longer than any holder should need
	Notice   func(string)     // called once when auto falls back to files, and for warnings; nil = no one
	Now      func() time.Time // nil = time.Now
}

// Key identifies one credential.
type Key struct {
	Server  string `json:"server"`            // canonical URL
	Profile string `json:"profile,omitempty"` // "" = the only one of that server
}

// Record is one stored credential.
type Record struct {
	Generation uint64          // counts the writes of a key, from 1
	Secret     []byte          // opaque
	Public     json.RawMessage // without secrets; nil after Get if it is not known for this generation
}

// String describes the record without its secret.
func (r Record) String() string {
	return fmt.Sprintf("record, generation %d, %d secret bytes", r.Generation, len(r.Secret))
}

// GoString returns String, so that %#v does not print the secret.
func (r Record) GoString() string { return r.String() }

// Entry describes a credential without its secret.
type Entry struct {
	Key        Key
	Backend    string
	Generation uint64
	Public     json.RawMessage
	Updated    time.Time
}

// Store reads and writes credentials. It is safe for use by several goroutines.
type Store struct {
	o        Options
	locks    locks
	notes    notes
	file     *fileStore
	keychain *keychain
	postgres *postgres // nil unless asked for
	noticed  sync.Once

	mu       sync.Mutex
	reserved map[Key]place // what Reserve took, until the lock is given back

	step func(name string) error // tests: called between the steps of a write, and fails or dies there
}

// backend is a place for credentials. The absence of a credential is ErrNotFound.
type backend interface {
	kind() string
	get(ctx context.Context, key Key) (Record, error)
	// put writes a generation above the stored one and above r.Generation, and reads it back: to the place that reserve took, if there is
	// one (else nil). The caller holds the key's lock. If put fails, the old record is still there.
	put(ctx context.Context, key Key, r Record, reserved place) (Record, error)
	// probe proves that a put would succeed, without the key's lock.
	probe(ctx context.Context, key Key) error
	// reserve takes the place that the next put of this key writes to. The caller holds the key's lock.
	reserve(ctx context.Context, key Key) (place, error)
	delete(ctx context.Context, key Key) error
	entries(ctx context.Context, key *Key) ([]Entry, error) // nil: of all keys. Returns the readable ones also with an error
}

// place is where the next record of a key goes. release gives it back unless a put has used it.
type place interface{ release(ctx context.Context) }

const defaultTimeout = 10 * time.Second

// Open returns a store. It opens files, keychain and database only when they are needed.
func Open(o Options) (*Store, error) {
	switch o.Backend {
	case "":
		o.Backend = Auto
	case Auto, Keychain, File:
	case Postgres:
		if o.KeyFile == "" {
			return nil, errors.New("credential store: the postgres store needs a key file")
		}
	default:
		return nil, fmt.Errorf("credential store: unknown backend %q, expected %s, %s, %s or %s", o.Backend, Auto, Keychain, File, Postgres)
	}
	if o.StateDir == "" || o.Dir == "" && o.Backend != Keychain {
		return nil, errors.New("credential store: no folder given")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.LockWait == 0 {
		o.LockWait = 45 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o, locks: locks{o.StateDir}, notes: localNotes{o.StateDir}, reserved: map[Key]place{}}
	now := func() time.Time { return s.o.Now().UTC() }
	env := env{index: index{dir: o.StateDir}, locks: s.locks, now: now, step: s.reached, notice: s.notice}
	s.file = &fileStore{env: env, dir: o.Dir, keyFile: o.KeyFile}
	r, p := systemKeychain()
	s.keychain = newKeychain(env, r, p, o.Timeout)
	if o.Backend == Postgres {
		s.postgres = &postgres{url: o.URL, keyFile: o.KeyFile, timeout: o.Timeout}
		if o.Timeout < 0 {
			s.postgres.timeout = defaultTimeout
		}
		s.notes = s.postgres
	}
	return s, nil
}

// env is what the backends on this machine share.
type env struct {
	index  index
	locks  locks
	now    func() time.Time
	step   func(name string) error
	notice func(text string)
}

func (s *Store) reached(name string) error {
	if s.step == nil {
		return nil
	}
	return s.step(name)
}

func (s *Store) notice(text string) {
	if s.o.Notice != nil {
		s.o.Notice(text)
	}
}

// Get reads a credential. It needs no lock: while another process writes, Get returns the old or the new record.
func (s *Store) Get(ctx context.Context, key Key) (Record, error) {
	b, err := s.holding(ctx, key)
	if err != nil {
		return Record{}, fail("get", "", err)
	}
	r, err := b.get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		err = s.elsewhere(key, b, err)
	}
	return r, fail("get", b.kind(), err)
}

// Put stores a record. Its generation is one more than the stored one, and at least r.Generation+1. The caller holds the key's lock. If Put
// fails, the old record is still stored. After ErrTimeout, the new record may still be written later, which the generations make harmless.
func (s *Store) Put(ctx context.Context, key Key, r Record) (Record, error) {
	b, err := s.forWriting(ctx, key)
	if err != nil {
		return Record{}, fail("put", "", err)
	}
	r.Generation = max(r.Generation, s.generationElsewhere(key, b))
	s.mu.Lock()
	reserved := s.reserved[key]
	s.mu.Unlock()
	r, err = b.put(ctx, key, r, reserved)
	return r, fail("put", b.kind(), err)
}

// Writable proves that a Put for this key can succeed: it writes, reads and deletes a probe.
func (s *Store) Writable(ctx context.Context, key Key) error {
	b, err := s.forWriting(ctx, key)
	if err != nil {
		return fail("probe", "", err)
	}
	if err := s.locks.makeFile(key, LockCredential); err != nil { // another process may hold it just now
		return fail("probe", "", err)
	}
	wait, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	unlock, err := s.Lock(wait, key, "probe") // two probes would use the same names
	if err != nil {
		return err
	}
	defer unlock()
	return fail("probe", b.kind(), b.probe(ctx, key))
}

// probeWait limits the wait for another process's probe.
const probeWait = 10 * time.Second

// Reserve allocates the space for the next Put of this key, which proves that the store is writable. The caller holds LockCredential of the
// key; unlocking frees space that no Put has used.
func (s *Store) Reserve(ctx context.Context, key Key) error {
	b, err := s.forWriting(ctx, key)
	if err != nil {
		return fail("reserve", "", err)
	}
	s.release(key)
	reserved, err := b.reserve(ctx, key)
	if err != nil {
		return fail("reserve", b.kind(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved[key] = reserved
	return nil
}

// release gives back what Reserve took and Put did not use.
func (s *Store) release(key Key) {
	s.mu.Lock()
	reserved := s.reserved[key]
	delete(s.reserved, key)
	s.mu.Unlock()
	if reserved == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
	defer cancel()
	reserved.release(ctx)
}

// Delete removes a credential and its notes from every backend that has it. It succeeds if there is none.
func (s *Store) Delete(ctx context.Context, key Key) error {
	places, err := s.forDeleting(ctx, key)
	if err != nil {
		return fail("delete", "", err)
	}
	var errs []error
	for _, b := range places {
		errs = append(errs, fail("delete", b.kind(), b.delete(ctx, key)))
	}
	return errors.Join(append(errs, fail("delete", "", s.notes.deleteNotes(ctx, key)))...)
}

// List returns the entries of all credentials without opening their secrets. It reports damaged entries in the error and still returns the
// others.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	return s.entries(ctx, "list", nil)
}

// Entry returns the entry of one credential without opening its secret, or ErrNotFound.
func (s *Store) Entry(ctx context.Context, key Key) (Entry, error) {
	entries, err := s.entries(ctx, "entry", &key)
	if err == nil && len(entries) == 0 {
		err = fail("entry", "", ErrNotFound)
	}
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// entries returns those of one key or, if it is nil, of all. If two backends have a key, the higher generation is the newer one.
func (s *Store) entries(ctx context.Context, op string, key *Key) ([]Entry, error) {
	var entries []Entry
	var errs []error
	newest := map[Key]int{}
	for _, b := range s.places() {
		some, err := b.entries(ctx, key)
		errs = append(errs, fail(op, b.kind(), err))
		for _, e := range some {
			if i, twice := newest[e.Key]; !twice {
				newest[e.Key], entries = len(entries), append(entries, e)
			} else if e.Generation > entries[i].Generation {
				entries[i] = e
			}
		}
	}
	if key == nil { // a list may be cut short
		errs = append(errs, ctx.Err())
	}
	return entries, errors.Join(errs...)
}

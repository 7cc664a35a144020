// Package keystore stores credentials in the operating system's keychain, in private files or in a PostgreSQL database. A credential
// consists of a key (server and profile), secret bytes, a generation number, and a public part that can be listed without reading the
// secret. Each key has two locks, LockCredential and LockLogin.
//
//	store, err := keystore.Open(keystore.Options{StateDir: state, Dir: data})
//	unlock, err := store.Lock(ctx, key, keystore.LockCredential)
//	defer unlock()
//	record, err := store.Get(ctx, key)         // ErrNotFound: nothing stored
//	err = store.Reserve(ctx, key)              // before a refresh token is redeemed
//	record.Secret = changed
//	record, err = store.Put(ctx, key, record)  // writes the next generation and reads it back
//
// To move a credential to another backend, the user must log out and log in again.
package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Values of Options.Backend and Entry.Backend.
const (
	Auto     = "auto"
	Keychain = "keychain"
	File     = "file"
	Postgres = "postgres"
)

// Values of the parameter purpose of Store.Lock.
const (
	LockCredential = "credential" // protects a credential while it is read, renewed and stored
	LockLogin      = "login"      // lets only one login of a key run at a time
)

// Options configures a store.
type Options struct {
	Backend  string           // "keychain", "file", "postgres" or "auto" (the keychain if the system has one, or else files); "" = "auto"
	StateDir string           // folder of the index, notes and locks, which contain no secrets
	Dir      string           // folder of the file store; may be "" if Backend is "keychain"
	KeyFile  string           // age identity file that encrypts records in files and PostgreSQL; required for PostgreSQL; "" = files are not encrypted
	URL      string           // PostgreSQL connection string; "" = libpq's environment variables, such as PGHOST
	Timeout  time.Duration    // time limit of each keychain or database operation; 0 = 10 s; negative = no limit for the keychain, 10 s for the database
	LockWait time.Duration    // time limit of the wait for a lock other than LockLogin; 0 = 45 s
	Notice   func(string)     // receives warnings, and a message when "auto" falls back to files; nil = they are dropped
	Now      func() time.Time // clock; nil = time.Now
}

// Key identifies one credential.
type Key struct {
	Server  string `json:"server"`            // canonical URL
	Profile string `json:"profile,omitempty"` // profile name; "" = the default profile
}

// Record is one stored credential.
type Record struct {
	Generation uint64          // number of writes of this key, counted from 1
	Secret     []byte          // opaque to the store
	Public     json.RawMessage // part of the record without secrets; after Get, nil = the index has no public part for this generation
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
}

// Store reads and writes credentials. A Store is safe for concurrent use.
type Store struct {
	o        Options
	locks    localLocks
	notes    noteStore
	file     *fileStore
	keychain *keychain
	postgres *postgres // nil unless Options.Backend is Postgres
	noticed  sync.Once

	reserved sync.Map // maps each Key to the space that Reserve allocated, until LockCredential is released

	step func(name string) error // called between the steps of a write; in tests, it returns an error or ends the process; nil in the program
}

// backend stores credentials. The methods of a backend return ErrNotFound if a credential does not exist.
type backend interface {
	kind() string
	get(ctx context.Context, key Key) (Record, error)
	// put writes the record and reads it back. The new generation is higher than both the stored generation and r.Generation. If reserved
	// is not nil, put writes to the reserved space. The caller holds the key's lock. If put fails, the old record is still stored.
	put(ctx context.Context, key Key, r Record, reserved reservedSpace) (Record, error)
	// reserve allocates the space for the next put of this key. The caller holds the key's lock.
	reserve(ctx context.Context, key Key) (reservedSpace, error)
	delete(ctx context.Context, key Key) error
	entries(ctx context.Context, key *Key) ([]Entry, []error) // nil key = all keys; some errors may be nil
}

// reservedSpace is the space that is allocated for the next record of a key. release frees the space, unless a put has used it.
type reservedSpace interface{ release(ctx context.Context) }

const defaultTimeout = 10 * time.Second

// Open returns a store. The store accesses files, keychain and database only when a method needs them.
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
	s := &Store{o: o, locks: stateLocks(o.StateDir), notes: localNotes{o.StateDir}}
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

// env contains the dependencies that the file store and the keychain share.
type env struct {
	index  index
	locks  localLocks
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

// Get reads a credential. Get needs no lock: while another process writes, Get returns the old or the new record.
func (s *Store) Get(ctx context.Context, key Key) (Record, error) {
	b, err := s.backendForReading(ctx, key)
	if err != nil {
		return Record{}, withOp("get", "", err)
	}
	r, err := b.get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		err = s.elsewhereError(key, b, err)
	}
	return r, withOp("get", b.kind(), err)
}

// Put stores a record. The new generation is higher than both the stored generation and r.Generation. The caller holds LockCredential, or
// another lock that keeps out all other writers of the key. If Put fails, the old record is still stored. After ErrTimeout, the new record
// may still be written later. The late write does no harm, because a later Put has a higher generation.
func (s *Store) Put(ctx context.Context, key Key, r Record) (Record, error) {
	b, err := s.backendForWriting(ctx, key)
	if err != nil {
		return Record{}, withOp("put", "", err)
	}
	r.Generation = max(r.Generation, s.generationElsewhere(key, b))
	v, _ := s.reserved.Load(key)
	reserved, _ := v.(reservedSpace)
	r, err = b.put(ctx, key, r, reserved)
	return r, withOp("put", b.kind(), err)
}

// Writable checks that a Put for this key can succeed: it acquires LockCredential, reserves space and frees the space again.
func (s *Store) Writable(ctx context.Context, key Key) error {
	unlock, err := s.Lock(ctx, key, LockCredential)
	if err != nil {
		return err
	}
	defer unlock() // frees the reserved space
	if err := s.Reserve(ctx, key); err != nil {
		return err
	}
	reserved, _ := s.reserved.Load(key)
	_, inKeychain := reserved.(*reservedSlot)
	if text := readersOf(s.o.KeyFile); text != "" && !inKeychain {
		s.notice(text) // a warning and no error, because some platforms mount secrets with modes that the user cannot change
	}
	return nil
}

// Reserve allocates the space for the next Put of this key. Before redeeming a refresh token, a caller thus finds out whether the store is
// writable. The caller holds LockCredential. When the lock is released, space that no Put has used is freed too.
func (s *Store) Reserve(ctx context.Context, key Key) error {
	b, err := s.backendForWriting(ctx, key)
	if err != nil {
		return withOp("reserve", "", err)
	}
	s.release(key)
	reserved, err := b.reserve(ctx, key)
	if err != nil {
		return withOp("reserve", b.kind(), err)
	}
	s.reserved.Store(key, reserved)
	return nil
}

// release frees the space that Reserve allocated, unless Put has used that space.
func (s *Store) release(key Key) {
	if reserved, ok := s.reserved.LoadAndDelete(key); ok {
		ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
		defer cancel()
		reserved.(reservedSpace).release(ctx)
	}
}

// Delete removes a credential and its notes from every backend that has it. Delete also succeeds if no backend has the credential.
func (s *Store) Delete(ctx context.Context, key Key) error {
	places, err := s.backendsForDeleting(ctx, key)
	if err != nil {
		return withOp("delete", "", err)
	}
	var errs []error
	for _, b := range places {
		errs = append(errs, withOp("delete", b.kind(), b.delete(ctx, key)))
	}
	for _, err := range s.notes.deleteNotes(ctx, key) {
		errs = append(errs, withOp("delete", "", err))
	}
	return errors.Join(errs...)
}

// List returns the entries of all credentials without reading their secrets. If some entries are damaged, List returns the other entries
// together with an error.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	return s.newestEntries(ctx, "list", nil)
}

// Entry returns the entry of one credential without reading its secret, or ErrNotFound.
func (s *Store) Entry(ctx context.Context, key Key) (Entry, error) {
	entries, err := s.newestEntries(ctx, "entry", &key)
	if err == nil && len(entries) == 0 {
		err = withOp("entry", "", ErrNotFound)
	}
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// newestEntries returns the entries of one key, or of all keys if key is nil. If two backends have the same key, only the entry with the
// higher generation is returned.
func (s *Store) newestEntries(ctx context.Context, op string, key *Key) ([]Entry, error) {
	var entries []Entry
	var errs []error
	newest := map[Key]int{}
	for _, b := range s.backendsToSearch() {
		some, faults := b.entries(ctx, key)
		for _, err := range faults {
			errs = append(errs, withOp(op, b.kind(), err))
		}
		for _, e := range some {
			if i, twice := newest[e.Key]; !twice {
				newest[e.Key], entries = len(entries), append(entries, e)
			} else if e.Generation > entries[i].Generation {
				entries[i] = e
			}
		}
	}
	return entries, errors.Join(errs...)
}

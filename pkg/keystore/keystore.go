// Package keystore keeps credentials at rest: opaque secret bytes under a key, in the operating system's keychain or in private files,
// with a lock per key, generation numbers, and an index without secrets that tells what is stored without opening anything.
//
//	store, err := keystore.Open(keystore.Options{StateDir: state, Dir: data})
//	unlock, err := store.Lock(ctx, key, "credential")
//	defer unlock()
//	record, err := store.Get(ctx, key)         // ErrNotFound: nothing stored
//	record.Secret = changed
//	record, err = store.Put(ctx, key, record)  // the next generation, written, read back
//
// The secret store is the truth and the index a hint: a process killed between the two leaves a record that Get still finds and that
// the next Put enters again. Before a secret is written, the index says where it will go (a reservation), so that whatever a killed or
// timed-out write leaves behind is found and swept by the next Put or Delete.
//
// Not supported: moving a credential between backends (log out and in again), Put without the key's lock held by the caller.
package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// The backends, as Options.Backend and Entry.Backend name them.
const (
	Auto     = "auto"
	Keychain = "keychain"
	File     = "file"
)

// The purposes of a lock.
const (
	LockCredential = "credential" // held around read, decide, redeem, write
	LockLogin      = "login"      // held while a person is asked
)

// Options says where credentials are kept.
type Options struct {
	Backend  string           // "keychain", "file", or "auto", which "" means: the keychain where there is one, else files
	StateDir string           // folder of index, notes and locks, without secrets
	Dir      string           // folder of the file store
	KeyFile  string           // age identity to which the file store is encrypted; "" = not encrypted
	Timeout  time.Duration    // of each keychain operation; 0 = 10 s
	Notice   func(string)     // told once when auto falls back to files; nil = nobody
	Now      func() time.Time // nil = time.Now
}

// Key names one credential.
type Key struct {
	Server  string `json:"server"`            // canonical URL
	Profile string `json:"profile,omitempty"` // "" = the only one of that server
}

// Record is one stored credential.
type Record struct {
	Generation uint64          // counts the writes of a key, from 1
	Secret     []byte          // opaque
	Public     json.RawMessage // goes to the index, without secrets; nil after Get when the index does not know this generation
}

// String names the record without its secret.
func (r Record) String() string {
	return fmt.Sprintf("record, generation %d, %d secret bytes", r.Generation, len(r.Secret))
}

// GoString is String: a record does not print its secret.
func (r Record) GoString() string { return r.String() }

// Entry is what the index knows of a credential.
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
	index    index
	file     *fileStore
	keychain *keychain
	noticed  sync.Once
	step     func(name string) error // tests: called between the steps of a write, and fails or dies there
}

// backend is a place for secrets; the keychain and the file store are the two. Names come from Key.name; e is the index's hint.
type backend interface {
	kind() string
	read(ctx context.Context, name string, e entry) (head, []byte, error)
	prepare(ctx context.Context, name string, e entry, r Record) (plan, error) // decides generation and place, writes nothing
	write(ctx context.Context, name string, p plan) error                      // and reads back
	sweep(ctx context.Context, name string, p plan) error                      // what the plan made obsolete
	remove(ctx context.Context, name string, e entry, mark func([]reservation) error) error
	probe(ctx context.Context, name string) error // writes, reads and deletes something harmless
}

// Open returns a store. Nothing is touched before it is needed.
func Open(o Options) (*Store, error) {
	switch o.Backend {
	case "":
		o.Backend = Auto
	case Auto, Keychain, File:
	default:
		return nil, fmt.Errorf("credential store: unknown backend %q, expected %s, %s or %s", o.Backend, Auto, Keychain, File)
	}
	if o.StateDir == "" || o.Dir == "" && o.Backend != Keychain {
		return nil, errors.New("credential store: no folder given")
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o, index: index{dir: o.StateDir}}
	s.file = &fileStore{dir: o.Dir, keyFile: o.KeyFile, step: s.reached}
	r, p := systemKeychain()
	s.keychain = newKeychain(r, p, o.Timeout, s.reached)
	return s, nil
}

func (s *Store) reached(name string) error {
	if s.step == nil {
		return nil
	}
	return s.step(name)
}

// Get reads a credential; absence is ErrNotFound. It needs no lock: a write by another process shows as the record before or after it.
func (s *Store) Get(ctx context.Context, key Key) (Record, error) {
	name := key.name()
	for round, calm := 0, 0; ; round++ {
		e, err := s.index.hint(key)
		if err != nil {
			return Record{}, fail("get", "", err)
		}
		b, err := s.forReading(ctx, name, e)
		if err != nil {
			return Record{}, fail("get", "", err)
		}
		h, secret, err := b.read(ctx, name, e)
		if err == nil && e.Deleted && h.Generation <= e.Generation {
			err = fmt.Errorf("%w: it was deleted; a write that came late is ignored", ErrNotFound)
		}
		if err == nil {
			s.heal(ctx, key, e, h)
			return Record{Generation: h.Generation, Secret: secret, Public: e.publicOf(h.Generation)}, nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return Record{}, fail("get", b.kind(), e.explain(b.kind(), err))
		}
		// Absence and damage may be another process at work: it changes the index before and after, so what was seen counts only when
		// the index stood still, and twice where it announces a write.
		if again, hintErr := s.index.hint(key); hintErr == nil && bytes.Equal(again.raw, e.raw) {
			calm++
		} else {
			calm = 0
		}
		if calm > len(e.Pending) || calm > 1 || round > 50 {
			return Record{}, fail("get", b.kind(), e.explain(b.kind(), err))
		}
	}
}

// heal enters in the index a record whose writer died before it could. A reader may do that only while nobody writes.
func (s *Store) heal(ctx context.Context, key Key, seen entry, h head) {
	i := slices.IndexFunc(seen.Pending, func(r reservation) bool { return r.Generation == h.Generation && !r.Obsolete })
	if i < 0 || seen.Generation >= h.Generation {
		return
	}
	unlock, err := s.tryLock(key, LockCredential)
	if err != nil {
		return // somebody is at work, and will write the index
	}
	defer unlock()
	if now, err := s.index.hint(key); err != nil || !bytes.Equal(now.raw, seen.raw) {
		return
	}
	landed := seen.Pending[i]
	seen.complete(landed.Backend, h.Generation, landed.Slot, landed.Public, landed.At)
	_ = s.index.write(seen, false) // the pending list stays, so that the next Put sweeps what the dead writer could not
}

// Put stores the next generation: one more than what is stored, and never lower than r.Generation+1. The steps:
//
//  1. look at what is stored, choose generation and place
//  2. reserve: say so in the index
//  3. write beside the old record, which stays as it is
//  4. read back and compare
//  5. sweep the old record and what dead writers left
//  6. enter the new record in the index
//
// The caller holds the key's lock. After an error the old record is still there; after ErrTimeout the new one may land later, which
// the generations make harmless.
func (s *Store) Put(ctx context.Context, key Key, r Record) (Record, error) {
	name := key.name()
	e, b, err := s.forWriting(ctx, key)
	if err != nil {
		return Record{}, fail("put", "", err)
	}
	p, err := b.prepare(ctx, name, e, r)
	if err != nil {
		return Record{}, fail("put", b.kind(), err)
	}
	p.At, p.Public, p.Backend = s.o.Now().UTC(), r.Public, b.kind()
	if err := s.index.write(e.reserve(p.reservation), false); err != nil {
		return Record{}, fail("put", "index", err)
	}
	err = s.reached("reserved")
	if err == nil {
		err = b.write(ctx, name, p)
	}
	if err != nil {
		s.abandon(ctx, name, e, b, p, err)
		return Record{}, fail("put", b.kind(), err)
	}
	sweepErr := b.sweep(ctx, name, p)
	if err := s.settle(e, p, sweepErr != nil); err != nil {
		s.notice(fmt.Sprintf("the credential is stored, but its index entry is not: %v", err))
	}
	r.Generation = p.Generation
	return r, nil
}

// settle enters a write that is done. What could not be swept stays noted, and so does a write whose end nobody saw: it may land yet.
func (s *Store) settle(e entry, p plan, unswept bool) error {
	if err := s.reached("before index"); err != nil {
		return err
	}
	var pending []reservation
	for _, r := range e.Pending {
		if r.mayLand(p.At) || unswept && r.Backend == Keychain {
			pending = append(pending, r)
		}
	}
	for _, old := range p.old {
		if unswept && old.Slot != noSlot {
			old.Obsolete, old.At, old.Backend = true, p.At, Keychain
			pending = append(pending, old)
		}
	}
	e.Pending = pending
	e.complete(p.Backend, p.Generation, p.Slot, p.Public, p.At)
	return s.index.write(e, true)
}

// abandon takes back a write that failed. After a timeout nothing is taken back: it may still land, and the reservation says where.
func (s *Store) abandon(ctx context.Context, name string, e entry, b backend, p plan, cause error) {
	if uncertain(cause) {
		_ = s.index.write(e.hung(p.reservation), false)
		return
	}
	ctx = context.WithoutCancel(ctx)
	undo := plan{reservation: p.reservation, old: []reservation{p.reservation}}
	if err := b.sweep(ctx, name, undo); err != nil {
		return
	}
	if e.found {
		_ = s.index.write(e, false)
		return
	}
	_ = s.index.remove(name)
}

// Delete removes a credential from every backend that holds it, and its index entry. Absence is no error.
func (s *Store) Delete(ctx context.Context, key Key) error {
	name := key.name()
	e, err := s.index.hint(key)
	if err != nil {
		return fail("delete", "", err)
	}
	places, err := s.forDeleting(ctx, name, e)
	if err != nil {
		return fail("delete", "", err)
	}
	mark := func(obsolete []reservation) error {
		e.Pending = append(e.Pending, obsolete...)
		return s.index.write(e.orNew(Keychain), false)
	}
	var errs []error
	for _, b := range places {
		if err := b.remove(ctx, name, e, mark); err != nil {
			errs = append(errs, fail("delete", b.kind(), err))
			continue
		}
		e.Backends = slices.DeleteFunc(slices.Clone(e.Backends), func(k string) bool { return k == b.kind() })
	}
	if len(errs) > 0 {
		if e.found && len(e.Backends) > 0 && !slices.Contains(e.Backends, e.Backend) {
			e.Backend = e.Backends[0] // what is left is there
			errs = append(errs, s.index.write(e, false))
		}
		return errors.Join(errs...)
	}
	return s.forget(name, e)
}

// forget ends an index entry. Where a write may still land, a mark stays behind so that a late one is not taken for a login.
func (s *Store) forget(name string, e entry) error {
	now := s.o.Now().UTC()
	late := slices.DeleteFunc(slices.Clone(e.Pending), func(r reservation) bool { return !r.mayLand(now) })
	if len(late) == 0 {
		if err := s.index.remove(name); err != nil {
			return fail("delete", "index", err)
		}
		return nil
	}
	gone := entry{Key: e.Key, Backend: Keychain, Generation: e.highest(), Deleted: true, Updated: now, Pending: late, found: true}
	if err := s.index.write(gone, true); err != nil {
		return fail("delete", "index", err)
	}
	return nil
}

// Writable proves that a Put for this key would find a store that takes it: it writes, reads and deletes a probe.
func (s *Store) Writable(ctx context.Context, key Key) error {
	e, b, err := s.forWriting(ctx, key)
	if err != nil {
		return fail("probe", "", err)
	}
	if err := makeLockFile(s.o.StateDir, s.lockPath(key, LockCredential)); err != nil { // it may be held just now
		return fail("probe", "", err)
	}
	wait, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	unlock, err := s.Lock(wait, key, "probe") // probes share one item
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.index.probe(key.name()); err != nil {
		return fail("probe", "index", err)
	}
	if err := b.probe(ctx, key.name()); err != nil {
		return fail("probe", b.kind(), e.explain(b.kind(), err))
	}
	return nil
}

// List returns what the index knows, without opening the store; records whose files are gone are left out. Damaged entries are reported in
// the error; the others still come.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	all, err := s.index.list()
	var entries []Entry
	for _, e := range all {
		if shown, ok := s.shown(e); ok {
			entries = append(entries, shown)
		}
	}
	return entries, errors.Join(err, ctx.Err())
}

// shown is an entry as others see it. One whose file is gone is not shown: a look at the folder costs nothing, as one at a keychain would.
func (s *Store) shown(e entry) (Entry, bool) {
	shown, ok := e.shown()
	if ok && shown.Backend == File && s.file.dir != "" {
		_, err := os.Lstat(s.file.path(e.Key.name()))
		ok = !errors.Is(err, fs.ErrNotExist)
	}
	return shown, ok
}

// Entry returns what the index knows of one credential, without opening the store; absence is ErrNotFound.
func (s *Store) Entry(ctx context.Context, key Key) (Entry, error) {
	e, err := s.index.read(key.name(), &key)
	if err != nil {
		return Entry{}, fail("entry", "index", err)
	}
	if shown, ok := s.shown(e); ok {
		return shown, nil
	}
	return Entry{}, fail("entry", "index", ErrNotFound)
}

func (s *Store) notice(text string) {
	if s.o.Notice != nil {
		s.o.Notice(text)
	}
}

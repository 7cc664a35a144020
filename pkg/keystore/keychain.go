// Records in the operating system's keychain. A key has a few head items (slots). A write goes to a free one, parts first, and the old one
// is deleted after the new one reads back: the only good copy is never overwritten, and a write that timed out and lands late finds a slot
// that is not in use, and has a lower generation than the record that is there.

package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	slots    = 3  // are looked at if the index does not say more
	maxSlots = 16 // are used if writes hang one after another
	noSlot   = -1 // of a reservation whose parts alone are to be swept

	// placeholder stands in a slot that is taken for a record that is not written yet.
	placeholder = `{"mcpauth":1,"empty":true}` + "\n"

	// freshFor is how long a record that was read is taken for the one in the keychain, if the index has not changed since.
	freshFor = time.Minute
)

// ring is go-keyring or, in tests, a fake with the limits of each system.
type ring interface {
	set(account, value string) error
	get(account string) (string, error)
	delete(account string) error
}

// platform describes the differences between keychains.
type platform struct {
	room      func(account string) int         // bytes that an item of that name holds
	classify  func(op string, err error) error // one of the errors of this package
	available func() error                     // nil if a keychain answers; ErrUnavailable if there is none
	locked    func() bool                      // called after a timeout: is the keychain known to be locked? nil: unknown
}

// plan is a write decided upon.
type plan struct {
	reservation
	before entry // the index entry before the write was announced
	value  string
	parts  []string
	old    []reservation // to be swept once this is in place
}

// stored is a head that was found.
type stored struct {
	slot   int
	head   head
	inline string
	err    error // why it cannot be read; errEmpty: it is a placeholder
}

var errEmpty = errors.New("a place without a record")

type keychain struct {
	env
	ring     ring
	platform platform
	timeout  time.Duration
	turn     chan struct{} // one operation at a time: a later one never overtakes one that hangs

	mu   sync.Mutex
	read map[string]readBefore // by record name
}

// readBefore is the record that was in the keychain while the index had this form.
type readBefore struct {
	index  []byte
	stored stored
	secret []byte
	at     time.Time
}

func newKeychain(env env, r ring, p platform, timeout time.Duration) *keychain {
	return &keychain{env: env, ring: r, platform: p, timeout: timeout, turn: make(chan struct{}, 1), read: map[string]readBefore{}}
}

func (k *keychain) kind() string { return Keychain }

func (k *keychain) get(ctx context.Context, key Key) (Record, error) {
	name := key.name()
	for round, calm := 0, 0; ; round++ {
		e, err := k.index.hint(key)
		if err != nil {
			return Record{}, err
		}
		s, secret, err := k.newestOf(ctx, name, e)
		h := s.head
		if err == nil && e.Deleted && h.Generation <= e.Generation {
			err = fmt.Errorf("%w: it was deleted; a late write is ignored", ErrNotFound)
		}
		if err == nil {
			k.completeIndex(key, e, h)
			return Record{Generation: h.Generation, Secret: secret, Public: e.publicOf(h.Generation)}, nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return Record{}, e.explain(err)
		}
		// Absence and damage may be another process at work: it changes the index before and after, so what was seen counts only if
		// the index stood still, and twice if it announces a write.
		if again, hintErr := k.index.hint(key); hintErr == nil && bytes.Equal(again.raw, e.raw) {
			calm++
		} else {
			calm = 0
		}
		if calm > len(e.Pending) || calm > 1 || round > 50 {
			return Record{}, e.explain(err)
		}
	}
}

// completeIndex adds to the index a record whose writer died before it could. A reader may do that only if no other process writes.
func (k *keychain) completeIndex(key Key, seen entry, h head) {
	i := slices.IndexFunc(seen.Pending, func(r reservation) bool { return r.Generation == h.Generation && !r.Obsolete && !r.Empty })
	if i < 0 || seen.Generation >= h.Generation {
		return
	}
	unlock, err := k.locks.try(key, LockCredential)
	if err != nil {
		return // another process is at work, and will write the index
	}
	defer unlock()
	if now, err := k.index.hint(key); err != nil || !bytes.Equal(now.raw, seen.raw) {
		return
	}
	seen.complete(seen.Pending[i])
	_, _ = k.index.write(seen, false) // the pending list stays, so that the next put sweeps what the dead writer could not
}

// put has these steps:
//
//  1. decide generation and slot, or take the slot that reserve took
//  2. announce the write in the index
//  3. write beside the old record, which stays as it is
//  4. read back and compare
//  5. sweep the old record and what dead writers left
//  6. enter the new record in the index
func (k *keychain) put(ctx context.Context, key Key, r Record, reserved place) (Record, error) {
	name := key.name()
	own, _ := reserved.(*keychainPlace)
	p, err := k.plan(ctx, key, r, own)
	if err != nil {
		return Record{}, err
	}
	if own != nil {
		own.used = true
	}
	_, err = k.index.write(p.before.reserve(p.reservation), false)
	if err == nil {
		err = k.step("reserved")
	}
	if err == nil {
		err = k.write(ctx, name, p)
	}
	if err != nil {
		k.abandon(name, p, err)
		return Record{}, p.before.explain(err)
	}
	sweepErr := k.sweep(ctx, name, p)
	e, err := k.recordWrite(p, sweepErr != nil)
	if err != nil {
		k.notice(fmt.Sprintf("the credential is stored, but its index entry is not: %v", err))
	}
	r.Generation = p.Generation
	k.remember(name, e, stored{slot: p.Slot, head: head{Generation: p.Generation, Tag: p.Tag, Parts: p.Parts}}, r.Secret)
	return r, nil
}

// recordWrite records a finished write. It keeps a note of what could not be deleted, and of a write whose end was not seen, because it may
// still take effect.
func (k *keychain) recordWrite(p plan, unswept bool) (entry, error) {
	if err := k.step("before index"); err != nil {
		return entry{}, err
	}
	e := p.before
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
	e.complete(p.reservation)
	var err error
	e.raw, err = k.index.write(e, true)
	return e, err
}

// abandon undoes a failed write. After a timeout it undoes nothing, because the write may still take effect, and the reservation says
// where.
func (k *keychain) abandon(name string, p plan, cause error) {
	if uncertain(cause) {
		_, _ = k.index.write(p.before.hung(p.reservation), false)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
	defer cancel()
	undo := plan{reservation: p.reservation, old: []reservation{p.reservation}}
	if err := k.sweep(ctx, name, undo); err != nil {
		return
	}
	if p.before.found {
		_, _ = k.index.write(p.before, false)
		return
	}
	_ = k.index.remove(name)
}

// keychainPlace is a slot that the next put fills.
type keychainPlace struct {
	k    *keychain
	name string
	plan plan
	used bool
}

func (p *keychainPlace) release(context.Context) {
	if !p.used {
		p.k.abandon(p.name, p.plan, nil)
	}
}

// reserve announces and takes the slot of the next put.
func (k *keychain) reserve(ctx context.Context, key Key) (place, error) {
	name := key.name()
	e, err := k.index.hint(key)
	if err != nil {
		return nil, err
	}
	p, err := k.choose(ctx, name, e)
	if err != nil {
		return nil, e.explain(err)
	}
	p.At, p.Empty = k.now(), true
	if _, err := k.index.write(e.reserve(p.reservation), false); err != nil {
		return nil, err
	}
	err = k.setItem(ctx, slotAccount(name, p.Slot), placeholder)
	if err == nil && e.Generation == 0 {
		err = k.keeps(ctx, slotAccount(name, p.Slot)) // a keychain that already has a record of this key is known to keep what it takes
	}
	if err != nil {
		k.abandon(name, p, err)
		return nil, e.explain(err)
	}
	return &keychainPlace{k: k, name: name, plan: p}, nil
}

// keeps proves that an item that was set is there.
func (k *keychain) keeps(ctx context.Context, account string) error {
	got, err := k.getItem(ctx, account)
	if errors.Is(err, ErrNotFound) || err == nil && got != placeholder {
		return at(account, fmt.Errorf("%w: a probe reads back differently", ErrUnwritable))
	}
	return err
}

// probe proves that an item can be written, read and deleted.
func (k *keychain) probe(ctx context.Context, key Key) error {
	e, err := k.index.hint(key)
	if err != nil {
		return err
	}
	if err := k.index.probe(key.name()); err != nil {
		return err
	}
	err = k.available(ctx)
	account := key.name() + "#probe"
	if err == nil {
		err = k.setItem(ctx, account, placeholder)
	}
	if err == nil {
		err = k.keeps(ctx, account)
	}
	if err == nil {
		err = k.deleteItem(ctx, account)
	}
	return e.explain(err)
}

func (k *keychain) entries(_ context.Context, key *Key) ([]Entry, error) {
	all, err := k.index.list(key)
	var entries []Entry
	for _, e := range all {
		if shown, ok := e.shown(); ok {
			entries = append(entries, shown)
		}
	}
	return entries, err
}

// fresh returns what was read or written a moment ago, if the index says that nothing has changed since.
func (k *keychain) fresh(name string, e entry) (readBefore, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.read[name]
	return r, ok && e.certain() && bytes.Equal(r.index, e.raw) && time.Since(r.at) < freshFor
}

// remember keeps what is in the keychain while the index has this form.
func (k *keychain) remember(name string, e entry, s stored, secret []byte) {
	if !e.certain() || e.Generation != s.head.Generation {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read[name] = readBefore{index: e.raw, stored: s, secret: bytes.Clone(secret), at: time.Now()}
}

// Records in the operating system's keychain. Each key has a few slots. A slot is the keychain item for the head of a record. A write uses
// a free slot and stores the parts of the record before its head. The write deletes the old record only after it has read back the new one,
// so that one good copy always exists. A write that timed out may take effect later. A late write does no harm: its slot is not in use, and
// its generation is lower than that of the current record.

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
	searchedSlots = 3  // number of slots to search, unless the index names a higher slot
	maxSlots      = 16 // maximum number of slots, which is reached only if many writes hang one after another
	noSlot        = -1 // value of reservation.Slot if a reservation has parts to delete but no slot

	// placeholder is the value of a slot that is reserved and contains no record yet.
	placeholder = `{"mcpauth":1,"empty":true}` + "\n"

	// cacheTime is how long a cached record is used if the index has not changed.
	cacheTime = time.Minute
)

// itemStore reads and writes keychain items. In tests, a fake with the size limits of each system replaces go-keyring.
type itemStore interface {
	set(account, value string) error
	get(account string) (string, error)
	delete(account string) error
}

// platform describes the differences between keychains.
type platform struct {
	maxSize   func(account string) int         // number of bytes that fit in the item with this name
	classify  func(op string, err error) error // converts an error to one of this package's errors
	available func() error                     // returns ErrUnavailable if the system has no keychain
	isLocked  func() bool                      // called after a timeout; reports whether the keychain is locked; nil = unknown
	guard     func() error                     // returns an error if the keychain must not be accessed; nil = no check
	vanished  func(error) bool                 // reports whether an error means that another process deleted the item during the operation; nil = never
}

// plannedWrite is a write that has not begun.
type plannedWrite struct {
	reservation
	indexBefore indexEntry    // index entry before this write was added
	items       []item        // items to write, in this order: the parts, then the head
	toDelete    []reservation // items to delete after this write
}

type item struct{ account, value string }

// slotContent is the content of a slot.
type slotContent struct {
	slot   int
	head   recordHead
	inline string
	err    error // why the head cannot be read; errEmpty if the slot contains the placeholder
}

var errEmpty = errors.New("a place without a record")

type keychain struct {
	env
	items    itemStore
	platform platform
	timeout  time.Duration
	running  chan struct{} // contains a value while an operation runs, so that a later operation does not overtake an operation that hangs

	mu    sync.Mutex
	cache map[string]cachedRecord // cache, by Key.name
}

// cachedRecord is a record that is valid while the index file has the same content.
type cachedRecord struct {
	index  []byte
	stored slotContent
	secret []byte
	at     time.Time
}

func newKeychain(env env, r itemStore, p platform, timeout time.Duration) *keychain {
	return &keychain{env: env, items: r, platform: p, timeout: timeout, running: make(chan struct{}, 1), cache: map[string]cachedRecord{}}
}

func (k *keychain) kind() string { return Keychain }

func (k *keychain) get(ctx context.Context, key Key) (Record, error) {
	name := key.name()
	for round, calm := 0, 0; ; round++ {
		e, err := k.index.readOrEmpty(key)
		if err != nil {
			return Record{}, err
		}
		s, secret, err := k.readNewest(ctx, name, e)
		h := s.head
		if err == nil && e.Deleted && h.Generation <= e.Generation {
			err = fmt.Errorf("%w: it was deleted, and a write that took effect later is ignored", ErrNotFound)
		}
		if err == nil {
			k.completeIndex(key, e, h)
			return Record{Generation: h.Generation, Secret: secret, Public: e.publicOf(h.Generation)}, nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return Record{}, e.explainError(err)
		}
		// A record may be absent or incomplete because another process is writing it. The writer changes the index before and after the
		// write. If the index changed during the search, get searches again and does not return the error. If the index has a pending
		// write, get returns the error only if the index did not change during two searches.
		if again, hintErr := k.index.readOrEmpty(key); hintErr == nil && bytes.Equal(again.raw, e.raw) {
			calm++
		} else {
			calm = 0
		}
		if calm > len(e.Pending) || calm > 1 || round > 50 {
			return Record{}, e.explainError(err)
		}
	}
}

// completeIndex enters a record in the index if the writer of the record was killed before it had changed the index. While another process
// is writing, completeIndex does nothing.
func (k *keychain) completeIndex(key Key, seen indexEntry, h recordHead) {
	i := slices.IndexFunc(seen.Pending, func(r reservation) bool { return r.Generation == h.Generation && !r.Obsolete && !r.Empty })
	if i < 0 || seen.Generation >= h.Generation {
		return
	}
	unlock, err := k.locks.tryLock(key, LockCredential)
	if err != nil {
		return // another process is writing, and will update the index
	}
	defer unlock()
	if now, err := k.index.readOrEmpty(key); err != nil || !bytes.Equal(now.raw, seen.raw) {
		return
	}
	seen.markCompleted(seen.Pending[i])
	_, _ = k.index.writeEntry(seen, false) // the pending writes stay in the index, so that the next put finds and deletes the items that the killed writer has left
}

// put has these steps:
//
//  1. choose generation and slot, or use the slot that reserve allocated
//  2. add the reservation to the index
//  3. write the new record to its slot; the old record is unchanged
//  4. read the new record back and compare it
//  5. delete the old record and the items that killed writers have left
//  6. enter the new record in the index
func (k *keychain) put(ctx context.Context, key Key, r Record, reserved reservedSpace) (Record, error) {
	name := key.name()
	own, _ := reserved.(*reservedSlot)
	p, err := k.planWrite(ctx, key, r, own)
	if err != nil {
		return Record{}, err
	}
	if own != nil {
		own.used = true
	}
	_, err = k.index.writeEntry(p.indexBefore.withPending(p.reservation), false)
	if err == nil {
		err = k.step("reserved")
	}
	if err == nil {
		err = k.writeItems(ctx, p)
	}
	if err != nil {
		k.undoWrite(name, p, err)
		return Record{}, p.indexBefore.explainError(err)
	}
	sweepErr := k.deleteOldItems(ctx, name, p)
	e, err := k.recordWrite(p, sweepErr != nil)
	if err != nil {
		k.notice(fmt.Sprintf("the credential is stored, but its index entry is not: %v", err))
	}
	r.Generation = p.Generation
	k.addToCache(name, e, slotContent{slot: p.Slot, head: recordHead{Generation: p.Generation, Tag: p.Tag, Parts: p.Parts}}, r.Secret)
	return r, nil
}

// recordWrite enters a finished write in the index. If unswept is true, some old items could not be deleted, and their reservations stay in
// the index. The reservations of writes with an unknown result also stay, because these writes may still take effect.
func (k *keychain) recordWrite(p plannedWrite, unswept bool) (indexEntry, error) {
	if err := k.step("before index"); err != nil {
		return indexEntry{}, err
	}
	e := p.indexBefore
	var pending []reservation
	for _, r := range e.Pending {
		if r.mayTakeEffect(p.At) || unswept {
			pending = append(pending, r)
		}
	}
	for _, old := range p.toDelete {
		if unswept && old.Slot != noSlot {
			old.Obsolete, old.At = true, p.At
			pending = append(pending, old)
		}
	}
	e.Pending = pending
	e.markCompleted(p.reservation)
	var err error
	e.raw, err = k.index.writeEntry(e, true)
	return e, err
}

// undoWrite undoes a failed write. After a timeout, it only marks the reservation, because the write may still take effect.
func (k *keychain) undoWrite(name string, p plannedWrite, cause error) {
	if mayTakeEffectLater(cause) {
		p.Hung = true
		_, _ = k.index.writeEntry(p.indexBefore.withPending(p.reservation), false)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
	defer cancel()
	undo := plannedWrite{reservation: p.reservation, toDelete: []reservation{p.reservation}}
	if err := k.deleteOldItems(ctx, name, undo); err != nil {
		return
	}
	if p.indexBefore.found {
		_, _ = k.index.writeEntry(p.indexBefore, false)
		return
	}
	_ = k.index.remove(name)
}

// reservedSlot is the slot that is reserved for the next put.
type reservedSlot struct {
	k    *keychain
	name string
	plan plannedWrite
	used bool
}

func (p *reservedSlot) release(context.Context) {
	if !p.used {
		p.k.undoWrite(p.name, p.plan, nil)
	}
}

// reserve adds a reservation to the index and writes the placeholder to the slot of the next put.
func (k *keychain) reserve(ctx context.Context, key Key) (reservedSpace, error) {
	name := key.name()
	e, err := k.index.readOrEmpty(key)
	if err != nil {
		return nil, err
	}
	p, err := k.chooseSlot(ctx, name, e)
	if err != nil {
		return nil, e.explainError(err)
	}
	p.At, p.Empty = k.now(), true
	if _, err := k.index.writeEntry(e.withPending(p.reservation), false); err != nil {
		return nil, err
	}
	slot := item{slotAccount(name, p.Slot), placeholder}
	err = k.setItem(ctx, slot.account, slot.value)
	if err == nil && e.Generation == 0 {
		err = k.readBack(ctx, slot) // unnecessary if the keychain has already stored a record of this key
	}
	if err != nil {
		k.undoWrite(name, p, err)
		return nil, e.explainError(err)
	}
	return &reservedSlot{k: k, name: name, plan: p}, nil
}

func (k *keychain) entries(_ context.Context, key *Key) ([]Entry, []error) {
	all, errs := k.index.listEntries(key)
	var entries []Entry
	for _, e := range all {
		if shown, ok := e.toEntry(); ok {
			entries = append(entries, shown)
		}
	}
	return entries, errs
}

// fromCache returns the cached record, and whether it is still valid.
func (k *keychain) fromCache(name string, e indexEntry) (cachedRecord, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.cache[name]
	return r, ok && e.locatesNewest() && bytes.Equal(r.index, e.raw) && time.Since(r.at) < cacheTime
}

// addToCache caches the record that the index entry e describes.
func (k *keychain) addToCache(name string, e indexEntry, s slotContent, secret []byte) {
	if !e.locatesNewest() || e.Generation != s.head.Generation {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache[name] = cachedRecord{index: e.raw, stored: s, secret: bytes.Clone(secret), at: time.Now()}
}

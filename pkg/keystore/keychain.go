// This file keeps records in the operating system's keychain. A key has a few head items (slots); a write goes to a free one, parts
// first, and only when it reads back is the old one deleted: the only good copy is never overwritten, and a write that timed out and
// lands late meets a slot that nobody uses, with a lower generation than that of the record that is there.

package keystore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	slots    = 3  // are looked at when the index does not say more
	maxSlots = 16 // are used when writes hang one after another
	noSlot   = -1 // of a reservation whose parts alone are to be swept
)

// ring is what go-keyring does for us; tests put a fake with the limits of each system in its place.
type ring interface {
	set(account, value string) error
	get(account string) (string, error)
	delete(account string) error
}

// platform is what differs between keychains.
type platform struct {
	room      func(account string) int         // bytes that an item of that name holds
	classify  func(op string, err error) error // one of the errors of this package
	available func() error                     // nil where a keychain answers; ErrUnavailable where there is none
	locked    func() bool                      // asked after a timeout: is it known to wait for being unlocked? nil: unknown
}

type keychain struct {
	ring     ring
	platform platform
	timeout  time.Duration
	step     func(string) error
	turn     chan struct{} // one operation at a time: a later one never overtakes one that hangs
}

func newKeychain(r ring, p platform, timeout time.Duration, step func(string) error) *keychain {
	return &keychain{ring: r, platform: p, timeout: timeout, step: step, turn: make(chan struct{}, 1)}
}

func (k *keychain) kind() string { return Keychain }

// plan is a write decided upon.
type plan struct {
	reservation
	head  string
	parts []string
	old   []reservation // to be swept once this is in place
}

// stored is a head that was found.
type stored struct {
	slot   int
	head   head
	inline string
	err    error // why it cannot be read
}

// slotAccount names the head item of a slot.
func slotAccount(name string, slot int) string {
	if slot == 0 {
		return name
	}
	return name + "#" + strconv.Itoa(slot+1)
}

// survey finds the heads of a key, newest first. When the index is certain and right, that takes one look.
func (k *keychain) survey(ctx context.Context, name string, e entry, all bool) ([]stored, error) {
	if !all && e.certain(Keychain) && e.Slot >= 0 && e.Slot < maxSlots {
		found, err := k.look(ctx, name, e.Slot)
		if err != nil {
			return nil, err
		}
		if len(found) == 1 && found[0].err == nil && found[0].head.Generation == e.Generation {
			return found, nil
		}
	}
	var heads []stored
	for slot, end := 0, lastSlot(e)+1; slot < end; slot++ {
		found, err := k.look(ctx, name, slot)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			end = min(max(end, slot+slots), maxSlots)
		}
		heads = append(heads, found...)
	}
	slices.SortFunc(heads, func(a, b stored) int { return cmp.Compare(b.head.Generation, a.head.Generation) })
	return heads, nil
}

// lastSlot is the highest slot that may be in use.
func lastSlot(e entry) int {
	last := max(slots-1, e.Slot)
	for _, r := range e.Pending {
		last = max(last, r.Slot)
	}
	return min(last, maxSlots-1)
}

// look reads the head of one slot: none or one. A head of a newer version is an error, a damaged one is found as such.
func (k *keychain) look(ctx context.Context, name string, slot int) ([]stored, error) {
	value, err := k.get(ctx, slotAccount(name, slot))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, inline, err := parseHead(value)
	if errors.Is(err, ErrNewer) {
		return nil, at(slotAccount(name, slot), err)
	}
	return []stored{{slot, h, inline, err}}, nil
}

// load reads the record of a head with its parts.
func (k *keychain) load(ctx context.Context, name string, s stored) ([]byte, error) {
	if s.err != nil {
		return nil, at(slotAccount(name, s.slot), s.err)
	}
	parts := make([]string, 0, s.head.Parts)
	for i := range s.head.Parts {
		part, err := k.get(ctx, partAccount(name, s.head.Generation, s.head.Tag, i+1))
		if errors.Is(err, ErrNotFound) {
			break // join tells
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	payload, err := join(name, s.head, s.inline, parts)
	if err == nil {
		var secret []byte
		if secret, err = decodePayload(payload, s.head.Encoding); err == nil {
			return secret, nil
		}
	}
	return nil, at(slotAccount(name, s.slot), err)
}

// read returns the newest whole record: a torn one reads as the one before it, while that is there.
func (k *keychain) read(ctx context.Context, name string, e entry) (head, []byte, error) {
	for _, all := range []bool{false, true} {
		heads, err := k.survey(ctx, name, e, all)
		if err != nil {
			return head{}, nil, err
		}
		h, secret, err := k.newest(ctx, name, heads)
		if !errors.Is(err, ErrCorrupt) || all {
			return h, secret, err
		}
	}
	return head{}, nil, ErrNotFound
}

// newest returns the first of these records that is whole.
func (k *keychain) newest(ctx context.Context, name string, heads []stored) (head, []byte, error) {
	err := ErrNotFound
	for _, s := range heads {
		secret, loadErr := k.load(ctx, name, s)
		if loadErr == nil {
			return s.head, secret, nil
		}
		if !errors.Is(loadErr, ErrCorrupt) {
			return head{}, nil, loadErr
		}
		if !errors.Is(err, ErrCorrupt) {
			err = loadErr
		}
	}
	return head{}, nil, err
}

func (k *keychain) prepare(ctx context.Context, name string, e entry, r Record) (plan, error) {
	if len(r.Secret) > maxSecret {
		return plan{}, tooLarge(len(r.Secret))
	}
	heads, err := k.survey(ctx, name, e, len(e.Pending) > 0)
	if err != nil {
		return plan{}, err
	}
	p := plan{reservation: reservation{Generation: max(e.highest(), r.Generation)}}
	if len(heads) > 0 && heads[0].err != nil { // sorted: all are damaged, and the only copy is not ours to overwrite
		return plan{}, at(slotAccount(name, heads[0].slot), heads[0].err)
	}
	for _, s := range heads {
		p.Generation = max(p.Generation, s.head.Generation)
		p.old = append(p.old, reservation{Generation: s.head.Generation, Slot: s.slot, Tag: s.head.Tag, Parts: s.head.Parts})
	}
	p.Generation++
	p.old = append(p.old, partsOf(e.Pending)...)
	p.Slot = freeSlot(heads, e.Pending)
	payload, encoding := encodePayload(r.Secret)
	h := head{Generation: p.Generation, Tag: strings.ToLower(rand.Text()[:10]), Encoding: encoding}
	p.head, p.parts, err = split(name, slotAccount(name, p.Slot), h, payload, k.platform.room)
	if p.Parts = len(p.parts); p.Parts > 0 {
		p.Tag = h.Tag
	}
	return p, err
}

// partsOf returns what writes that never finished may have left beside the slots.
func partsOf(pending []reservation) []reservation {
	var parts []reservation
	for _, r := range pending {
		if r.Backend == Keychain && r.Parts > 0 {
			r.Slot = noSlot
			parts = append(parts, r)
		}
	}
	return parts
}

// freeSlot picks a slot that holds nothing and that no unfinished write may yet reach; else one that holds nothing; else the one with the
// oldest record.
func freeSlot(heads []stored, pending []reservation) int {
	taken := func(slot int) bool {
		return slices.ContainsFunc(heads, func(s stored) bool { return s.slot == slot })
	}
	awaited := func(slot int) bool {
		return slices.ContainsFunc(pending, func(r reservation) bool { return r.Backend == Keychain && !r.Obsolete && r.Slot == slot })
	}
	for slot := range maxSlots {
		if !taken(slot) && !awaited(slot) {
			return slot
		}
	}
	for slot := range maxSlots {
		if !taken(slot) {
			return slot
		}
	}
	return heads[len(heads)-1].slot
}

func (k *keychain) write(ctx context.Context, name string, p plan) error {
	for i, part := range p.parts {
		if err := k.set(ctx, partAccount(name, p.Generation, p.Tag, i+1), part); err != nil {
			return err
		}
		if err := k.step("part " + strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	if err := k.set(ctx, slotAccount(name, p.Slot), p.head); err != nil {
		return err
	}
	if err := k.step("head"); err != nil {
		return err
	}
	if err := k.readBack(ctx, name, p); err != nil {
		return err
	}
	return k.step("read back")
}

// readBack proves that what was written is there. Some keychains take a write without a word and keep nothing.
func (k *keychain) readBack(ctx context.Context, name string, p plan) error {
	differs := at(slotAccount(name, p.Slot), fmt.Errorf("%w: it reads back differently", ErrUnwritable))
	if value, err := k.get(ctx, slotAccount(name, p.Slot)); errors.Is(err, ErrNotFound) || err == nil && value != p.head {
		return differs
	} else if err != nil {
		return err
	}
	for i, part := range p.parts {
		value, err := k.get(ctx, partAccount(name, p.Generation, p.Tag, i+1))
		if errors.Is(err, ErrNotFound) || err == nil && value != part {
			return differs
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes what a plan made obsolete, parts before heads: what a killed sweep leaves can still be found by its head. The slot of
// the plan's own record is spared unless the record itself is to go.
func (k *keychain) sweep(ctx context.Context, name string, p plan) error {
	for _, r := range p.old {
		if err := k.deleteParts(ctx, name, r); err != nil {
			return err
		}
		if r.Slot == noSlot || r.Slot == p.Slot && r.Generation != p.Generation {
			continue
		}
		if err := k.delete(ctx, slotAccount(name, r.Slot)); err != nil {
			return err
		}
		if err := k.step("swept"); err != nil {
			return err
		}
	}
	return nil
}

// deleteParts deletes backwards, so that an interrupted sweep leaves a set that begins at 1.
func (k *keychain) deleteParts(ctx context.Context, name string, r reservation) error {
	for i := r.Parts; i > 0; i-- {
		if err := k.delete(ctx, partAccount(name, r.Generation, r.Tag, i)); err != nil {
			return err
		}
		if err := k.step("part swept"); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes everything of a key. Heads go first, so that no torn record is ever seen; before that the index is told of the parts.
func (k *keychain) remove(ctx context.Context, name string, e entry, mark func([]reservation) error) error {
	heads, err := k.survey(ctx, name, e, true)
	if err != nil {
		return err
	}
	parts := partsOf(e.Pending)
	var fresh []reservation
	for _, s := range heads {
		if s.head.Parts > 0 {
			fresh = append(fresh, reservation{Backend: Keychain, Generation: s.head.Generation, Slot: noSlot, Tag: s.head.Tag, Parts: s.head.Parts, Obsolete: true})
		}
	}
	if len(fresh) > 0 {
		if err := mark(fresh); err != nil {
			return err
		}
	}
	for _, s := range heads {
		if err := k.delete(ctx, slotAccount(name, s.slot)); err != nil {
			return err
		}
		if err := k.step("head deleted"); err != nil {
			return err
		}
	}
	for _, r := range append(parts, fresh...) {
		if err := k.deleteParts(ctx, name, r); err != nil {
			return err
		}
	}
	return nil
}

package keystore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// slotAccount returns the name of the head item of a slot.
func slotAccount(name string, slot int) string {
	if slot == 0 {
		return name
	}
	return name + "#" + strconv.Itoa(slot+1)
}

// findHeads returns the heads of a key, newest first. If all is false and the index correctly names the newest record, findHeads reads only
// the slot of that record.
func (k *keychain) findHeads(ctx context.Context, name string, e indexEntry, all bool) ([]slotContent, error) {
	if !all && e.locatesNewest() {
		s, err := k.readSlot(ctx, name, e.Slot)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil && s.err == nil && s.head.Generation == e.Generation {
			return []slotContent{s}, nil
		}
	}
	var heads []slotContent
	for slot, end := 0, lastSlot(e)+1; slot < end; slot++ {
		s, err := k.readSlot(ctx, name, slot)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		end = min(max(end, slot+searchedSlots), maxSlots)
		heads = append(heads, s)
	}
	slices.SortFunc(heads, func(a, b slotContent) int { return cmp.Compare(b.head.Generation, a.head.Generation) })
	return heads, nil
}

// lastSlot returns the highest number of a slot that may be in use.
func lastSlot(e indexEntry) int {
	last := max(searchedSlots-1, e.Slot)
	for _, r := range e.Pending {
		last = max(last, r.Slot)
	}
	return min(last, maxSlots-1)
}

// readSlot reads the head in one slot. The error is ErrNotFound if the slot is empty. A head that a newer version of mcpauth wrote is an
// error. A damaged head is returned with slotContent.err set.
func (k *keychain) readSlot(ctx context.Context, name string, slot int) (slotContent, error) {
	value, err := k.getItem(ctx, slotAccount(name, slot))
	if err != nil {
		return slotContent{}, err
	}
	if value == placeholder {
		return slotContent{slot: slot, err: errEmpty}, nil
	}
	h, inline, err := parseHead(value)
	if errors.Is(err, ErrNewer) {
		return slotContent{}, withPath(slotAccount(name, slot), err)
	}
	return slotContent{slot, h, inline, err}, nil
}

// loadSecret reads the secret of a slot. A long secret is stored in several parts.
func (k *keychain) loadSecret(ctx context.Context, name string, s slotContent) ([]byte, error) {
	if s.err != nil {
		return nil, withPath(slotAccount(name, s.slot), s.err)
	}
	parts := make([]string, 0, s.head.Parts)
	for i := range s.head.Parts {
		part, err := k.getItem(ctx, partAccount(name, s.head.Generation, s.head.Tag, i+1))
		if errors.Is(err, ErrNotFound) {
			break // joinParts reports the missing part
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	payload, err := joinParts(name, s.head, s.inline, parts)
	if err == nil {
		var secret []byte
		if secret, err = decodePayload(payload, s.head.Encoding); err == nil {
			return secret, nil
		}
	}
	return nil, withPath(slotAccount(name, s.slot), err)
}

// readNewest returns the newest complete record. After an interrupted write, the newest complete record is the previous one.
func (k *keychain) readNewest(ctx context.Context, name string, e indexEntry) (slotContent, []byte, error) {
	if r, ok := k.fromCache(name, e); ok {
		return r.stored, bytes.Clone(r.secret), nil
	}
	for _, all := range []bool{false, true} {
		heads, err := k.findHeads(ctx, name, e, all)
		if err != nil {
			return slotContent{}, nil, err
		}
		s, secret, err := k.firstComplete(ctx, name, heads)
		if err == nil {
			k.addToCache(name, e, s, secret)
		}
		if !errors.Is(err, ErrCorrupt) || all {
			return s, secret, err
		}
	}
	return slotContent{}, nil, ErrNotFound
}

// firstComplete returns the first complete record of heads.
func (k *keychain) firstComplete(ctx context.Context, name string, heads []slotContent) (slotContent, []byte, error) {
	err := ErrNotFound
	for _, s := range heads {
		if s.err == errEmpty {
			continue
		}
		secret, loadErr := k.loadSecret(ctx, name, s)
		if loadErr == nil {
			return s, secret, nil
		}
		if !errors.Is(loadErr, ErrCorrupt) {
			return slotContent{}, nil, loadErr
		}
		if !errors.Is(err, ErrCorrupt) {
			err = loadErr
		}
	}
	return slotContent{}, nil, err
}

// chooseSlot chooses the slot and generation of the next write, and the items to delete after the write.
func (k *keychain) chooseSlot(ctx context.Context, name string, e indexEntry) (plannedWrite, error) {
	var heads []slotContent
	if r, ok := k.fromCache(name, e); ok && len(e.Pending) == 0 {
		heads = []slotContent{r.stored}
	} else {
		var err error
		if heads, err = k.findHeads(ctx, name, e, len(e.Pending) > 0); err != nil {
			return plannedWrite{}, err
		}
	}
	p := plannedWrite{reservation: reservation{Generation: e.highestGeneration(), Slot: freeSlot(heads, e.Pending)}, indexBefore: e}
	var damaged error
	whole := false
	for _, s := range heads {
		if s.err == nil {
			whole = true
		} else if s.err != errEmpty {
			damaged = cmp.Or(damaged, withPath(slotAccount(name, s.slot), s.err))
		}
		p.Generation = max(p.Generation, s.head.Generation)
		p.toDelete = append(p.toDelete, reservation{Generation: s.head.Generation, Slot: s.slot, Tag: s.head.Tag, Parts: s.head.Parts})
	}
	if !whole && damaged != nil { // if no record is complete, this write must not overwrite a damaged record
		return plannedWrite{}, damaged
	}
	p.Generation++
	p.toDelete = append(p.toDelete, leftoverParts(e.Pending)...)
	return p, nil
}

// planWrite prepares the write of a record. The write uses the reserved slot or, if no slot is reserved, the slot that chooseSlot returns.
func (k *keychain) planWrite(ctx context.Context, key Key, r Record, reserved *reservedSlot) (p plannedWrite, err error) {
	if len(r.Secret) > maxSecret {
		return plannedWrite{}, tooLarge(len(r.Secret))
	}
	name := key.name()
	if reserved != nil && !reserved.used {
		p = reserved.plan
	} else {
		e, err := k.index.readOrEmpty(key)
		if err == nil {
			p, err = k.chooseSlot(ctx, name, e)
		}
		if err != nil {
			return plannedWrite{}, e.explainError(err)
		}
	}
	p.Empty, p.Generation, p.At, p.Public = false, max(p.Generation, r.Generation+1), k.now(), r.Public
	payload, encoding := encodePayload(r.Secret)
	h := recordHead{Generation: p.Generation, Tag: strings.ToLower(rand.Text()[:10]), Encoding: encoding}
	value, parts, err := splitPayload(name, slotAccount(name, p.Slot), h, payload, k.platform.maxSize)
	if p.Parts = len(parts); p.Parts > 0 {
		p.Tag = h.Tag
	}
	for i, part := range parts {
		p.items = append(p.items, item{partAccount(name, p.Generation, p.Tag, i+1), part})
	}
	p.items = append(p.items, item{slotAccount(name, p.Slot), value})
	return p, err
}

// leftoverParts returns the reservations of unfinished writes that may have left parts. The caller deletes these parts.
func leftoverParts(pending []reservation) []reservation {
	var parts []reservation
	for _, r := range pending {
		if r.Parts > 0 {
			r.Slot = noSlot
			parts = append(parts, r)
		}
	}
	return parts
}

// freeSlot returns an empty slot that no pending write uses. If all empty slots have pending writes, freeSlot returns any empty slot or, as
// a last resort, the slot with the oldest record.
func freeSlot(heads []slotContent, pending []reservation) int {
	taken := func(slot int) bool {
		return slices.ContainsFunc(heads, func(s slotContent) bool { return s.slot == slot })
	}
	awaited := func(slot int) bool {
		return slices.ContainsFunc(pending, func(r reservation) bool { return !r.Obsolete && r.Slot == slot })
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

// writeItems writes the items of a planned write and reads them back.
func (k *keychain) writeItems(ctx context.Context, p plannedWrite) error {
	for _, i := range p.items {
		if err := k.setItem(ctx, i.account, i.value); err != nil {
			return err
		}
		if err := k.step("item written"); err != nil {
			return err
		}
	}
	for _, i := range p.items {
		if err := k.readBack(ctx, i); err != nil {
			return err
		}
	}
	return k.step("read back")
}

// readBack checks that an item was stored, because some keychains report success and store nothing.
func (k *keychain) readBack(ctx context.Context, i item) error {
	value, err := k.getItem(ctx, i.account)
	if errors.Is(err, ErrNotFound) || err == nil && value != i.value {
		return withPath(i.account, fmt.Errorf("%w: the stored data differs from the written data", ErrUnwritable))
	}
	return err
}

// deleteOldItems deletes the items in p.toDelete. Parts of a record are deleted before the head. If the deletion is interrupted, the next
// deletion thus finds the remaining parts through the head. If the new record is in the slot of an old record, that slot is not deleted.
func (k *keychain) deleteOldItems(ctx context.Context, name string, p plannedWrite) error {
	for _, r := range p.toDelete {
		if err := k.deleteParts(ctx, name, r); err != nil {
			return err
		}
		if r.Slot == noSlot || r.Slot == p.Slot && r.Generation != p.Generation {
			continue
		}
		if err := k.deleteItem(ctx, slotAccount(name, r.Slot)); err != nil {
			return err
		}
		if err := k.step("swept"); err != nil {
			return err
		}
	}
	return nil
}

// deleteParts deletes the parts of a record. The part with the highest number is deleted first, so that after an interruption the remaining
// parts are still numbered from 1.
func (k *keychain) deleteParts(ctx context.Context, name string, r reservation) error {
	for i := r.Parts; i > 0; i-- {
		if err := k.deleteItem(ctx, partAccount(name, r.Generation, r.Tag, i)); err != nil {
			return err
		}
		if err := k.step("part swept"); err != nil {
			return err
		}
	}
	return nil
}

func (k *keychain) delete(ctx context.Context, key Key) error {
	err := k.deleteAll(ctx, key)
	if err == nil {
		k.deleteLateItems(ctx)
	}
	return err
}

// deleteAll deletes all items and the index entry of a key. Heads are deleted before parts, so that no reader finds an incomplete record.
// Before the deletion, the parts are added to the index, so that they can be found after an interruption.
func (k *keychain) deleteAll(ctx context.Context, key Key) error {
	name := key.name()
	e, err := k.index.readOrEmpty(key)
	if err != nil {
		return err
	}
	heads, err := k.findHeads(ctx, name, e, true)
	if err != nil {
		return e.explainError(err)
	}
	obsolete := leftoverParts(e.Pending)
	for _, s := range heads {
		if s.head.Parts > 0 {
			r := reservation{Generation: s.head.Generation, Slot: noSlot, Tag: s.head.Tag, Parts: s.head.Parts, Obsolete: true}
			e.Pending, obsolete = append(e.Pending, r), append(obsolete, r)
		}
	}
	if len(obsolete) > 0 {
		if _, err := k.index.writeEntry(e, false); err != nil {
			return err
		}
	}
	for _, s := range heads {
		if err := k.deleteItem(ctx, slotAccount(name, s.slot)); err != nil {
			return e.explainError(err)
		}
		if err := k.step("head deleted"); err != nil {
			return err
		}
	}
	for _, r := range obsolete {
		if err := k.deleteParts(ctx, name, r); err != nil {
			return e.explainError(err)
		}
	}
	return k.removeEntry(name, e)
}

// deleteLateItems deletes items that the keychain wrote after their credential was deleted, so that the last logout leaves no item.
func (k *keychain) deleteLateItems(ctx context.Context) {
	all, _ := k.index.listEntries(nil)
	for _, e := range all {
		if !e.Deleted {
			continue
		}
		if unlock, err := k.locks.tryLock(e.Key, LockCredential); err == nil {
			_ = k.deleteAll(ctx, e.Key) // after an error, the next logout or login tries again
			unlock()
		}
	}
}

// removeEntry removes an index entry. If a write may still take effect, removeEntry marks the entry as deleted instead, so that a late
// record does not count as a login.
func (k *keychain) removeEntry(name string, e indexEntry) error {
	now := k.now()
	late := slices.DeleteFunc(slices.Clone(e.Pending), func(r reservation) bool { return !r.mayTakeEffect(now) })
	if len(late) == 0 {
		return k.index.remove(name)
	}
	_, err := k.index.writeEntry(indexEntry{Key: e.Key, Backend: Keychain, Generation: e.highestGeneration(), Deleted: true, Pending: late}, true)
	return err
}

// The index of the keychain has one private JSON file per key. An index file contains no secrets, only a list of what is stored in which
// keychain item. Before a process writes to the keychain, it adds a reservation to the index. If the process is killed, later operations
// find the written items through the reservation.

package keystore

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// name returns the name that the files and keychain items of the key have in common. The name consists of a readable part and a hash of the
// whole key. The hash makes the name unique. The readable part contains only host and profile, because paths and queries may contain
// secrets.
func (k Key) name() string {
	sum := sha256.Sum256([]byte("mcpauth key " + strconv.Itoa(len(k.Server)) + ":" + k.Server + k.Profile))
	hash := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
	host := ""
	if u, err := url.Parse(k.Server); err == nil {
		host = u.Hostname()
	}
	return sanitize(host+"-"+k.Profile, 40) + hash
}

// sanitize converts s to lower-case letters, digits and hyphens. These characters have no special meaning in file names, in a shell or in
// `security -i`. Dots are replaced too, because Windows treats a name such as con.json as a device.
func sanitize(s string, limit int) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	text := strings.Join(words, "-")
	if text = text[:min(len(text), limit)]; text == "" {
		return ""
	}
	return strings.TrimSuffix(text, "-") + "-"
}

// reservation describes where a write stores its record.
type reservation struct {
	Backend    string          `json:"backend,omitempty"` // "file": written by an early version, which also had reservations for files
	Generation uint64          `json:"generation"`
	Slot       int             `json:"slot"`
	Tag        string          `json:"tag,omitempty"`
	Parts      int             `json:"parts,omitempty"`
	Public     json.RawMessage `json:"public,omitempty"`
	At         time.Time       `json:"at,omitzero"`
	Hung       bool            `json:"hung,omitempty"`     // the writer stopped waiting, because the keychain did not answer
	Obsolete   bool            `json:"obsolete,omitempty"` // the items are no longer needed and must be deleted
	Empty      bool            `json:"empty,omitempty"`    // the slot contains the placeholder, and no write of a record has begun
}

// mayTakeEffect reports whether a write with an unknown result may still take effect. A keychain that shows a prompt performs the write
// when the user answers, which may be after the time limit. The write of a killed process takes effect within a minute or not at all.
func (r reservation) mayTakeEffect(now time.Time) bool {
	within := time.Minute
	if r.Hung {
		within = 24 * time.Hour
	}
	age := now.Sub(r.At)
	return !r.Obsolete && age < within && age > -within
}

// indexEntry is the content of one index file.
type indexEntry struct {
	Version    int             `json:"mcpauth"`
	Key        Key             `json:"key"`
	Backend    string          `json:"backend"`
	Generation uint64          `json:"generation"` // 0 = the index has no finished write
	Slot       int             `json:"slot,omitempty"`
	Public     json.RawMessage `json:"public,omitempty"`
	Backends   []string        `json:"backends,omitempty"` // every backend that may contain data of this key; only set by early versions, which also had entries for files
	Deleted    bool            `json:"deleted,omitempty"`  // true: the credential was deleted, but a pending write of this or a lower generation may still take effect
	Pending    []reservation   `json:"pending,omitempty"`

	found   bool
	raw     []byte
	damaged error // error in the index file that prevents its use; nil = no error
}

// index reads and writes the index files in the state folder.
type index struct{ dir string }

func (x index) folder() string          { return filepath.Join(x.dir, "index") }
func (x index) path(name string) string { return filepath.Join(x.folder(), name+".json") }

// readEntry reads an entry. The error is ErrNotFound if the entry does not exist, and ErrCorrupt if the file belongs to a different key.
func (x index) readEntry(name string, key *Key) (indexEntry, error) {
	path := x.path(name)
	if err := checkState(x.dir, x.folder()); err != nil {
		return indexEntry{}, err
	}
	data, err := readPrivate(path, maxFile)
	if err != nil {
		return indexEntry{}, err
	}
	e, err := decodeEntry(data)
	if err != nil {
		return indexEntry{raw: data}, withPath(path, err)
	}
	if e.Key.name() != name || key != nil && e.Key != *key {
		return indexEntry{raw: data}, withPath(path, fmt.Errorf("%w: the entry belongs to another credential", ErrCorrupt))
	}
	e.raw, e.found = data, true
	return e, nil
}

// readOrEmpty is like readEntry, but a missing or damaged entry is not an error. The callers then search the keychain itself.
func (x index) readOrEmpty(key Key) (indexEntry, error) {
	e, err := x.readEntry(key.name(), &key)
	switch {
	case errors.Is(err, ErrNotFound):
		return indexEntry{Key: key, Backend: Keychain}, nil
	case errors.Is(err, ErrCorrupt):
		return indexEntry{Key: key, Backend: Keychain, raw: e.raw, damaged: err}, nil
	}
	return e, err
}

func decodeEntry(data []byte) (indexEntry, error) {
	var e indexEntry
	err := json.Unmarshal(data, &e) // the version is checked before err, as parseHead explains
	if e.Version > formatVersion {
		return indexEntry{}, newer(e.Version, formatVersion)
	}
	if err != nil || e.Version < 1 {
		return indexEntry{}, fmt.Errorf("%w: not an index entry of mcpauth", ErrCorrupt)
	}
	if e.Key.Server == "" || e.Backend != Keychain && e.Backend != File {
		return indexEntry{}, fmt.Errorf("%w: the index entry lacks its key or backend", ErrCorrupt)
	}
	if slices.ContainsFunc(e.Pending, func(r reservation) bool { return r.Generation == 0 }) {
		return indexEntry{}, fmt.Errorf("%w: the index entry has a pending write without a generation", ErrCorrupt)
	}
	e.Pending = slices.DeleteFunc(e.Pending, func(r reservation) bool { return r.Backend == File })
	return e, nil
}

// writeEntry replaces an entry and returns the bytes of its file. If durable is true, the write survives a power failure.
func (x index) writeEntry(e indexEntry, durable bool) ([]byte, error) {
	e.Version = formatVersion
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%w: public part: %w", ErrUnwritable, err)
	}
	if err := ensureState(x.dir, x.folder()); err != nil {
		return nil, err
	}
	path := x.path(e.Key.name())
	if durable { // once per put is enough; the caller holds the lock, so the processes that created these files are dead
		sweepTemps(path)
	}
	data = append(data, '\n')
	return data, writePrivate(path, data, durable)
}

func (x index) remove(name string) error {
	sweepTemps(x.path(name))
	return removePrivate(x.path(name))
}

// listEntries returns the readable entries of one key, or of all keys if key is nil. The errors describe the entries that cannot be read; some
// may be nil.
func (x index) listEntries(key *Key) ([]indexEntry, []error) {
	names, err := namesIn(x.folder(), ".json", key)
	var all []indexEntry
	var errs []error
	for _, name := range names {
		e, err := x.readEntry(name, key)
		switch {
		case err == nil:
			all = append(all, e)
		case !errors.Is(err, ErrNotFound): // ErrNotFound: the key has no entry, or another process has just deleted it
			errs = append(errs, err)
		}
	}
	return all, append(errs, err)
}

// withPending returns the entry with r added to the pending writes.
func (e indexEntry) withPending(r reservation) indexEntry {
	e.Pending = append(slices.Clone(e.Pending), r)
	return e
}

// markCompleted copies the description of a written record from r to the entry.
func (e *indexEntry) markCompleted(r reservation) {
	e.Backend, e.Generation, e.Slot, e.Public = Keychain, r.Generation, r.Slot, r.Public
	e.Deleted, e.found = false, true
}

// inKeychain reports whether the keychain contains a record of the key, or will contain one after a pending write.
func (e indexEntry) inKeychain() bool { return e.found && !e.Deleted && e.Backend == Keychain }

// mayBeInKeychain reports whether the keychain may contain data of the key.
func (e indexEntry) mayBeInKeychain() bool {
	return e.found && (e.Backend == Keychain || len(e.Pending) > 0 || slices.Contains(e.Backends, Keychain))
}

// highestGeneration returns the highest generation of all finished and pending writes.
func (e indexEntry) highestGeneration() uint64 {
	g := e.Generation
	for _, r := range e.Pending {
		if !r.Empty {
			g = max(g, r.Generation)
		}
	}
	return g
}

// locatesNewest reports whether the newest record is known to be in the slot e.Slot. The result is false while a newer write is pending.
func (e indexEntry) locatesNewest() bool {
	return e.inKeychain() && e.Generation > 0 && e.highestGeneration() == e.Generation && e.Slot >= 0 && e.Slot < maxSlots
}

// publicOf returns the public part of the record with the given generation, or nil if the index does not have it.
func (e indexEntry) publicOf(generation uint64) json.RawMessage {
	if e.Generation == generation && !e.Deleted {
		return e.Public
	}
	for _, r := range e.Pending {
		if r.Generation == generation && !r.Obsolete && !r.Empty {
			return r.Public
		}
	}
	return nil
}

// toEntry converts e to the type that callers of the store get. If no write has finished, the Entry describes the newest pending write,
// because that write may already have stored its secret.
func (e indexEntry) toEntry() (Entry, bool) {
	shown := Entry{Key: e.Key, Backend: e.Backend, Generation: e.Generation, Public: e.Public}
	if e.Deleted {
		return Entry{}, false
	}
	if e.Generation > 0 {
		return shown, true
	}
	for _, r := range slices.Backward(e.Pending) {
		if !r.Obsolete && !r.Empty {
			shown.Generation, shown.Public = r.Generation, r.Public
			return shown, true
		}
	}
	return Entry{}, false
}

// explainError adds information from the index to an error of the keychain. If the entry is damaged, explainError returns the error of the
// entry instead of ErrNotFound, because the search may have missed a record.
func (e indexEntry) explainError(err error) error {
	switch {
	case e.inKeychain() && errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%w; this credential exists only in that keychain", err)
	case e.damaged != nil && errors.Is(err, ErrNotFound):
		return e.damaged
	}
	return err
}

func newer(version, known int) error {
	return fmt.Errorf("%w: format version %d, this one reads %d", ErrNewer, version, known)
}

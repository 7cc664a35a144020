// The index of the keychain: one private JSON file per key that tells, without any secret, what is stored and in which item. A write
// announces itself there (reservation) before it touches the keychain, so that what a killed write leaves behind is found.

package keystore

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// name returns the name of files and keychain items: a readable part, and a hash of the whole key, so that keys that differ only in
// characters unsafe for files do not collide. The readable part contains only the host, because paths and queries may contain secrets.
func (k Key) name() string {
	sum := sha256.Sum256([]byte("mcpauth key " + strconv.Itoa(len(k.Server)) + ":" + k.Server + k.Profile))
	hash := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
	host := ""
	if u, err := url.Parse(k.Server); err == nil {
		host = u.Hostname()
	}
	return readable(host+"-"+k.Profile, 40) + hash
}

// readable keeps lower-case letters and digits, and replaces anything else by a hyphen: no dots (Windows reads the part before a dot as a
// device), and nothing with a special meaning to a shell, `security -i` or a file system.
func readable(s string, limit int) string {
	var b strings.Builder
	hyphen := true
	for _, r := range strings.ToLower(s) {
		if b.Len() >= limit {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
			hyphen = false
		} else if !hyphen {
			b.WriteByte('-')
			hyphen = true
		}
	}
	if b.Len() > 0 && !hyphen {
		b.WriteByte('-')
	}
	return b.String()
}

// reservation says where a write will put its record.
type reservation struct {
	Backend    string          `json:"backend"`
	Generation uint64          `json:"generation"`
	Slot       int             `json:"slot"`
	Tag        string          `json:"tag,omitempty"`
	Parts      int             `json:"parts,omitempty"`
	Public     json.RawMessage `json:"public,omitempty"`
	At         time.Time       `json:"at,omitzero"`
	Hung       bool            `json:"hung,omitempty"`     // given up while the keychain had not answered
	Obsolete   bool            `json:"obsolete,omitempty"` // to be swept, not a write under way
	Empty      bool            `json:"empty,omitempty"`    // the place is taken, and the record is not on its way to it yet
}

// mayLand reports whether a write may still take effect although its end was not seen. A keychain that did not answer does the write when
// somebody answers its prompt; the write of a killed process ends within moments.
func (r reservation) mayLand(now time.Time) bool {
	within := time.Minute
	if r.Hung {
		within = 24 * time.Hour
	}
	age := now.Sub(r.At)
	return r.Backend == Keychain && !r.Obsolete && age < within && age > -within
}

// entry is the content of one index file.
type entry struct {
	Version    int             `json:"mcpauth"`
	Key        Key             `json:"key"`
	Backend    string          `json:"backend"`
	Generation uint64          `json:"generation"` // 0: no write is known to have finished
	Slot       int             `json:"slot,omitempty"`
	Public     json.RawMessage `json:"public,omitempty"`
	Updated    time.Time       `json:"updated,omitzero"`
	Backends   []string        `json:"backends,omitempty"` // every backend that may hold something of this key; older versions kept entries of files, too
	Deleted    bool            `json:"deleted,omitempty"`  // kept only because a late write may land: generations up to this one are gone
	Pending    []reservation   `json:"pending,omitempty"`

	found   bool
	raw     []byte
	damaged error // why the file that is there says nothing
}

// index is the folder of entries.
type index struct{ dir string }

func (x index) folder() string          { return filepath.Join(x.dir, "index") }
func (x index) path(name string) string { return filepath.Join(x.folder(), name+".json") }

// read returns an entry or ErrNotFound. A file with another key is damaged.
func (x index) read(name string, key *Key) (entry, error) {
	path := x.path(name)
	data, err := readPrivate(path, maxFile)
	if err != nil {
		return entry{}, err
	}
	e, err := decodeEntry(data)
	if err != nil {
		return entry{raw: data}, at(path, err)
	}
	if e.Key.name() != name || key != nil && e.Key != *key {
		return entry{raw: data}, at(path, fmt.Errorf("%w: the entry belongs to another credential", ErrCorrupt))
	}
	e.raw, e.found = data, true
	return e, nil
}

// hint is read for callers that can also ask the secret store: for them, a missing or damaged entry is not an error.
func (x index) hint(key Key) (entry, error) {
	e, err := x.read(key.name(), &key)
	switch {
	case errors.Is(err, ErrNotFound):
		return entry{Key: key}, nil
	case errors.Is(err, ErrCorrupt):
		return entry{Key: key, raw: e.raw, damaged: err}, nil
	}
	return e, err
}

// decodeEntry reads an index file.
func decodeEntry(data []byte) (entry, error) {
	var e entry
	err := json.Unmarshal(data, &e) // as in parseHead
	if e.Version > formatVersion {
		return entry{}, newer(e.Version)
	}
	if err != nil || e.Version < 1 {
		return entry{}, fmt.Errorf("%w: not an index entry of mcpauth", ErrCorrupt)
	}
	if e.Key.Server == "" || e.Backend != Keychain && e.Backend != File {
		return entry{}, fmt.Errorf("%w: the index entry lacks its key or backend", ErrCorrupt)
	}
	if slices.ContainsFunc(e.Pending, func(r reservation) bool { return r.Generation == 0 }) {
		return entry{}, fmt.Errorf("%w: the index entry announces a write but no generation", ErrCorrupt)
	}
	return e, nil
}

// write replaces an entry and returns the bytes of its file. A durable write survives a power failure; other writes survive only the
// process.
func (x index) write(e entry, durable bool) ([]byte, error) {
	e.Version = formatVersion
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%w: public part: %w", ErrUnwritable, err)
	}
	if err := ensureState(x.dir, x.folder()); err != nil {
		return nil, err
	}
	path := x.path(e.Key.name())
	if durable { // once in a put is enough; the caller holds the lock: these are those of dead writers
		sweepTemps(path)
	}
	data = append(data, '\n')
	return data, writePrivate(path, data, durable, nil)
}

func (x index) remove(name string) error {
	sweepTemps(x.path(name))
	return removePrivate(x.path(name))
}

// probe proves that an entry can be written. The caller holds the lock of probes.
func (x index) probe(name string) error {
	if err := ensureState(x.dir, x.folder()); err != nil {
		return err
	}
	path := x.path(name) + ".probe"
	sweepTemps(path)
	if err := writePrivate(path, make([]byte, 4<<10), false, nil); err != nil {
		return err
	}
	return removePrivate(path)
}

// list returns the readable entries of one key or, if it is nil, of all keys, and the errors of the others.
func (x index) list(key *Key) ([]entry, error) {
	if key != nil {
		e, err := x.read(key.name(), key)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return []entry{e}, err
	}
	if err := checkFolder(x.folder(), true); errors.Is(err, ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(x.folder())
	if err != nil {
		return nil, at(x.folder(), sortRead(err))
	}
	var all []entry
	var errs []error
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue // temporary files
		}
		e, err := x.read(name, nil)
		switch {
		case err == nil:
			all = append(all, e)
		case !errors.Is(err, ErrNotFound): // not deleted meanwhile
			errs = append(errs, err)
		}
	}
	return all, errors.Join(errs...)
}

// reserve returns the entry with an announced write.
func (e entry) reserve(r reservation) entry {
	e = e.orNew()
	e.Pending = append(slices.Clone(e.Pending), r)
	e.addBackend(r.Backend)
	return e
}

// hung returns the entry with that reservation marked: its write may still take effect at any time.
func (e entry) hung(r reservation) entry {
	r.Hung = true
	return e.reserve(r)
}

// orNew returns the entry, or a new one if there was none.
func (e entry) orNew() entry {
	if !e.found {
		e = entry{Key: e.Key, Backend: Keychain, Backends: []string{Keychain}, Pending: e.Pending, found: true}
	}
	return e
}

// complete records a finished write.
func (e *entry) complete(r reservation) {
	e.Backend, e.Generation, e.Slot, e.Public, e.Updated = r.Backend, r.Generation, r.Slot, r.Public, r.At
	e.Deleted, e.found = false, true
	e.addBackend(r.Backend)
}

func (e *entry) addBackend(backend string) {
	if !slices.Contains(e.Backends, backend) {
		e.Backends = append(slices.Clone(e.Backends), backend)
	}
}

// inKeychain reports whether the newest known record of the key is in the keychain, or being written there.
func (e entry) inKeychain() bool { return e.found && !e.Deleted && e.Backend == Keychain }

// mayBeInKeychain reports whether the keychain may hold anything of the key.
func (e entry) mayBeInKeychain() bool {
	return e.found && (e.Backend == Keychain || slices.Contains(e.Backends, Keychain))
}

// highest returns the highest generation that may exist.
func (e entry) highest() uint64 {
	g := e.Generation
	for _, r := range e.Pending {
		if !r.Empty {
			g = max(g, r.Generation)
		}
	}
	return g
}

// certain reports whether the entry says in which slot the newest record is, because no newer write was announced.
func (e entry) certain() bool {
	return e.inKeychain() && e.Generation > 0 && e.highest() == e.Generation && e.Slot >= 0 && e.Slot < maxSlots
}

// publicOf returns the public part of a generation, or nil if the index does not have it.
func (e entry) publicOf(generation uint64) json.RawMessage {
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

// shown returns the entry for callers of the store. A first write that was only announced is shown, because its secret may exist.
func (e entry) shown() (Entry, bool) {
	shown := Entry{Key: e.Key, Backend: e.Backend, Generation: e.Generation, Public: e.Public, Updated: e.Updated}
	if e.Deleted {
		return Entry{}, false
	}
	if e.Generation > 0 {
		return shown, true
	}
	for _, r := range slices.Backward(e.Pending) {
		if !r.Obsolete && !r.Empty {
			shown.Backend, shown.Generation, shown.Public, shown.Updated = r.Backend, r.Generation, r.Public, r.At
			return shown, true
		}
	}
	return Entry{}, false
}

// explain adds to an error what the index knows. If the entry is damaged, absence proves nothing.
func (e entry) explain(err error) error {
	switch {
	case e.inKeychain() && errors.Is(err, ErrUnavailable):
		return addendum(err, "; this credential exists only in that keychain")
	case e.damaged != nil && errors.Is(err, ErrNotFound):
		return e.damaged
	}
	return err
}

func newer(version int) error {
	return fmt.Errorf("%w: format version %d, this one reads %d", ErrNewer, version, formatVersion)
}

// This file is the index: one private JSON file per key that tells, without any secret, what is stored and where. It is all that
// `status` reads. It is also where a write announces itself (reservation) before it touches the secret store.

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

// name derives the name of files and keychain items: a readable part, and a hash of the whole key, so that keys which differ only in
// characters unsafe for files share nothing. The readable part takes the host alone: paths and queries may hold secrets.
func (k Key) name() string {
	sum := sha256.Sum256([]byte("mcpauth key " + strconv.Itoa(len(k.Server)) + ":" + k.Server + k.Profile))
	hash := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
	host := ""
	if u, err := url.Parse(k.Server); err == nil {
		host = u.Hostname()
	}
	return readable(host+"-"+k.Profile, 40) + hash
}

// readable keeps lower-case letters and digits, and puts one hyphen for anything else: no dots (Windows takes what is before one for a
// device), nothing that a shell, `security -i` or a file system reads as more than a letter.
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

// reservation says where a write is about to put its record.
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
}

// mayLand reports whether a write that was not seen to end may still land. A keychain that hung carries it out when somebody answers the
// prompt on the screen; what a killed process had under way is done within moments.
func (r reservation) mayLand(now time.Time) bool {
	within := time.Minute
	if r.Hung {
		within = 24 * time.Hour
	}
	age := now.Sub(r.At)
	return r.Backend == Keychain && !r.Obsolete && age < within && age > -within
}

// entry is one index file.
type entry struct {
	Version    int             `json:"mcpauth"`
	Key        Key             `json:"key"`
	Backend    string          `json:"backend"`
	Generation uint64          `json:"generation"` // 0: no write is known to have finished
	Slot       int             `json:"slot,omitempty"`
	Public     json.RawMessage `json:"public,omitempty"`
	Updated    time.Time       `json:"updated,omitzero"`
	Backends   []string        `json:"backends,omitempty"` // every backend that may hold something of this key
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

// read returns an entry; absence is ErrNotFound. A file whose key is another one is damage.
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
		return entry{raw: data}, at(path, fmt.Errorf("%w: it is the entry of another credential", ErrCorrupt))
	}
	e.raw, e.found = data, true
	return e, nil
}

// hint is read for those who have the secret store to ask: absence and damage tell them nothing, but do not stop them.
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
	var version struct {
		Version int `json:"mcpauth"`
	}
	if err := json.Unmarshal(data, &version); err != nil || version.Version < 1 {
		return entry{}, fmt.Errorf("%w: not an index entry of mcpauth", ErrCorrupt)
	}
	if version.Version > formatVersion {
		return entry{}, newer(version.Version)
	}
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		return entry{}, fmt.Errorf("%w: not an index entry of mcpauth", ErrCorrupt)
	}
	if e.Key.Server == "" || e.Backend != Keychain && e.Backend != File {
		return entry{}, fmt.Errorf("%w: the index entry lacks its key or backend", ErrCorrupt)
	}
	if slices.ContainsFunc(e.Pending, func(r reservation) bool { return r.Generation == 0 }) {
		return entry{}, fmt.Errorf("%w: the index entry announces a write without its generation", ErrCorrupt)
	}
	return e, nil
}

// write replaces an entry. A durable write also survives the power going; the others need only survive the process.
func (x index) write(e entry, durable bool) error {
	e.Version = formatVersion
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: public part: %w", ErrUnwritable, err)
	}
	if err := ensureState(x.dir, x.folder()); err != nil {
		return err
	}
	path := x.path(e.Key.name())
	if durable { // once in a Put is enough; whoever writes holds the lock, so that these files are those of the dead
		sweepTemps(path, anyAge)
	}
	return writePrivate(path, append(data, '\n'), durable, nil)
}

func (x index) remove(name string) error {
	sweepTemps(x.path(name), anyAge)
	return removePrivate(x.path(name))
}

// probe proves that an entry can be written. The lock of probes is held.
func (x index) probe(name string) error {
	if err := ensureState(x.dir, x.folder()); err != nil {
		return err
	}
	path := x.path(name) + ".probe"
	sweepTemps(path, anyAge)
	if err := writePrivate(path, make([]byte, 4<<10), false, nil); err != nil {
		return err
	}
	return removePrivate(path)
}

// list returns the readable entries, and what is wrong with the others.
func (x index) list() ([]entry, error) {
	if err := checkFolder(x.folder(), true); errors.Is(err, ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fail("list", "index", err)
	}
	files, err := os.ReadDir(x.folder())
	if err != nil {
		return nil, fail("list", "index", at(x.folder(), sortRead(err)))
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
			errs = append(errs, fail("list", "index", err))
		}
	}
	return all, errors.Join(errs...)
}

// reserve returns the entry with a write announced.
func (e entry) reserve(r reservation) entry {
	e = e.orNew(r.Backend)
	e.Pending = append(slices.Clone(e.Pending), r)
	e.addBackend(r.Backend)
	return e
}

// hung returns the entry with the last announced write marked as one that may land at any time.
func (e entry) hung(r reservation) entry {
	r.Hung = true
	return e.reserve(r)
}

// orNew returns the entry, which is a new one of that backend when there was none.
func (e entry) orNew(backend string) entry {
	if !e.found {
		e = entry{Key: e.Key, Backend: backend, Backends: []string{backend}, Pending: e.Pending, found: true}
	}
	return e
}

// complete enters a write that is known to be done.
func (e *entry) complete(backend string, generation uint64, slot int, public json.RawMessage, at time.Time) {
	e.Backend, e.Generation, e.Slot, e.Public, e.Updated = backend, generation, slot, public, at
	e.Deleted, e.found = false, true
	e.addBackend(backend)
}

func (e *entry) addBackend(backend string) {
	if !slices.Contains(e.Backends, backend) {
		e.Backends = append(slices.Clone(e.Backends), backend)
	}
}

// highest is the highest generation that was ever announced.
func (e entry) highest() uint64 {
	g := e.Generation
	for _, r := range e.Pending {
		g = max(g, r.Generation)
	}
	return g
}

// certain reports whether the entry tells where the newest record of that backend is: no newer write was announced.
func (e entry) certain(backend string) bool {
	return e.found && !e.Deleted && e.Backend == backend && e.Generation > 0 && e.highest() == e.Generation
}

// publicOf returns the public part of a generation, nil when the index does not know it.
func (e entry) publicOf(generation uint64) json.RawMessage {
	if e.Generation == generation && !e.Deleted {
		return e.Public
	}
	for _, r := range e.Pending {
		if r.Generation == generation && !r.Obsolete {
			return r.Public
		}
	}
	return nil
}

// shown is the entry as others see it. A first write of which only the announcement is known is shown: its secret may be there.
func (e entry) shown() (Entry, bool) {
	shown := Entry{Key: e.Key, Backend: e.Backend, Generation: e.Generation, Public: e.Public, Updated: e.Updated}
	if e.Deleted {
		return Entry{}, false
	}
	if e.Generation > 0 {
		return shown, true
	}
	for _, r := range slices.Backward(e.Pending) {
		if !r.Obsolete {
			shown.Backend, shown.Generation, shown.Public, shown.Updated = r.Backend, r.Generation, r.Public, r.At
			return shown, true
		}
	}
	return Entry{}, false
}

// explain adds to an error what the index knows about it.
func (e entry) explain(kind string, err error) error {
	switch {
	case e.found && !e.Deleted && e.Backend != kind && errors.Is(err, ErrNotFound):
		return addendum(err, " in this backend: the index has it in the other one, %s", e.Backend)
	case e.found && !e.Deleted && e.Backend == Keychain && errors.Is(err, ErrUnavailable):
		return addendum(err, "; this credential was stored in the keychain and is nowhere else")
	case e.damaged != nil && errors.Is(err, ErrNotFound):
		return addendum(err, "; the index, which would tell where it was, is unreadable: %w", e.damaged)
	}
	return err
}

func newer(version int) error {
	return fmt.Errorf("%w: format version %d, this one reads %d", ErrNewer, version, formatVersion)
}

package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// fileStore stores each credential in a private file. Every write replaces the whole file. The first line of the file contains the key and
// the public part, so the file store needs no index.
type fileStore struct {
	env
	dir     string
	keyFile string // age identity file; secrets are encrypted to the first identity in it; "" = not encrypted
}

const recordSuffix = ".credential"

func (f *fileStore) kind() string            { return File }
func (f *fileStore) path(name string) string { return filepath.Join(f.dir, name+recordSuffix) }

// recordExists reports whether a record exists, even a damaged one.
func (f *fileStore) recordExists(name string) bool {
	if f.dir == "" {
		return false
	}
	_, err := os.Lstat(f.path(name))
	return err == nil
}

func (f *fileStore) get(_ context.Context, key Key) (Record, error) {
	name := key.name()
	h, payload, err := f.readRecord(name)
	if err != nil {
		return Record{}, err
	}
	secret, err := openPayload(f.keyFile, h, payload)
	return Record{Generation: h.Generation, Secret: secret, Public: f.entryOf(name, h).Public}, withPath(f.path(name), err)
}

// readRecord reads a record without decrypting the secret.
func (f *fileStore) readRecord(name string) (recordHead, string, error) {
	if err := checkFolder(f.dir, true); err != nil {
		return recordHead{}, "", err
	}
	data, err := readPrivate(f.path(name), maxFile)
	if err != nil {
		return recordHead{}, "", err
	}
	h, payload, err := decodeFile(name, data)
	return h, payload, withPath(f.path(name), err)
}

func decodeFile(name string, data []byte) (recordHead, string, error) {
	h, payload, err := parseHead(string(data))
	if err != nil {
		return recordHead{}, "", err
	}
	payload, err = joinParts(name, h, payload, nil)
	if err == nil && h.Key != nil && h.Key.name() != name {
		err = fmt.Errorf("%w: the record belongs to another credential", ErrCorrupt)
	}
	return h, payload, err
}

// entryOf returns the entry of a record. Early versions of mcpauth stored the entry in the index and not in the record.
func (f *fileStore) entryOf(name string, h recordHead) Entry {
	if h.Key != nil {
		return Entry{Key: *h.Key, Backend: File, Generation: h.Generation, Public: h.Public}
	}
	e, err := f.index.readEntry(name, nil)
	if err != nil {
		return Entry{Backend: File, Generation: h.Generation}
	}
	return Entry{Key: e.Key, Backend: File, Generation: h.Generation, Public: e.publicOf(h.Generation)}
}

func (f *fileStore) entries(_ context.Context, key *Key) ([]Entry, []error) {
	names, err := namesIn(f.dir, recordSuffix, key)
	var all []Entry
	var errs []error
	for _, name := range names {
		h, _, err := f.readRecord(name)
		if errors.Is(err, ErrNotFound) {
			continue // the key has no file, or another process has just deleted it
		}
		e := f.entryOf(name, h)
		if key != nil {
			e.Key = *key
		}
		if err == nil && e.Key.Server == "" {
			err = withPath(f.index.path(name), fmt.Errorf("%w: the entry that names the server of %s cannot be read", ErrCorrupt, f.path(name)))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, e)
	}
	return all, append(errs, err)
}

func (f *fileStore) put(_ context.Context, key Key, r Record, reserved reservedSpace) (Record, error) {
	if len(r.Secret) > maxSecret {
		return Record{}, tooLarge(len(r.Secret))
	}
	name, path := key.name(), f.path(key.name())
	stored, err := f.headToReplace(name)
	if err != nil {
		return Record{}, err
	}
	r.Generation = max(stored.Generation, r.Generation) + 1
	record, err := f.encodeRecord(key, r, reserved)
	if err != nil {
		return Record{}, err
	}
	temp, err := f.openTemp(name, reserved)
	if err == nil {
		err = moveInto(temp, path, record, true, f.step)
	}
	if err != nil {
		return Record{}, err
	}
	if err := f.step("file in place"); err != nil {
		return Record{}, err
	}
	if err := syncFolder(f.dir); err != nil { // only a warning, because the new record can be read
		f.notice(fmt.Sprintf("%s is stored, but may not survive a power failure: %v", path, withoutPath(err)))
	}
	data, err := readPrivate(path, maxFile)
	if err != nil {
		return Record{}, err
	}
	if !bytes.Equal(data, record) {
		return Record{}, withPath(path, fmt.Errorf("%w: the stored data differs from the written data", ErrUnwritable))
	}
	sweepTemps(path)
	f.dropOldIndex(key)
	return r, nil
}

// headToReplace returns the head of the stored record, or a zero head if no record is stored. A damaged record is an error. An encrypted
// record is an error if no key file is given, because the new record could not be encrypted.
func (f *fileStore) headToReplace(name string) (recordHead, error) {
	if err := ensureFolder(f.dir, true); err != nil {
		return recordHead{}, err
	}
	stored, _, err := f.readRecord(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return recordHead{}, err
	}
	if stored.Encoding == encodedAge && f.keyFile == "" {
		return recordHead{}, withPath(f.path(name), fmt.Errorf("%w: encrypted, but no key file is given", ErrKeyFile))
	}
	return stored, nil
}

// encodeRecord returns the content of the file. If reserve has not read the key file, encodeRecord reads it.
func (f *fileStore) encodeRecord(key Key, r Record, reserved reservedSpace) ([]byte, error) {
	payload, encoding := encodePayload(r.Secret)
	if f.keyFile != "" {
		var k *ageKeys
		var err error
		if p, ok := reserved.(*reservedFile); ok {
			k = p.keys
		} else if k, err = readKeys(f.keyFile); err != nil {
			return nil, err
		}
		sealed, err := k.encrypt(r.Secret)
		if err != nil {
			return nil, err
		}
		payload, encoding = string(sealed), encodedAge
	}
	h := recordHead{Generation: r.Generation, Encoding: encoding, Key: &key}
	if r.Public != nil {
		public, err := json.Marshal(r.Public) // the checksum must cover the same JSON that encodeHead writes
		if err != nil {
			return nil, fmt.Errorf("%w: public part: %w", ErrUnwritable, err)
		}
		h.Public = public
	}
	value, _, err := splitPayload(key.name(), key.name(), h, payload, func(string) int { return maxFile })
	return []byte(value), err
}

// dropOldIndex deletes the index entry that an early version of mcpauth wrote for a file.
func (f *fileStore) dropOldIndex(key Key) {
	if e, err := f.index.readEntry(key.name(), &key); err == nil && !e.mayBeInKeychain() {
		_ = f.index.remove(key.name())
	}
}

// reservedFile is the temporary file for the next put. After a put has used the file, path is empty.
type reservedFile struct {
	path string
	keys *ageKeys // read before a refresh token is redeemed, because the key file may be deleted or replaced later; nil = not encrypted
}

func (p *reservedFile) release(context.Context) {
	if p.path != "" {
		os.Remove(p.path)
	}
}

// openTemp opens the reserved file, or creates a new one.
func (f *fileStore) openTemp(name string, reserved reservedSpace) (*os.File, error) {
	if p, ok := reserved.(*reservedFile); ok && p.path != "" {
		temp, err := os.OpenFile(p.path, os.O_WRONLY, 0)
		if p.path = ""; err == nil {
			return temp, nil
		}
	}
	return createTemp(f.path(name))
}

// reservedExtra is the number of bytes to allocate in addition to the size of the stored record. A typical credential is smaller.
const reservedExtra = 14 << 10

// The method reserve writes a temporary file and reads it back. The file is as large as the next record is likely to be. A full disk is thus
// detected before a refresh token is redeemed.
func (f *fileStore) reserve(_ context.Context, key Key) (reservedSpace, error) {
	name, path := key.name(), f.path(key.name())
	if _, err := f.headToReplace(name); err != nil {
		return nil, err
	}
	var k *ageKeys
	if f.keyFile != "" {
		var err error
		if k, err = readKeys(f.keyFile); err != nil {
			return nil, err
		}
	}
	size := reservedExtra
	if info, err := os.Lstat(path); err == nil {
		size += int(min(info.Size(), maxFile-reservedExtra))
	}
	data := bytes.Repeat([]byte("mcpauth place\n"), size/14+1)[:size]
	sweepTemps(path) // the caller holds the lock, so the processes that created these files are dead
	temp, err := createTemp(path)
	if err != nil {
		return nil, err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Close()); err == nil { // a network file system may report only on close that it is full
		var got []byte
		if got, err = os.ReadFile(temp.Name()); err == nil && !bytes.Equal(got, data) {
			err = errors.New("the stored data differs from the written data")
		}
	}
	if err != nil {
		os.Remove(temp.Name())
		return nil, writeError(path, err)
	}
	return &reservedFile{temp.Name(), k}, nil
}

func (f *fileStore) delete(_ context.Context, key Key) error {
	if err := checkFolder(f.dir, true); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	name := key.name()
	_, _, err := f.readRecord(name)
	if errors.Is(err, ErrNewer) {
		return err
	}
	sweepTemps(f.path(name))
	f.dropOldIndex(key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err := removePrivate(f.path(name)); err != nil {
		return err
	}
	return writeError(f.dir, syncFolder(f.dir))
}

func tooLarge(n int) error {
	return fmt.Errorf("%w: the secret has %d bytes, the limit is %d", ErrUnwritable, n, maxSecret)
}

// This file is the file store: one private file per credential, replaced whole, encrypted with age where a key file is given. An
// encrypted record is never read without the key and, once a key file is given, nothing is ever written in the clear.

package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"
)

type fileStore struct {
	dir     string
	keyFile string
	step    func(string) error
}

func (f *fileStore) kind() string            { return File }
func (f *fileStore) path(name string) string { return filepath.Join(f.dir, name+".credential") }

// has tells whether there is a record, whatever is wrong with it.
func (f *fileStore) has(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

func (f *fileStore) read(_ context.Context, name string, _ entry) (head, []byte, error) {
	h, payload, err := f.load(name)
	if err != nil {
		return head{}, nil, err
	}
	secret, err := f.open(h, payload)
	return h, secret, at(f.path(name), err)
}

// load reads a record without decrypting it.
func (f *fileStore) load(name string) (head, string, error) {
	if err := checkFolder(f.dir, true); err != nil {
		return head{}, "", err
	}
	data, err := readPrivate(f.path(name), maxFile)
	if err != nil {
		return head{}, "", err
	}
	h, payload, err := decodeFile(name, data)
	return h, payload, at(f.path(name), err)
}

func decodeFile(name string, data []byte) (head, string, error) {
	h, payload, err := parseHead(string(data))
	if err != nil {
		return head{}, "", err
	}
	payload, err = join(name, h, payload, nil)
	return h, payload, err
}

func (f *fileStore) open(h head, payload string) ([]byte, error) {
	if h.Encoding != encodedAge {
		return decodePayload(payload, h.Encoding)
	}
	if f.keyFile == "" {
		return nil, fmt.Errorf("%w: encrypted, and no key file is given", ErrLocked)
	}
	ids, err := f.identities()
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader([]byte(payload)), ids...)
	if err != nil {
		if none := new(age.NoIdentityMatchError); errors.As(err, &none) {
			return nil, fmt.Errorf("%w: encrypted to another key than that of %s", ErrDenied, f.keyFile)
		}
		return nil, fmt.Errorf("%w: what is encrypted cannot be read", ErrCorrupt)
	}
	secret, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: what is encrypted is cut short or changed", ErrCorrupt)
	}
	return secret, nil
}

// identities reads the key file.
func (f *fileStore) identities() ([]age.Identity, error) {
	file, err := os.Open(f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: key file %s: %w", ErrLocked, f.keyFile, bare(err))
	}
	defer file.Close()
	ids, err := age.ParseIdentities(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: key file %s is not an age identity", ErrLocked, f.keyFile) // the parser's error may quote the key
	}
	return ids, nil
}

// seal encrypts to the first identity of the key file.
func (f *fileStore) seal(secret []byte) (payload, encoding string, err error) {
	if f.keyFile == "" {
		payload, encoding = encodePayload(secret)
		return payload, encoding, nil
	}
	ids, err := f.identities()
	if err != nil {
		return "", "", err
	}
	var to age.Recipient
	switch id := ids[0].(type) {
	case *age.X25519Identity:
		to = id.Recipient()
	case *age.HybridIdentity:
		to = id.Recipient()
	default:
		return "", "", fmt.Errorf("%w: key file %s: identities of type %T cannot be encrypted to", ErrLocked, f.keyFile, id)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		_, err = w.Write(secret)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: encrypting: %v", ErrUnwritable, err)
	}
	return out.String(), encodedAge, nil
}

func (f *fileStore) prepare(_ context.Context, name string, e entry, r Record) (plan, error) {
	if len(r.Secret) > maxSecret {
		return plan{}, tooLarge(len(r.Secret))
	}
	if err := ensureFolder(f.dir, true); err != nil {
		return plan{}, err
	}
	stored, _, err := f.load(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return plan{}, err
	}
	if err := f.mayReplace(name, stored); err != nil {
		return plan{}, err
	}
	payload, encoding, err := f.seal(r.Secret)
	if err != nil {
		return plan{}, err
	}
	p := plan{reservation: reservation{Generation: max(stored.Generation, e.highest(), r.Generation) + 1}}
	p.head, _, err = split(name, name, head{Generation: p.Generation, Encoding: encoding}, payload, func(string) int { return maxFile })
	return p, err
}

// mayReplace refuses to write in the clear what was encrypted.
func (f *fileStore) mayReplace(name string, stored head) error {
	if stored.Encoding == encodedAge && f.keyFile == "" {
		return at(f.path(name), fmt.Errorf("%w: encrypted, and no key file is given", ErrLocked))
	}
	return nil
}

func (f *fileStore) write(_ context.Context, name string, p plan) error {
	path := f.path(name)
	if err := writePrivate(path, []byte(p.head), true, f.step); err != nil {
		return err
	}
	if err := f.step("file in place"); err != nil {
		return err
	}
	data, err := readPrivate(path, maxFile)
	if err != nil {
		return err
	}
	if string(data) != p.head {
		return at(path, fmt.Errorf("%w: it reads back differently", ErrUnwritable))
	}
	return nil
}

// sweep deletes the temporary files of killed writers: the caller's lock says that nobody else is writing.
func (f *fileStore) sweep(_ context.Context, name string, _ plan) error {
	sweepTemps(f.path(name), anyAge)
	return nil
}

func (f *fileStore) remove(_ context.Context, name string, _ entry, _ func([]reservation) error) error {
	if err := checkFolder(f.dir, true); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if _, _, err := f.load(name); errors.Is(err, ErrNewer) {
		return err
	}
	sweepTemps(f.path(name), anyAge)
	if err := removePrivate(f.path(name)); err != nil {
		return err
	}
	return unwritable(f.dir, syncFolder(f.dir))
}

// probeRoom is more than a credential usually takes, or grows by.
const probeRoom = 14 << 10

// probeData is as large as the next record may be, so that a disk that is nearly full is found out before a token is spent.
func (f *fileStore) probeData(name string) []byte {
	size := probeRoom
	if info, err := os.Lstat(f.path(name)); err == nil {
		size += int(min(info.Size(), maxFile-probeRoom))
	}
	return bytes.Repeat([]byte("mcpauth probe\n"), size/14+1)[:size]
}

// probe writes, reads and deletes.
func (f *fileStore) probe(_ context.Context, name string) error {
	if _, _, err := f.seal(nil); err != nil {
		return err
	}
	if err := ensureFolder(f.dir, true); err != nil {
		return err
	}
	stored, _, err := f.load(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := f.mayReplace(name, stored); err != nil {
		return err
	}
	path, data := f.path(name)+".probe", f.probeData(name)
	sweepTemps(path, anyAge)
	if err := writePrivate(path, data, true, nil); err != nil {
		return err
	}
	got, err := readPrivate(path, maxFile)
	if err == nil && !bytes.Equal(got, data) {
		err = at(path, fmt.Errorf("%w: it reads back differently", ErrUnwritable))
	}
	return errors.Join(err, removePrivate(path))
}

func tooLarge(n int) error {
	return fmt.Errorf("%w: a secret of %d bytes, at most %d are kept", ErrUnwritable, n, maxSecret)
}

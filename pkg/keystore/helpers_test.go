package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zalando/go-keyring"
)

// fake is a keychain in memory with the limits of a real one. before is called before each operation, and may return an error or block.
type fake struct {
	mu     sync.Mutex
	items  map[string]string
	limit  func(account, value string) error
	before func(op, account string) error
	ops    map[string]int

	running int // number of running operations
	ended   *sync.Cond
}

func newFake() *fake {
	f := &fake{items: map[string]string{}, ops: map[string]int{}}
	f.ended = sync.NewCond(&f.mu)
	return f
}

// idle waits until at most the given number of operations are running, which are the operations that still hang. Operations that a test has
// released are then complete.
func (f *fake) idle(hanging int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.running > hanging {
		f.ended.Wait()
	}
}

func (f *fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.ended.Broadcast()
}

func (f *fake) ask(op, account string) error {
	f.mu.Lock()
	before := f.before
	f.ops[op]++
	f.running++
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(op, account)
}

func (f *fake) set(account, value string) error {
	defer f.end()
	if err := f.ask("set", account); err != nil {
		return err
	}
	if f.limit != nil {
		if err := f.limit(account, value); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[account] = value
	return nil
}

func (f *fake) get(account string) (string, error) {
	defer f.end()
	if err := f.ask("get", account); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.items[account]
	if !ok {
		return "", keyring.ErrNotFound
	}
	return value, nil
}

func (f *fake) delete(account string) error {
	defer f.end()
	if err := f.ask("delete", account); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.items[account]; !ok {
		return keyring.ErrNotFound
	}
	delete(f.items, account)
	return nil
}

func (f *fake) accounts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.items))
}

func (f *fake) on(before func(op, account string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// disk is a keychain in a folder, for tests with several processes. Like real keychains, it replaces an item atomically.
type disk struct{ dir string }

func (d disk) path(account string) string { return filepath.Join(d.dir, url.PathEscape(account)) }

func (d disk) set(account, value string) error {
	f, err := os.CreateTemp(filepath.Dir(d.dir), "item")
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), d.path(account)))
}

func (d disk) get(account string) (string, error) {
	data, err := os.ReadFile(d.path(account))
	if errors.Is(err, os.ErrNotExist) {
		return "", keyring.ErrNotFound
	}
	return string(data), err
}

func (d disk) delete(account string) error {
	err := os.Remove(d.path(account))
	if errors.Is(err, os.ErrNotExist) {
		return keyring.ErrNotFound
	}
	return err
}

// generous is a platform with a keychain and without size limits.
func generous() platform {
	return platform{maxSize: maxSizeSecretService, classify: classifyCommon, available: func() error { return nil }}
}

// roomy limits items to n bytes.
func roomy(n int) platform {
	p := generous()
	p.maxSize = func(string) int { return n }
	return p
}

// keyless is a platform without a keychain.
func keyless() platform {
	p := generous()
	p.available = func() error { return fmt.Errorf("%w: none here", ErrUnavailable) }
	return p
}

// testDatabase returns the connection string of a separate schema for each folder, and an age identity file. testDatabase is nil if there
// is no test server.
var testDatabase func(t *testing.T, dir string) (url, keyFile string)

// rowsOf lists the rows of the database.
func rowsOf(t *testing.T, s *testStore) []string {
	t.Helper()
	rows, err := s.postgres.query(t.Context(), Key{}, `SELECT name FROM mcpauth_credentials`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, string(r[0]))
	}
	return names
}

// spoilRow replaces the encrypted part of a row with data that is encrypted to the same recipient.
func (s *testStore) spoilRow(t *testing.T, key Key, record []byte) {
	t.Helper()
	k, err := readKeys(s.o.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.encrypt(record)
	if err != nil {
		t.Fatal(err)
	}
	_, stored, err := s.postgres.readRow(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.setRow(t, key, append(stored[:labelSize], sealed...))
}

func (s *testStore) setRow(t *testing.T, key Key, sealed []byte) {
	t.Helper()
	if _, err := s.postgres.query(t.Context(), key, `UPDATE mcpauth_credentials SET sealed = $2 WHERE name = $1`, key.name(), sealed); err != nil {
		t.Fatal(err)
	}
}

type testStore struct {
	*Store
	dir     string
	notices []string
}

// openTest opens a store in dir that uses f instead of the system's keychain.
func openTest(t *testing.T, dir, backend string, r itemStore, p platform) *testStore {
	t.Helper()
	ts := &testStore{dir: dir}
	url, keyFile := "", ""
	if backend == Postgres {
		url, keyFile = testDatabase(t, dir)
	}
	s, err := Open(Options{Backend: backend, URL: url, KeyFile: keyFile, StateDir: filepath.Join(dir, "state"), Dir: filepath.Join(dir, "keys"),
		Notice: func(text string) { ts.notices = append(ts.notices, text) }})
	if err != nil {
		t.Fatal(err)
	}
	s.keychain = newKeychain(s.file.env, r, p, 10*time.Second)
	ts.Store = s
	return ts
}

func testKey() Key { return Key{Server: "https://mcp.example.com/mcp"} }

// put acquires the lock, stores a secret and releases the lock.
func (s *testStore) put(t *testing.T, key Key, secret string) Record {
	t.Helper()
	r, err := s.tryPut(t, key, secret)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *testStore) tryPut(t *testing.T, key Key, secret string) (Record, error) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), key, LockCredential)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	return s.Put(t.Context(), key, Record{Secret: []byte(secret), Public: fmt.Appendf(nil, `{"n":%d}`, len(secret))})
}

// refresh stores a secret like a token refresh: it acquires the lock, reads the record again, reserves space and stores the new secret.
func (s *testStore) refresh(t *testing.T, key Key, secret string) Record {
	t.Helper()
	unlock, err := s.Lock(t.Context(), key, LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	r, err := s.Get(t.Context(), key)
	if err == nil {
		err = s.Reserve(t.Context(), key)
	}
	if err == nil {
		r.Secret, r.Public = []byte(secret), fmt.Appendf(nil, `{"n":%d}`, len(secret))
		r, err = s.Put(t.Context(), key, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refuse is a token refresh that the server rejects. It reserves space and stores nothing.
func (s *testStore) refuse(t *testing.T, key Key) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), key, LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := s.Reserve(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// nextProcess clears the cache of the keychain, because a new process would not have it.
func (s *testStore) nextProcess() { clear(s.keychain.cache) }

// want checks the stored secret.
func (s *testStore) want(t *testing.T, key Key, secret string) Record {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if !bytes.Equal(r.Secret, []byte(secret)) {
		t.Fatalf("Get: %d bytes, generation %d: not the %d bytes expected", len(r.Secret), r.Generation, len(secret))
	}
	return r
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no *Error", err)
	}
	for _, other := range []error{ErrNotFound, ErrLocked, ErrDenied, ErrTimeout, ErrUnavailable, ErrUnwritable, ErrCorrupt, ErrNewer, ErrBusy, ErrInsecure, ErrKeyFile} {
		if other == ErrNotFound && want != ErrNotFound && errors.Is(err, ErrNotFound) {
			t.Errorf("%v also says that nothing is stored", err)
		}
	}
}

// files returns the sorted names of the files in a folder, without the lock files beside the records.
func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		if !strings.HasSuffix(f.Name(), ".record.lock") {
			names = append(names, f.Name())
		}
	}
	return names
}

// text returns a secret of n bytes without repetitions, so that a test detects swapped parts.
func text(n int) string {
	s := longText()[:n]
	return strings.ToValidUTF8(s, "xy"[:n-len(strings.ToValidUTF8(s, ""))])
}

var longText = sync.OnceValue(func() string {
	var b strings.Builder
	for i := 0; b.Len() < 4<<20; i++ {
		b.WriteString(strconv.Itoa(i) + "-é,")
	}
	return b.String()
})

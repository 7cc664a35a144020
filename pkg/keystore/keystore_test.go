package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// each runs a test on every backend. It includes postgres only if there is a test server, which scripts/fleet starts.
func each(t *testing.T, test func(t *testing.T, s *testStore)) {
	for _, backend := range backends() {
		t.Run(backend, func(t *testing.T) { test(t, openTest(t, t.TempDir(), backend, newFake(), roomy(600))) })
	}
}

func backends() []string {
	if testDatabase != nil {
		return []string{File, Keychain, Postgres}
	}
	return []string{File, Keychain}
}

func TestPutGetDelete(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		_, err := s.Get(t.Context(), testKey())
		wantErr(t, err, ErrNotFound)
		for i, secret := range []string{"one", text(5000), "", "three\nlines\n", string([]byte{0, 255, 1})} {
			if r := s.put(t, testKey(), secret); r.Generation != uint64(i+1) {
				t.Errorf("generation %d, want %d", r.Generation, i+1)
			}
			r := s.want(t, testKey(), secret)
			if want := fmt.Sprintf(`{"n":%d}`, len(secret)); string(r.Public) != want || r.Generation != uint64(i+1) {
				t.Errorf("public %s of generation %d, want %s of %d", r.Public, r.Generation, want, i+1)
			}
		}
		for range 2 { // absent is nil
			if err := s.Delete(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.Get(t.Context(), testKey())
		wantErr(t, err, ErrNotFound)
		_, err = s.Entry(t.Context(), testKey())
		wantErr(t, err, ErrNotFound)
		if left := s.leftovers(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// leftovers returns all stored files, items and rows except lock files.
func (s *testStore) leftovers(t *testing.T) []string {
	t.Helper()
	left := slices.Concat(files(t, s.dir+"/keys"), files(t, s.dir+"/state/index"), files(t, s.dir+"/state/notes"))
	if s.o.Backend == Postgres {
		left = append(left, rowsOf(t, s)...)
	}
	if f, ok := s.keychain.items.(*fake); ok {
		left = append(left, f.accounts()...)
	}
	return left
}

func TestPutIsTheNextGeneration(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		s.put(t, testKey(), "one")
		r, err := s.Put(t.Context(), testKey(), Record{Generation: 41, Secret: []byte("two")})
		if err != nil || r.Generation != 42 {
			t.Fatalf("generation %d, %v; want 42: never lower than the caller's", r.Generation, err)
		}
		if r := s.put(t, testKey(), "three"); r.Generation != 43 {
			t.Errorf("generation %d, want 43: one more than what is stored", r.Generation)
		}
	})
}

// Between writes, only the files and items of the current generation exist.
func TestPutLeavesNothingOld(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		for _, n := range []int{10, 5000, 20, 3000, 6000, 30} {
			s.put(t, testKey(), text(n))
			s.want(t, testKey(), text(n))
		}
		if left := s.leftovers(t); len(left) != s.perLogin() {
			t.Errorf("left: %q", left)
		}
	})
}

// perLogin returns the number of files and items of a login: the record and, in the keychain, its index entry.
func (s *testStore) perLogin() int {
	if s.o.Backend == Keychain {
		return 2
	}
	return 1
}

// A refresh reserves space for its record. Space that is not used is freed.
func TestReserve(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		for i, n := range []int{10, 5000, 20} {
			if r := s.refreshOrFirst(t, text(n)); r.Generation != uint64(i+1) {
				t.Errorf("generation %d, want %d", r.Generation, i+1)
			}
			s.want(t, testKey(), text(n))
			s.refuse(t, testKey())
			s.want(t, testKey(), text(n))
			if left := s.leftovers(t); len(left) != s.perLogin() && n < 500 {
				t.Errorf("left: %q", left)
			}
		}
		if e, err := s.Entry(t.Context(), testKey()); err != nil || e.Generation != 3 {
			t.Errorf("entry %+v, %v", e, err)
		}
	})
}

func (s *testStore) refreshOrFirst(t *testing.T, secret string) Record {
	t.Helper()
	if _, err := s.Get(t.Context(), testKey()); err == nil {
		return s.refresh(t, testKey(), secret)
	}
	s.refuse(t, testKey())
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	return s.put(t, testKey(), secret)
}

// Servers whose URLs differ only in characters that are unsafe in file names have separate credentials.
func TestKeysShareNothing(t *testing.T) {
	long := "https://x.example/" + strings.Repeat("a/", 5000)
	keys := []Key{
		{Server: "https://x.example/a/b"}, {Server: "https://x.example/a_b"}, {Server: "https://x.example/a:b"}, {Server: "https://x.example/a?b"},
		{Server: "https://x.example/a%2Fb"}, {Server: "https://x.example/A/b"}, {Server: "https://x.example/a\\b"}, {Server: "https://x.example/a/b/"},
		{Server: "https://x.example:444/a/b"}, {Server: "http://x.example/a/b"}, {Server: "https://x.example/a/b", Profile: "p"},
		{Server: "https://x.example/a/b", Profile: "P"}, {Server: "https://x.example/a/b", Profile: "p\x00"}, {Server: "https://x.example/a/bp"},
		{Server: "https://con/"}, {Server: "../../etc/passwd"}, {Server: "https://x.example/ä"}, {Server: "https://x.example/a%CC%88"},
		{Server: long + "1"}, {Server: long + "2"},
	}
	each(t, func(t *testing.T, s *testStore) {
		names := map[string]bool{}
		for i, key := range keys {
			s.put(t, key, fmt.Sprintf("secret %d", i))
			name := key.name()
			if names[strings.ToLower(name)] {
				t.Errorf("%q shares its name %q", key, name)
			}
			names[strings.ToLower(name)] = true
			if len(name) > 100 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(name, "-") {
				t.Errorf("name %q is unsafe", name)
			}
		}
		for i, key := range keys {
			s.want(t, key, fmt.Sprintf("secret %d", i))
		}
		if err := s.Delete(t.Context(), keys[0]); err != nil {
			t.Fatal(err)
		}
		for i, key := range keys[1:] {
			s.want(t, key, fmt.Sprintf("secret %d", i+1))
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != len(keys)-1 {
			t.Errorf("%d entries, %v; want %d", len(list), err, len(keys)-1)
		}
	})
}

// A URL may contain an API key in its path or query, so the names of files and items contain only the host.
func TestNameTellsHostOnly(t *testing.T) {
	name := Key{Server: "https://mcp.example.com/canary-path?key=canary-query", Profile: "Work"}.name()
	if !strings.HasPrefix(name, "mcp-example-com-work-") || strings.Contains(name, "canary") {
		t.Errorf("name %q", name)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	r := Record{Generation: 3, Secret: []byte("canary-secret")}
	for _, v := range []any{r, &r, []Record{r}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(format, v); strings.Contains(got, "canary") || strings.Contains(got, "99 97 110") {
				t.Errorf("%T with %s prints the secret: %s", v, format, got)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]Options{"unknown backend": {Backend: "paper", StateDir: "s", Dir: "d"}, "no state folder": {Dir: "d"}, "no folder": {StateDir: "s"}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A hundred goroutines read, increment and write a number under the lock. No increment is lost.
func TestHundredGoroutines(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *testStore) {
		const n = 100
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				r, err := s.Get(t.Context(), testKey())
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
					return
				}
				r.Secret = append(r.Secret, strings.Repeat("x", 20)...) // grows into parts
				if _, err := s.Put(t.Context(), testKey(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if r := s.want(t, testKey(), strings.Repeat("x", 20*n)); r.Generation != n {
			t.Errorf("generation %d, want %d: writes were lost", r.Generation, n)
		}
	})
}

// Readers without a lock see only complete records while a writer is active, and never an older record than before.
func TestReadersBesideAWriter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *testStore) { readersBesideAWriter(t, s, func() *testStore { return s }) })
}

func readersBesideAWriter(t *testing.T, s *testStore, reader func() *testStore) {
	s.put(t, testKey(), text(900))
	done, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		s := reader()
		wg.Go(func() {
			last := uint64(0)
			for done.Err() == nil {
				r, err := s.Get(t.Context(), testKey())
				if err != nil {
					t.Errorf("after generation %d: %v", last, err)
					return
				}
				if r.Generation < last || string(r.Secret) != text(len(r.Secret)) || len(r.Secret)%900 != 0 {
					t.Errorf("generation %d with %d bytes after %d", r.Generation, len(r.Secret), last)
					return
				}
				last = r.Generation
			}
		})
	}
	for i := range 40 {
		s.put(t, testKey(), text(900*(1+i%3)))
	}
	cancel()
	wg.Wait()
}

func TestAuto(t *testing.T) {
	ctx := t.Context()
	t.Run("the keychain where one answers", func(t *testing.T) {
		s := openTest(t, t.TempDir(), Auto, newFake(), generous())
		s.put(t, testKey(), "x")
		if e, err := s.Entry(ctx, testKey()); err != nil || e.Backend != Keychain {
			t.Error(e, err)
		}
		if got := files(t, s.dir+"/keys"); len(got) > 0 || len(s.notices) > 0 {
			t.Errorf("files %q, notices %q", got, s.notices)
		}
	})
	t.Run("files where there is none, said once", func(t *testing.T) {
		s := openTest(t, t.TempDir(), Auto, newFake(), keyless())
		if err := s.Writable(ctx, testKey()); err != nil {
			t.Fatal(err)
		}
		s.put(t, testKey(), "x")
		s.put(t, Key{Server: "https://other.example"}, "y")
		if len(s.notices) != 1 {
			t.Errorf("notices %q, want one", s.notices)
		}
		if e, err := s.Entry(ctx, testKey()); err != nil || e.Backend != File {
			t.Error(e, err)
		}
	})
	for name, trouble := range map[string]error{"locked": ErrLocked, "denied": ErrDenied, "slow": ErrTimeout} {
		t.Run("a keychain that is "+name+" is an error", func(t *testing.T) {
			p := generous()
			p.available = func() error { return trouble }
			s := openTest(t, t.TempDir(), Auto, newFake(), p)
			_, err := s.Get(ctx, testKey())
			wantErr(t, err, trouble)
			wantErr(t, s.Writable(ctx, testKey()), trouble)
			_, err = s.Put(ctx, testKey(), Record{Secret: []byte("x")})
			wantErr(t, err, trouble)
			if got := files(t, s.dir+"/keys"); len(got) > 0 {
				t.Errorf("written elsewhere: %q", got)
			}
		})
	}
}

// If a credential is in the keychain and the keychain becomes unavailable, all operations fail, and nothing is written to a file.
func TestAutoNeverMovesToAFile(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	openTest(t, dir, Auto, f, generous()).put(t, testKey(), "x")
	gone := keyless()
	f.on(func(string, string) error { return fmt.Errorf("%w: no bus", ErrUnavailable) })
	s := openTest(t, dir, Auto, f, gone)
	_, err := s.Get(t.Context(), testKey())
	wantErr(t, err, ErrUnavailable)
	wantErr(t, s.Writable(t.Context(), testKey()), ErrUnavailable)
	_, err = s.Put(t.Context(), testKey(), Record{Secret: []byte("y")})
	wantErr(t, err, ErrUnavailable)
	wantErr(t, s.Delete(t.Context(), testKey()), ErrUnavailable)
	if got := files(t, dir+"/keys"); len(got) > 0 {
		t.Errorf("written elsewhere: %q", got)
	}
	f.on(nil)
	openTest(t, dir, Auto, f, generous()).want(t, testKey(), "x")
}

// If a credential is in a file, operations do not access the keychain.
func TestAutoLeavesFilesAlone(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir, Auto, newFake(), keyless()).put(t, testKey(), "x")
	f, p := newFake(), generous()
	p.available = func() error { t.Error("the keychain was asked"); return nil }
	s := openTest(t, dir, Auto, f, p)
	s.want(t, testKey(), "x")
	s.put(t, testKey(), "y")
	if err := s.Writable(t.Context(), testKey()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(dir + "/state/index"); err != nil { // the keychain is not accessed even if the index is missing
		t.Fatal(err)
	}
	s.want(t, testKey(), "y")
	s.put(t, testKey(), "z")
	if len(f.ops) > 0 {
		t.Errorf("keychain operations: %v", f.ops)
	}
}

// If the user has selected a backend, a credential in the other one is not used. Get returns ErrElsewhere for it, and Delete deletes it.
func TestExplicitBackend(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	openTest(t, dir, Auto, f, generous()).put(t, testKey(), "x")
	s := openTest(t, dir, File, f, generous())
	_, err := s.Get(t.Context(), testKey())
	wantErr(t, err, ErrElsewhere)
	if !strings.Contains(err.Error(), "keychain") {
		t.Errorf("%v does not say where it is", err)
	}
	if r := s.put(t, testKey(), "y"); r.Generation != 2 {
		t.Errorf("generation %d, want 2", r.Generation)
	}
	auto := openTest(t, dir, Auto, f, generous())
	auto.want(t, testKey(), "y")
	if err := auto.Delete(t.Context(), testKey()); err != nil {
		t.Fatal(err)
	}
	if left := auto.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWritableLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		for range 2 {
			if err := s.Writable(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
		}
		if left := s.leftovers(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := s.Writable(t.Context(), testKey()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestIndexIsAHint(t *testing.T) {
	{
		s := openTest(t, t.TempDir(), Keychain, newFake(), roomy(600))
		path := s.keychain.index.path(testKey().name())
		for name, spoil := range map[string]func() error{
			"lost":    func() error { return os.Remove(path) },
			"corrupt": func() error { return os.WriteFile(path, []byte("{half"), 0o600) },
			"foreign": func() error {
				e := indexEntry{Version: 1, Key: Key{Server: "https://other"}, Backend: Keychain, Generation: 9}
				data, _ := json.Marshal(e)
				return os.WriteFile(path, data, 0o600)
			},
		} {
			t.Run(name, func(t *testing.T) {
				before := s.put(t, testKey(), text(2000))
				if err := spoil(); err != nil {
					t.Fatal(err)
				}
				s.want(t, testKey(), text(2000))
				if _, err := s.Entry(t.Context(), testKey()); err == nil {
					t.Error("the index says more than it knows")
				}
				after := s.put(t, testKey(), "repaired")
				if after.Generation != before.Generation+1 {
					t.Errorf("generation %d after %d", after.Generation, before.Generation)
				}
				if e, err := s.Entry(t.Context(), testKey()); err != nil || e.Generation != after.Generation {
					t.Errorf("not repaired: %+v, %v", e, err)
				}
				s.want(t, testKey(), "repaired")
				if left := s.leftovers(t); len(left) != 2 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}

func TestListReportsDamage(t *testing.T) {
	for backend, place := range map[string]string{File: "keys/bad.credential", Keychain: "state/index/bad.json"} {
		t.Run(backend, func(t *testing.T) { listReportsDamage(t, backend, place) })
	}
}

func listReportsDamage(t *testing.T, backend, place string) {
	s := openTest(t, t.TempDir(), backend, newFake(), generous())
	if list, err := s.List(t.Context()); len(list) > 0 || err != nil {
		t.Fatal(list, err)
	}
	for i := range 3 {
		s.put(t, Key{Server: fmt.Sprintf("https://%d.example", i)}, "x")
	}
	bad := filepath.Join(s.dir, place)
	if err := os.WriteFile(bad, []byte(`{"mcpauth":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	wantErr(t, err, ErrCorrupt)
	if len(list) != 3 || !strings.Contains(err.Error(), filepath.Base(place)) {
		t.Errorf("%d entries, error %v; want 3 and the path", len(list), err)
	}
	if err := os.WriteFile(bad, []byte(`{"mcpauth":2}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err = s.List(t.Context())
	wantErr(t, err, ErrNewer)
	if len(list) != 3 {
		t.Errorf("%d entries, want 3", len(list))
	}
	if _, err := os.Stat(bad); err != nil {
		t.Error("the damaged file is gone")
	}
}

// No operation changes an index entry or a record that a newer version of mcpauth wrote.
func TestNewerIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		s.put(t, testKey(), "x")
		name := testKey().name()
		newHead := `{"mcpauth":2,"shape":"unknown"}` + "\nx"
		spoil := map[string]func(){
			"index":  func() { os.WriteFile(s.keychain.index.path(name), []byte(`{"mcpauth":2}`), 0o600) },
			"record": func() { os.WriteFile(s.file.path(name), []byte(newHead), 0o600) },
		}
		if f, ok := s.keychain.items.(*fake); ok && s.o.Backend == Keychain {
			spoil["record"] = func() { f.items = map[string]string{name: newHead}; s.nextProcess() }
		} else if s.o.Backend == Postgres {
			spoil = map[string]func(){"record": func() {
				if _, err := s.postgres.query(t.Context(), Key{}, `UPDATE mcpauth_credentials SET format = 3`); err != nil {
					t.Fatal(err)
				}
			}}
		} else {
			delete(spoil, "index")
		}
		for what := range spoil {
			t.Run(what, func(t *testing.T) {
				spoil[what]()
				before := s.leftovers(t)
				_, err := s.Get(t.Context(), testKey())
				wantErr(t, err, ErrNewer)
				_, err = s.Put(t.Context(), testKey(), Record{Secret: []byte("y")})
				wantErr(t, err, ErrNewer)
				wantErr(t, s.Delete(t.Context(), testKey()), ErrNewer)
				if after := s.leftovers(t); !slices.Equal(before, after) {
					t.Errorf("before %q, after %q", before, after)
				}
			})
		}
	})
}

// A note can be replaced, read and deleted. A note that ReadNote would refuse is not written.
func TestNotes(t *testing.T) {
	s := openTest(t, t.TempDir(), File, newFake(), generous())
	ctx, other := t.Context(), Key{Server: "https://other.example"}
	_, err := s.ReadNote(ctx, testKey(), "intent")
	wantErr(t, err, ErrNotFound)
	for _, data := range []string{"one", "two"} {
		if err := s.Note(ctx, testKey(), "intent", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ReadNote(ctx, testKey(), "intent"); string(got) != data || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	wantErr(t, s.Note(ctx, testKey(), "intent", make([]byte, maxFile+1)), ErrUnwritable)
	if got, err := s.ReadNote(ctx, testKey(), "intent"); string(got) != "two" || err != nil {
		t.Errorf("after a note that is too large: got %d bytes, %v", len(got), err)
	}
	_, err = s.ReadNote(ctx, other, "intent")
	wantErr(t, err, ErrNotFound)
	for range 2 {
		if err := s.DeleteNote(ctx, testKey(), "intent"); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// renewing acquires the lock and reserves space, as at the beginning of a token refresh.
func renewing(t *testing.T, s *testStore) (unlock func(), r Record) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), testKey(), LockCredential)
	if err != nil {
		t.Fatal(err)
	}
	r, err = s.Get(t.Context(), testKey())
	if err == nil {
		err = s.Reserve(t.Context(), testKey())
	}
	if err != nil {
		t.Fatal(err)
	}
	return unlock, r
}

// If the key file is gone or replaced after Reserve, Put still stores the result, with the key that Reserve has read.
func TestKeyFileGoesDuringARenewal(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		key := s.o.KeyFile
		if key == "" {
			key = identity(t, s.dir, "key", false)
			s.file.keyFile = key
		}
		s.put(t, testKey(), "one")
		unlock, r := renewing(t, s)
		defer unlock()
		if err := os.Rename(key, key+".away"); err != nil {
			t.Fatal(err)
		}
		if err := s.Note(t.Context(), testKey(), "intent", []byte("x")); err != nil {
			t.Error(err)
		}
		r.Secret = []byte("two")
		if _, err := s.Put(t.Context(), testKey(), r); err != nil {
			t.Error(err)
		}
		if err := os.Rename(key+".away", key); err != nil {
			t.Fatal(err)
		}
		s.want(t, testKey(), "two")
	})
}

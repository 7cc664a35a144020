package keystore

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// openOlder opens a copy of a store that commit a2beb3f of mcpauth wrote. The store has credential files with index entries, and a
// keychain.
func openOlder(t *testing.T, backend string) (*Store, string) {
	t.Helper()
	dir, from := t.TempDir(), "testdata/a2beb3f"
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(from, path)
		if err != nil || relErr != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := openDisk(dir, backend)
	if err != nil {
		t.Fatal(err)
	}
	s.file.keyFile = filepath.Join(dir, "key")
	return s, dir
}

func TestOlderRecords(t *testing.T) {
	for _, tt := range []struct {
		key        Key
		backend    string
		secret     string
		generation uint64
		public     string
	}{
		{Key{Server: "https://plain.example/mcp"}, File, "plain secret", 3, `{"n":2}`},
		{Key{Server: "https://sealed.example/mcp"}, File, "sealed secret", 2, `{"n":1}`},
		{Key{Server: "https://plain.example/mcp", Profile: "\x00pending:abc"}, File, "pending secret", 1, `{"kind":"pending"}`},
		{Key{Server: "https://keychain.example/mcp"}, Keychain, "keychain secret", 2, `{"n":1}`},
		{Key{Server: "https://parts.example/mcp"}, Keychain, text(2000), 2, `{"n":1}`},
	} {
		t.Run(tt.key.name(), func(t *testing.T) {
			s, dir := openOlder(t, Auto)
			r, err := s.Get(t.Context(), tt.key)
			if err != nil || string(r.Secret) != tt.secret || r.Generation != tt.generation || string(r.Public) != tt.public {
				t.Fatalf("%v with public %s, %v", r, r.Public, err)
			}
			e, err := s.Entry(t.Context(), tt.key)
			if err != nil || e.Backend != tt.backend || e.Generation != tt.generation || string(e.Public) != tt.public {
				t.Errorf("entry %+v, %v", e, err)
			}
			list, err := s.List(t.Context())
			if err != nil || len(list) != 5 || !slices.ContainsFunc(list, func(l Entry) bool { return l.Key == tt.key && string(l.Public) == tt.public }) {
				t.Errorf("listed %+v, %v", list, err)
			}
			if r, err = s.Put(t.Context(), tt.key, Record{Secret: []byte("new"), Public: []byte(`{"n":9}`)}); err != nil || r.Generation != tt.generation+1 {
				t.Fatalf("%v, %v", r, err)
			}
			if e, err := s.Entry(t.Context(), tt.key); err != nil || string(e.Public) != `{"n":9}` || e.Backend != tt.backend {
				t.Errorf("entry %+v, %v", e, err)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 5 {
				t.Errorf("listed %+v, %v", list, err)
			}
			for _, e := range list {
				if err := s.Delete(t.Context(), e.Key); err != nil {
					t.Error(err)
				}
			}
			for _, folder := range []string{"keys", "ring", "state/index", "state/notes"} {
				if left := files(t, filepath.Join(dir, folder)); len(left) > 0 {
					t.Errorf("left in %s: %q", folder, left)
				}
			}
		})
	}
}

// Get returns ErrElsewhere if an earlier version has stored the login in a backend that is not the selected one.
func TestOlderRecordElsewhere(t *testing.T) {
	s, _ := openOlder(t, Keychain)
	_, err := s.Get(t.Context(), Key{Server: "https://plain.example/mcp"})
	wantErr(t, err, ErrElsewhere)
	s, _ = openOlder(t, File)
	_, err = s.Get(t.Context(), Key{Server: "https://parts.example/mcp"})
	wantErr(t, err, ErrElsewhere)
}

package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

// openFile opens a file store in dir. It is encrypted unless keyFile is "".
func openFile(t *testing.T, dir, keyFile string) *testStore {
	t.Helper()
	s := openTest(t, dir, File, newFake(), keyless())
	s.file.keyFile = keyFile
	return s
}

// identity writes a new age identity to a file and returns the path.
func identity(t *testing.T, dir, name string, hybrid bool) string {
	t.Helper()
	var id fmt.Stringer
	var err error
	if hybrid {
		id, err = age.GenerateHybridIdentity()
	} else {
		id, err = age.GenerateX25519Identity()
	}
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, name), "# a comment, as age-keygen writes it\n"+id.String()+"\n")
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Secrets up to the size limit can be stored, encrypted or not. A larger secret is an error.
func TestFileSizes(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) {
			dir, key := t.TempDir(), ""
			if encrypted {
				key = identity(t, dir, "key", false)
			}
			s := openFile(t, dir, key)
			for i, n := range []int{1, 100, 2 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, maxSecret - 1, maxSecret} {
				if r := s.put(t, testKey(), text(n)); r.Generation != uint64(i+1) {
					t.Errorf("%d bytes: generation %d", n, r.Generation)
				}
				s.want(t, testKey(), text(n))
				if left := files(t, dir+"/keys"); len(left) != 1 {
					t.Errorf("%d bytes took %q", n, left)
				}
			}
			_, err := s.tryPut(t, testKey(), strings.Repeat("x", maxSecret+1))
			wantErr(t, err, ErrUnwritable)
			s.want(t, testKey(), text(maxSecret))
		})
	}
}

// With a key file, no secret is stored in plain text, and only that key decrypts it.
func TestEncryption(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		t.Run(fmt.Sprintf("hybrid %v", hybrid), func(t *testing.T) {
			dir := t.TempDir()
			key := identity(t, dir, "key", hybrid)
			s := openFile(t, dir, key)
			s.put(t, testKey(), "canary-secret")
			path := s.file.path(testKey().name())
			if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, []byte("canary")) {
				t.Fatalf("in the clear, %v", err)
			}
			openFile(t, dir, key).want(t, testKey(), "canary-secret")
			for name, tt := range map[string]struct {
				keyFile string
				want    error
			}{
				"no key":            {"", ErrKeyFile},
				"no such file":      {dir + "/absent", ErrKeyFile},
				"no identity":       {write(t, dir+"/words", "AGE-SECRET-KEY-canary"), ErrKeyFile},
				"empty":             {write(t, dir+"/empty", ""), ErrKeyFile},
				"a folder":          {dir, ErrKeyFile},
				"somebody else's":   {identity(t, dir, "other", hybrid), ErrKeyFile},
				"of the other kind": {identity(t, dir, "kind", !hybrid), ErrKeyFile},
			} {
				t.Run(name, func(t *testing.T) {
					before, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					s := openFile(t, dir, tt.keyFile)
					_, err = s.Get(t.Context(), testKey())
					wantErr(t, err, tt.want)
					if strings.Contains(err.Error(), "canary") {
						t.Errorf("the key file is quoted: %v", err)
					}
					if foreign := strings.Contains(err.Error(), "encrypted to"); !foreign {
						wantErr(t, s.Writable(t.Context(), testKey()), ErrKeyFile)
						_, err = s.tryPut(t, testKey(), "canary-new")
						wantErr(t, err, ErrKeyFile)
					}
					if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
						t.Errorf("the record was changed, %v", err)
					}
				})
			}
			openFile(t, dir, key).want(t, testKey(), "canary-secret")
		})
	}
}

// If a record was stored without a key file, a store with a key file reads it and encrypts the next one.
func TestEncryptionOfAnOlderRecord(t *testing.T) {
	dir := t.TempDir()
	openFile(t, dir, "").put(t, testKey(), "canary-one")
	s := openFile(t, dir, identity(t, dir, "key", false))
	s.want(t, testKey(), "canary-one")
	s.put(t, testKey(), "canary-two")
	s.want(t, testKey(), "canary-two")
	data, err := os.ReadFile(s.file.path(testKey().name()))
	if err != nil || bytes.Contains(data, []byte("canary")) {
		t.Errorf("in the clear, %v", err)
	}
}

// A damaged record leads to an error with its path. Put does not overwrite it, and Delete deletes it.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	key := identity(t, dir, "key", false)
	for _, keyFile := range []string{"", key} {
		s := openFile(t, dir, keyFile)
		s.put(t, testKey(), text(3000))
		path := s.file.path(testKey().name())
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(whole)
		flipped[len(flipped)-100] ^= 1
		for name, damage := range map[string][]byte{
			"empty": {}, "half": whole[:len(whole)/2], "one byte short": whole[:len(whole)-1], "one byte more": append(slices.Clone(whole), 'x'),
			"a bit": flipped, "no head": whole[10:], "zeros after a crash": make([]byte, len(whole)), "somebody else's": []byte(`{"access_token":"canary"}`),
		} {
			t.Run(fmt.Sprintf("%s, encrypted %v", name, keyFile != ""), func(t *testing.T) {
				write(t, path, string(damage))
				_, err := s.Get(t.Context(), testKey())
				wantErr(t, err, ErrCorrupt)
				if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v", err)
				}
				_, err = s.tryPut(t, testKey(), "new")
				wantErr(t, err, ErrCorrupt)
				wantErr(t, s.Writable(t.Context(), testKey()), ErrCorrupt)
				if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damage) {
					t.Errorf("it was changed, %v", err)
				}
			})
		}
		write(t, path, string(whole))
		s.want(t, testKey(), text(3000))
		write(t, path, "junk")
		if err := s.Delete(t.Context(), testKey()); err != nil {
			t.Error(err)
		}
	}
}

// Paths of the store that exist, but are not the expected kind of file.
func TestWrongKindOfFile(t *testing.T) {
	for name, tt := range map[string]struct {
		plant func(s *testStore, record string) error
		want  error
	}{
		"a file for the folder": {func(s *testStore, _ string) error {
			return errors.Join(os.RemoveAll(s.dir+"/keys"), os.WriteFile(s.dir+"/keys", nil, 0o600))
		}, ErrInsecure},
		"a folder for the record": {func(_ *testStore, record string) error {
			return errors.Join(os.Remove(record), os.Mkdir(record, 0o700))
		}, ErrInsecure},
		"a file above the folder": {func(s *testStore, _ string) error {
			s.file.dir = s.dir + "/file/keys"
			return os.WriteFile(s.dir+"/file", nil, 0o600)
		}, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.want == ErrUnavailable {
				tt.want = ErrNotFound // Windows reports this damage as a missing path
			}
			s := openFile(t, t.TempDir(), "")
			s.put(t, testKey(), "x")
			if err := tt.plant(s, s.file.path(testKey().name())); err != nil {
				t.Fatal(err)
			}
			_, err := s.Get(t.Context(), testKey())
			wantErr(t, err, tt.want)
			if _, err := s.tryPut(t, testKey(), "y"); err == nil {
				t.Error("written all the same")
			}
			if err := s.Writable(t.Context(), testKey()); err == nil {
				t.Error("called writable")
			}
		})
	}
}

// Reserve allocates as much space as the next record may need.
func TestPlaceIsAsLargeAsTheRecord(t *testing.T) {
	s := openFile(t, t.TempDir(), "")
	for _, n := range []int{10, 100 << 10, 1 << 20} {
		s.put(t, testKey(), text(n))
		temp, err := s.file.reserve(t.Context(), testKey())
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(temp.(*reservedFile).path); err != nil || info.Size() < int64(n+reservedExtra) {
			t.Errorf("a record of %d bytes is tried with %v, %v; want %d", n, info, err, n+reservedExtra)
		}
	}
}

// Put fails if the record differs when it is read back.
func TestFileIsReadBack(t *testing.T) {
	s := openFile(t, t.TempDir(), "")
	path := s.file.path(testKey().name())
	s.step = func(name string) error {
		if name != "file in place" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)-1] ^= 1
		return os.WriteFile(path, data, 0o600)
	}
	_, err := s.tryPut(t, testKey(), "secret")
	wantErr(t, err, ErrUnwritable)
}

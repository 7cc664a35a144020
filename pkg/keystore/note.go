package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Note keeps data, which must hold nothing secret, under a name beside the credential: the intent of a refresh, or its journal. It is
// written whole or not at all, and survives a power failure. The caller holds the key's lock.
func (s *Store) Note(_ context.Context, key Key, name string, data []byte) error {
	if err := checkNote(name); err != nil {
		return fail("note", "", err)
	}
	if err := s.notes.write(key, name, data, true); err != nil {
		return fail("note", "", err)
	}
	return nil
}

// Jot is Note for data that a power failure may take back to what it was before.
func (s *Store) Jot(_ context.Context, key Key, name string, data []byte) error {
	if err := checkNote(name); err != nil {
		return fail("note", "", err)
	}
	if err := s.notes.write(key, name, data, false); err != nil {
		return fail("note", "", err)
	}
	return nil
}

// ReadNote returns a note; absence is ErrNotFound.
func (s *Store) ReadNote(_ context.Context, key Key, name string) ([]byte, error) {
	if err := checkNote(name); err != nil {
		return nil, fail("note", "", err)
	}
	data, err := readPrivate(s.notes.path(key, name), maxFile)
	if err != nil {
		return nil, fail("note", "", err)
	}
	return data, nil
}

// DeleteNote deletes a note, with the key's lock held; absence is no error.
func (s *Store) DeleteNote(_ context.Context, key Key, name string) error {
	if err := checkNote(name); err != nil {
		return fail("note", "", err)
	}
	if err := removePrivate(s.notes.path(key, name)); err != nil {
		return fail("note", "", err)
	}
	return nil
}

func checkNote(name string) error {
	if plainTag(name) {
		return nil
	}
	return fmt.Errorf("%w: a note is named by up to 32 lower-case letters, digits and hyphens, not %q", ErrUnwritable, name)
}

// notes are small private files in the state folder.
type notes struct{ dir string }

func (n notes) path(key Key, name string) string {
	return filepath.Join(n.dir, "notes", key.name()+"."+name)
}

func (n notes) write(key Key, name string, data []byte, durable bool) error {
	path := n.path(key, name)
	if err := ensureState(n.dir, filepath.Dir(path)); err != nil {
		return err
	}
	sweepTemps(path) // the caller holds the lock: these are those of dead writers
	return writePrivate(path, data, durable, nil)
}

// removeAll deletes every note of a key, and what dead writers left of them.
func (n notes) removeAll(key Key) error {
	folder := filepath.Join(n.dir, "notes")
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return at(folder, sortRead(err))
	}
	var errs []error
	for _, f := range files {
		if strings.HasPrefix(f.Name(), key.name()+".") {
			errs = append(errs, removePrivate(filepath.Join(folder, f.Name())))
		}
	}
	return errors.Join(errs...)
}

// This file keeps notes: small private files without secrets beside the index, such as the intent and the journal of refreshes.

package keystore

import (
	"context"
	"fmt"
	"path/filepath"
)

func (s *Store) notePath(key Key, name string) (string, error) {
	if !plainTag(name) {
		return "", fmt.Errorf("%w: a note is named by up to 32 lower-case letters, digits and hyphens, not %q", ErrUnwritable, name)
	}
	return filepath.Join(s.o.StateDir, "notes", key.name()+"."+name), nil
}

// Note keeps data, which must hold nothing secret, under a name. It is written whole or not at all, and survives the power going. The
// caller holds the key's lock, so that temporary files are those of the dead.
func (s *Store) Note(_ context.Context, key Key, name string, data []byte) error {
	path, err := s.notePath(key, name)
	if err != nil {
		return fail("note", "", err)
	}
	if err := ensureState(s.o.StateDir, filepath.Dir(path)); err != nil {
		return fail("note", "", err)
	}
	sweepTemps(path, anyAge)
	if err := writePrivate(path, data, true, nil); err != nil {
		return fail("note", "", err)
	}
	return nil
}

// ReadNote returns a note; absence is ErrNotFound.
func (s *Store) ReadNote(_ context.Context, key Key, name string) ([]byte, error) {
	path, err := s.notePath(key, name)
	if err != nil {
		return nil, fail("note", "", err)
	}
	data, err := readPrivate(path, maxFile)
	if err != nil {
		return nil, fail("note", "", err)
	}
	return data, nil
}

// DeleteNote deletes a note, with the key's lock held; absence is no error.
func (s *Store) DeleteNote(_ context.Context, key Key, name string) error {
	path, err := s.notePath(key, name)
	if err != nil {
		return fail("note", "", err)
	}
	sweepTemps(path, anyAge)
	if err := removePrivate(path); err != nil {
		return fail("note", "", err)
	}
	return nil
}

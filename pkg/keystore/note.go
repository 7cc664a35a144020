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

// Note stores data that belongs to the credential, for example the journal of refreshes. The data must not be secret. The write is atomic
// and survives a power failure. The name is a part of a file name: the caller chooses lower-case letters and hyphens. The caller holds the
// key's lock.
func (s *Store) Note(ctx context.Context, key Key, name string, data []byte) error {
	return s.noteError(s.notes.writeNote(ctx, key, name, data, true))
}

// Jot is like Note, but a power failure may undo the write.
func (s *Store) Jot(ctx context.Context, key Key, name string, data []byte) error {
	return s.noteError(s.notes.writeNote(ctx, key, name, data, false))
}

// ReadNote returns a note, or ErrNotFound if the note does not exist.
func (s *Store) ReadNote(ctx context.Context, key Key, name string) ([]byte, error) {
	data, err := s.notes.readNote(ctx, key, name)
	return data, s.noteError(err)
}

// DeleteNote deletes a note, if it exists. The caller holds the key's lock.
func (s *Store) DeleteNote(ctx context.Context, key Key, name string) error {
	return s.noteError(s.notes.deleteNote(ctx, key, name))
}

func (s *Store) noteError(err error) error { return withOp("note", s.notes.kind(), err) }

// DamagedNote returns an error for a note whose data the caller cannot decode.
func (s *Store) DamagedNote(key Key, name string) error {
	path := key.name()
	if local, ok := s.notes.(localNotes); ok {
		path = local.path(key, name)
	}
	return &Error{Op: "note", Backend: s.notes.kind(), Path: path, Err: fmt.Errorf("%w: the note %s cannot be read", ErrCorrupt, name)}
}

// Local returns a store that keeps notes in the state folder of this machine, even if s keeps them in a database.
func (s *Store) Local() *Store {
	if s.postgres == nil {
		return s
	}
	return &Store{o: s.o, locks: s.locks, notes: localNotes{s.o.StateDir}}
}

// noteStore stores notes in the state folder or, with the postgres store, in the database.
type noteStore interface {
	kind() string
	writeNote(ctx context.Context, key Key, name string, data []byte, durable bool) error
	readNote(ctx context.Context, key Key, name string) ([]byte, error)
	deleteNote(ctx context.Context, key Key, name string) error
	deleteNotes(ctx context.Context, key Key) []error // some errors may be nil
}

// localNotes stores notes as small private files in the state folder.
type localNotes struct{ dir string }

func (localNotes) kind() string { return "" }

func (n localNotes) path(key Key, name string) string {
	return filepath.Join(n.dir, "notes", key.name()+"."+name)
}

func (n localNotes) writeNote(_ context.Context, key Key, name string, data []byte, durable bool) error {
	path := n.path(key, name)
	if err := ensureState(n.dir, filepath.Dir(path)); err != nil {
		return err
	}
	sweepTemps(path) // the caller holds the lock, so the processes that created these files are dead
	return writePrivate(path, data, durable)
}

func (n localNotes) readNote(_ context.Context, key Key, name string) ([]byte, error) {
	path := n.path(key, name)
	if err := checkState(n.dir, filepath.Dir(path)); err != nil {
		return nil, err
	}
	return readPrivate(path, maxFile)
}

func (n localNotes) deleteNote(_ context.Context, key Key, name string) error {
	return removePrivate(n.path(key, name))
}

// deleteNotes deletes all notes of a key, including temporary files of interrupted writes.
func (n localNotes) deleteNotes(_ context.Context, key Key) (errs []error) {
	folder := filepath.Join(n.dir, "notes")
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{withPath(folder, readError(err))}
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), key.name()+".") {
			errs = append(errs, removePrivate(filepath.Join(folder, f.Name())))
		}
	}
	return errs
}

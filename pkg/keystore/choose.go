// This file decides which backend a credential is in. The index entry of a key says where it was written; only a key that was written
// nowhere goes where auto points. A keychain that is locked, denied or slow is an error, never a reason to look or write elsewhere.

package keystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Backend returns what auto resolves to for a new credential: "keychain" or "file".
func (s *Store) Backend(ctx context.Context) (string, error) {
	b, err := s.forNew(ctx)
	if err != nil {
		return "", fail("probe", Keychain, err)
	}
	return b.kind(), nil
}

// forNew returns the backend of a credential that is stored nowhere.
func (s *Store) forNew(ctx context.Context) (backend, error) {
	switch s.o.Backend {
	case File:
		return s.file, nil
	case Keychain:
		return s.keychain, nil
	}
	err := s.keychain.available(ctx)
	if errors.Is(err, ErrUnavailable) {
		return s.file, nil
	}
	return s.keychain, err
}

// known returns the backend that the user or the index names, if one does.
func (s *Store) known(name string, e entry) (backend, bool) {
	switch {
	case s.o.Backend == File, s.o.Backend == Auto && e.found && e.Backend == File && !e.Deleted:
		return s.file, true
	case s.o.Backend == Keychain, s.o.Backend == Auto && e.found && e.Backend == Keychain && !e.Deleted:
		return s.keychain, true
	}
	return s.file, s.file.has(name) // the index is lost, or was not yet written
}

func (s *Store) forReading(ctx context.Context, name string, e entry) (backend, error) {
	if b, ok := s.known(name, e); ok {
		return b, nil
	}
	b, err := s.forNew(ctx)
	if err == nil && b == backend(s.file) && e.damaged != nil {
		// The file store has nothing, and whether the keychain had is what the damaged entry would have told.
		return nil, e.damaged
	}
	return b, err
}

// forWriting also reads the hint, and tells the user once when a credential goes to a file for want of a keychain.
func (s *Store) forWriting(ctx context.Context, key Key) (entry, backend, error) {
	e, err := s.index.hint(key)
	if err != nil {
		return e, nil, err
	}
	name := key.name()
	b, ok := s.known(name, e)
	if !ok {
		if b, err = s.forReading(ctx, name, e); err != nil {
			return e, nil, err
		}
		if b == backend(s.file) {
			s.noticed.Do(func() {
				s.notice(fmt.Sprintf("no keychain answers here; credentials are kept in files in %s", s.o.Dir))
			})
		}
	}
	return e, b, nil
}

// forDeleting returns every backend that may hold something of the key.
func (s *Store) forDeleting(ctx context.Context, name string, e entry) ([]backend, error) {
	kinds := slices.Clone(e.Backends)
	if s.o.Backend != Auto {
		kinds = append(kinds, s.o.Backend)
	}
	if e.found {
		kinds = append(kinds, e.Backend)
	}
	for _, r := range e.Pending {
		kinds = append(kinds, r.Backend)
	}
	if s.o.Backend == Auto && !e.found {
		b, err := s.forNew(ctx)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, b.kind())
	}
	var places []backend
	if slices.Contains(kinds, File) || s.o.Backend != Keychain && s.file.has(name) {
		places = append(places, s.file)
	}
	if slices.Contains(kinds, Keychain) {
		places = append(places, s.keychain)
	}
	return places, nil
}

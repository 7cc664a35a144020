package keystore

import (
	"context"
	"errors"
	"fmt"
)

// places returns the backends that may contain credentials.
func (s *Store) places() []backend {
	switch {
	case s.postgres != nil:
		return []backend{s.postgres}
	case s.o.Dir == "":
		return []backend{s.keychain}
	}
	return []backend{s.file, s.keychain}
}

// forNew returns the backend for a new credential: the keychain or, if the system has none, the file store. If the keychain is locked,
// denies access or does not answer, forNew returns an error instead of choosing the file store.
func (s *Store) forNew(ctx context.Context) (backend, error) {
	err := s.keychain.available(ctx)
	if errors.Is(err, ErrUnavailable) {
		return s.file, nil
	}
	return s.keychain, err
}

// known returns the backend that the user selected. For "auto", known returns the backend that has the credential, or nil if no backend has
// it. If two backends have the credential, known returns the one with the higher generation.
func (s *Store) known(key Key) (backend, error) {
	switch s.o.Backend {
	case File:
		return s.file, nil
	case Keychain:
		return s.keychain, nil
	case Postgres:
		return s.postgres, nil
	}
	e, err := s.keychain.index.hint(key)
	if err != nil {
		return nil, err
	}
	switch inFile, inKeychain := s.file.has(key.name()), e.inKeychain(); {
	case inFile && inKeychain:
		if h, _, err := s.file.load(key.name()); err == nil && h.Generation < e.Generation {
			return s.keychain, nil
		}
		return s.file, nil
	case inFile, e.found && !e.Deleted && e.Backend == File:
		return s.file, nil
	case inKeychain:
		return s.keychain, nil
	}
	return nil, nil
}

// holding returns the backend from which to read a credential.
func (s *Store) holding(ctx context.Context, key Key) (backend, error) {
	b, err := s.known(key)
	if b != nil || err != nil {
		return b, err
	}
	b, err = s.forNew(ctx)
	if err == nil && b == backend(s.file) {
		// The file store does not have the credential. If the index entry is damaged, the credential may be in the keychain, so return an
		// error that is not ErrNotFound.
		if e, hintErr := s.keychain.index.hint(key); hintErr != nil || e.damaged != nil {
			return nil, errors.Join(hintErr, e.damaged)
		}
	}
	return b, err
}

// forWriting returns the same backend as holding. If a new credential must go to a file, forWriting calls Options.Notice once.
func (s *Store) forWriting(ctx context.Context, key Key) (backend, error) {
	b, err := s.holding(ctx, key)
	if err == nil && s.o.Backend == Auto && b == backend(s.file) && !s.file.has(key.name()) {
		s.noticed.Do(func() {
			s.notice(fmt.Sprintf("no keychain found; credentials are stored in files in %s", s.o.Dir))
		})
	}
	return b, err
}

// forDeleting returns every backend that may contain data of the key.
func (s *Store) forDeleting(ctx context.Context, key Key) ([]backend, error) {
	if s.postgres != nil {
		return s.places(), nil
	}
	e, err := s.keychain.index.hint(key)
	if err != nil {
		return nil, err
	}
	inKeychain := s.o.Backend == Keychain || e.mayBeInKeychain()
	if s.o.Backend == Auto && !e.found {
		b, err := s.forNew(ctx)
		if err != nil {
			return nil, err
		}
		inKeychain = b == backend(s.keychain)
	}
	if inKeychain {
		return s.places(), nil
	}
	return []backend{s.file}, nil
}

// elsewhere returns ErrElsewhere if a backend other than b has the credential, and the error absent if no other backend has it.
func (s *Store) elsewhere(key Key, b backend, absent error) error {
	e, err := s.keychain.index.hint(key)
	switch {
	case err == nil && b != backend(s.keychain) && e.inKeychain():
		return fmt.Errorf("%w: it is in the %s, but the store %q was requested", ErrElsewhere, Keychain, b.kind())
	case b != backend(s.file) && s.file.has(key.name()):
		return fmt.Errorf("%w: it is in the store %q, but the store %q was requested", ErrElsewhere, File, b.kind())
	}
	return absent
}

// generationElsewhere returns the generation of this key in a backend other than b, or 0 if no other backend has the key. The next write to
// b must use a higher generation.
func (s *Store) generationElsewhere(key Key, b backend) uint64 {
	if e, err := s.keychain.index.hint(key); err == nil && b != backend(s.keychain) {
		return e.highest()
	}
	if h, _, err := s.file.load(key.name()); err == nil && b != backend(s.file) {
		return h.Generation
	}
	return 0
}

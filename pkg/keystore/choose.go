package keystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// backendsToSearch returns the backends that may contain credentials.
func (s *Store) backendsToSearch() []backend {
	switch {
	case s.postgres != nil:
		return []backend{s.postgres}
	case s.o.Dir == "":
		return []backend{s.keychain}
	}
	return []backend{s.file, s.keychain}
}

// backendForNewRecord returns the backend for a new credential: the keychain or, if the system has none, the file store. If the keychain is
// locked, denies access or does not answer, backendForNewRecord returns an error.
func (s *Store) backendForNewRecord(ctx context.Context) (backend, error) {
	err := s.keychain.available(ctx)
	if errors.Is(err, ErrUnavailable) {
		return s.file, nil
	}
	return s.keychain, err
}

// knownBackend returns the backend that the user selected. For "auto", knownBackend returns the backend that has the credential, or nil if
// no backend has the credential. If two backends have the credential, the one with the higher generation is chosen.
func (s *Store) knownBackend(key Key) (backend, error) {
	switch s.o.Backend {
	case File:
		return s.file, nil
	case Keychain:
		return s.keychain, nil
	case Postgres:
		return s.postgres, nil
	}
	e, err := s.keychain.index.readOrEmpty(key)
	if err != nil {
		return nil, err
	}
	switch inFile, inKeychain := s.file.recordExists(key.name()), e.inKeychain(); {
	case inFile && inKeychain:
		if h, _, err := s.file.readRecord(key.name()); err == nil && h.Generation < e.Generation {
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

// backendForReading returns the backend from which to read a credential.
func (s *Store) backendForReading(ctx context.Context, key Key) (backend, error) {
	b, err := s.knownBackend(key)
	if b != nil || err != nil {
		return b, err
	}
	b, err = s.backendForNewRecord(ctx)
	if err == nil && b == backend(s.file) {
		// The file store does not have the credential. If the index entry is damaged, the credential may be in the keychain, so return an
		// error that is not ErrNotFound.
		if e, hintErr := s.keychain.index.readOrEmpty(key); hintErr != nil || e.damaged != nil {
			return nil, cmp.Or(hintErr, e.damaged)
		}
	}
	return b, err
}

// backendForWriting returns the same backend as backendForReading. Options.Notice is called once if a new credential goes to a file.
func (s *Store) backendForWriting(ctx context.Context, key Key) (backend, error) {
	b, err := s.backendForReading(ctx, key)
	if err == nil && s.o.Backend == Auto && b == backend(s.file) && !s.file.recordExists(key.name()) {
		s.noticed.Do(func() {
			s.notice(fmt.Sprintf("no keychain found; credentials are stored in files in %s", s.o.Dir))
		})
	}
	return b, err
}

// backendsForDeleting returns every backend that may contain data of the key.
func (s *Store) backendsForDeleting(ctx context.Context, key Key) ([]backend, error) {
	if s.postgres != nil {
		return s.backendsToSearch(), nil
	}
	e, err := s.keychain.index.readOrEmpty(key)
	if err != nil {
		return nil, err
	}
	inKeychain := s.o.Backend == Keychain || e.mayBeInKeychain()
	if s.o.Backend == Auto && !e.found {
		b, err := s.backendForNewRecord(ctx)
		if err != nil {
			return nil, err
		}
		inKeychain = b == backend(s.keychain)
	}
	if inKeychain {
		return s.backendsToSearch(), nil
	}
	return []backend{s.file}, nil
}

// elsewhereError returns ErrElsewhere if a backend other than b has the credential, and notFound if no other backend has it.
func (s *Store) elsewhereError(key Key, b backend, notFound error) error {
	e, err := s.keychain.index.readOrEmpty(key)
	switch {
	case err == nil && b != backend(s.keychain) && e.inKeychain():
		return fmt.Errorf("%w: it is in the %s, but the store %q was requested", ErrElsewhere, Keychain, b.kind())
	case b != backend(s.file) && s.file.recordExists(key.name()):
		return fmt.Errorf("%w: it is in the store %q, but the store %q was requested", ErrElsewhere, File, b.kind())
	}
	return notFound
}

// generationElsewhere returns the generation of the credential in a backend other than b, or 0 if no other backend has it. The next write
// to b must use a higher generation.
func (s *Store) generationElsewhere(key Key, b backend) uint64 {
	if e, err := s.keychain.index.readOrEmpty(key); err == nil && b != backend(s.keychain) {
		return e.highestGeneration()
	}
	if h, _, err := s.file.readRecord(key.name()); err == nil && b != backend(s.file) {
		return h.Generation
	}
	return 0
}

package flow

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"mcpauth/pkg/token"
)

// readApproved reads the client key or the assertion of a login. If the file is in ApprovedFiles, readApproved resolves its symbolic links
// once, and reads the result if Guard allows it.
func (c *Client) readApproved(what string, s Settings, file string) ([]byte, error) {
	approved, ok := s.ApprovedFiles[file]
	if !ok {
		return readFile(what, file)
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if c.Guard != nil {
		if err := c.Guard(what, file, approved, real); err != nil {
			return nil, err
		}
	}
	return readFile(what, real)
}

// loadKey reads the client key of a login.
func (c *Client) loadKey(s Settings) (*token.Key, error) {
	data, err := c.readApproved("client key", s, s.ClientKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := token.LoadKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: client key %s: %w", ErrOptions, s.ClientKeyFile, err)
	}
	return key, nil
}

// loadAssertion reads the assertion of a login from its file. Every token request reads the file, because other programs replace it.
func (c *Client) loadAssertion(s Settings) (string, error) {
	data, err := c.readApproved("assertion", s, s.AssertionFile)
	if err != nil {
		return "", err
	}
	return checkedAssertion("assertion file "+s.AssertionFile, string(data))
}

// readIDToken reads an ID token from a file. A project's file cannot name this file.
func readIDToken(file string) (string, error) {
	data, err := readFile("ID token", file)
	if err != nil {
		return "", err
	}
	return checkedAssertion("ID token file "+file, string(data))
}

// maxSecretFile limits the size of a file with a secret in bytes, because a configuration may name an endless file.
const maxSecretFile = 64 << 10

// readFile reads a regular file.
func readFile(what, file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // without O_NONBLOCK, opening a named pipe may block
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s %s is not a regular file, which a renewal could read again", ErrOptions, what, file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(data) > maxSecretFile {
		return nil, fmt.Errorf("%w: %s file %s is larger than 64 kB", ErrOptions, what, file)
	}
	return data, nil
}

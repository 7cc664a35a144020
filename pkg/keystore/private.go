// Private files: folders 0700 and files 0600 whatever the umask, written whole or not at all, and refused if they are symbolic links,
// belong to another user, or are open to others.

package keystore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxFile = 16 << 20 // bytes of any file of ours

// ensureFolder makes a private folder, with its parents, or checks the one that is there. A strict folder must be closed to others; one
// that is not strict must only not be writable by them.
func ensureFolder(path string, strict bool) error {
	err := checkFolder(path, strict)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := makeFolder(path); err != nil {
		return unwritable(path, err)
	}
	return checkFolder(path, strict)
}

// ensureState creates the state folder, which others may read, and a private folder in it.
func ensureState(root, sub string) error {
	if err := ensureFolder(root, false); err != nil {
		return err
	}
	return ensureFolder(sub, true)
}

// makeFolder makes a private folder, and its parents if they are missing.
func makeFolder(path string) error {
	err := makePrivateFolder(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err := makeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		err = makePrivateFolder(path)
	}
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return nil
	}
	return err
}

// checkFolder returns an error for a folder that another user can read (strict) or change, and ErrNotFound if there is none.
func checkFolder(path string, strict bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return at(path, sortRead(err))
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return at(path, fmt.Errorf("%w: it is a symbolic link, expected a folder", ErrInsecure))
	case !info.IsDir():
		return at(path, fmt.Errorf("%w: it is not a folder", ErrInsecure))
	}
	open := fs.FileMode(0o022)
	if strict {
		open = 0o077
	}
	return at(path, checkOwner(path, info, open))
}

// readPrivate reads a private file, or returns ErrNotFound.
func readPrivate(path string, limit int64) ([]byte, error) {
	f, err := openPrivate(path)
	if err != nil {
		return nil, at(path, sortRead(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, at(path, sortRead(err))
	}
	if !info.Mode().IsRegular() {
		return nil, at(path, fmt.Errorf("%w: it is not a regular file", ErrInsecure))
	}
	if err := checkFile(f, info); err != nil {
		return nil, at(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, at(path, sortRead(err))
	}
	if int64(len(data)) > limit {
		return nil, at(path, fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, limit))
	}
	return data, nil
}

// writePrivate replaces a file: temporary file beside it, write, sync, rename, sync of the folder. A reader sees the old file or the new
// one, and a full disk leaves the old one. Without durable nothing is synced: the file then survives the process, not a power failure.
func writePrivate(path string, data []byte, durable bool, step func(string) error) error {
	f, err := createTemp(path)
	if err != nil {
		return err
	}
	if err := moveInto(f, path, data, durable, step); err != nil || !durable {
		return err
	}
	return unwritable(path, syncFolder(filepath.Dir(path)))
}

// createTemp makes a temporary file beside path.
func createTemp(path string) (*os.File, error) {
	f, err := createPrivate(path + "." + strings.ToLower(rand.Text()[:12]) + ".tmp")
	return f, unwritable(path, err)
}

// moveInto writes data to a temporary file and renames it to path. After an error the temporary file is gone and path is as it was.
func moveInto(temp *os.File, path string, data []byte, durable bool, step func(string) error) error {
	err := fill(temp, data, durable, step)
	if err == nil {
		err = replace(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return unwritable(path, err)
}

// fill overwrites the file without freeing its blocks.
func fill(f *os.File, data []byte, durable bool, step func(string) error) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil && step != nil {
		err = step("temporary file written")
	}
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// removePrivate deletes a file, if it exists.
func removePrivate(path string) error {
	if err := remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	return nil
}

// sweepTemps deletes what killed writers of this file left. It leaves those of a file whose name begins with this one's, such as the
// probe: their writer holds another lock, and would find its file gone between write and rename.
func sweepTemps(path string) {
	files, _ := os.ReadDir(filepath.Dir(path))
	for _, f := range files {
		rest, ours := strings.CutPrefix(f.Name(), filepath.Base(path)+".")
		random, temp := strings.CutSuffix(rest, ".tmp")
		if ours && temp && !strings.Contains(random, ".") {
			os.Remove(filepath.Join(filepath.Dir(path), f.Name()))
		}
	}
}

// sortRead classifies an error of reading a file or folder.
func sortRead(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case errors.Is(err, ErrInsecure):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, bare(err))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, bare(err))
}

// unwritable classifies an error of writing a file or folder.
func unwritable(path string, err error) error {
	if err == nil {
		return nil
	}
	return at(path, fmt.Errorf("%w: %w", ErrUnwritable, bare(err)))
}

// bare returns the system's error without the path, which the Error contains.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// Private files and folders. Files have mode 0600 and folders 0700, whatever the umask. A write replaces the whole file. A file or folder
// is rejected if it is a symbolic link, belongs to another user, or is accessible to other users.

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

const maxFile = 16 << 20 // size limit of a file, in bytes

// ensureFolder creates a private folder and its parents. If the folder exists, checkFolder checks it.
func ensureFolder(path string, strict bool) error {
	err := checkFolder(path, strict)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := makeFolder(path); err != nil {
		return writeError(path, err)
	}
	return checkFolder(path, strict)
}

// ensureState creates the state folder, which other users may read, and a private folder in it.
func ensureState(root, sub string) error {
	if err := ensureFolder(root, false); err != nil {
		return err
	}
	return ensureFolder(sub, true)
}

// checkState checks the state folder and a private folder in it. If one of them does not exist, the error is ErrNotFound.
func checkState(root, sub string) error {
	if err := checkFolder(root, false); err != nil {
		return err
	}
	return checkFolder(sub, true)
}

// makeFolder creates a private folder, and its parents if they are missing.
func makeFolder(path string) error {
	err := makePrivateFolder(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err := makeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		err = makePrivateFolder(path)
	}
	if errors.Is(err, fs.ErrExist) { // another process has created it
		return nil
	}
	return err
}

// checkFolder returns an error if other users can change the folder. If strict is true, other users must not be able to read the folder
// either. If the folder does not exist, the error is ErrNotFound.
func checkFolder(path string, strict bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return withPath(path, readError(err))
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return withPath(path, fmt.Errorf("%w: it is a symbolic link, expected a folder", ErrInsecure))
	case !info.IsDir():
		return withPath(path, fmt.Errorf("%w: it is not a folder", ErrInsecure))
	}
	open := fs.FileMode(0o022)
	if strict {
		open = 0o077
	}
	return withPath(path, checkOwner(path, info, open))
}

// namesIn returns the names of all files in a private folder that have the suffix. The names do not include the suffix. If key is not nil,
// namesIn returns only the name of the key.
func namesIn(folder, suffix string, key *Key) (names []string, err error) {
	if key != nil {
		return []string{key.name()}, nil
	}
	if err := checkFolder(folder, true); errors.Is(err, ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, withPath(folder, readError(err))
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), suffix); ok { // other files are temporary
			names = append(names, name)
		}
	}
	return names, nil
}

// readPrivate reads a private file. If the file does not exist, the error is ErrNotFound.
func readPrivate(path string, limit int64) ([]byte, error) {
	f, err := openPrivate(path)
	if err != nil {
		return nil, withPath(path, readError(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, withPath(path, readError(err))
	}
	if !info.Mode().IsRegular() {
		return nil, withPath(path, fmt.Errorf("%w: it is not a regular file", ErrInsecure))
	}
	if err := checkFile(f, info); err != nil {
		return nil, withPath(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withPath(path, readError(err))
	}
	if int64(len(data)) > limit {
		return nil, withPath(path, fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, limit))
	}
	return data, nil
}

// writePrivate replaces a file: it writes and syncs a temporary file in the same folder, renames it, and syncs the folder. A reader sees
// the old file or the new one. If the disk is full, the old file remains. If durable is false, nothing is synced, and a power failure may
// undo the write.
func writePrivate(path string, data []byte, durable bool) error {
	f, err := createTemp(path)
	if err != nil {
		return err
	}
	if err := moveInto(f, path, data, durable, nil); err != nil || !durable {
		return err
	}
	return writeError(path, syncFolder(filepath.Dir(path)))
}

// createTemp creates a temporary file in the folder of path.
func createTemp(path string) (*os.File, error) {
	f, err := createPrivate(path + "." + strings.ToLower(rand.Text()[:12]) + ".tmp")
	return f, writeError(path, err)
}

// moveInto writes data to a temporary file and renames it to path. After an error, the temporary file is deleted, and path is unchanged.
func moveInto(temp *os.File, path string, data []byte, durable bool, step func(string) error) error {
	err := overwriteAndClose(temp, data, durable, step)
	if err == nil {
		err = replace(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return writeError(path, err)
}

// overwriteAndClose replaces the content of f. The file is truncated after the write and not before, so that its disk blocks are reused. Data
// that readPrivate would refuse is not written.
func overwriteAndClose(f *os.File, data []byte, durable bool, step func(string) error) error {
	var err error
	if len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	if err == nil {
		_, err = f.Write(data)
	}
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
		return writeError(path, err)
	}
	return nil
}

// sweepTemps deletes the temporary files that killed writers of path have left.
func sweepTemps(path string) {
	files, _ := os.ReadDir(filepath.Dir(path))
	for _, f := range files {
		if strings.HasPrefix(f.Name(), filepath.Base(path)+".") && strings.HasSuffix(f.Name(), ".tmp") {
			os.Remove(filepath.Join(filepath.Dir(path), f.Name()))
		}
	}
}

// readError converts an error of reading a file or folder to one of this package's errors.
func readError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case errors.Is(err, ErrInsecure):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, withoutPath(err))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, withoutPath(err))
}

// writeError converts an error of writing a file or folder to ErrUnwritable.
func writeError(path string, err error) error {
	if err == nil {
		return nil
	}
	return withPath(path, fmt.Errorf("%w: %w", ErrUnwritable, withoutPath(err)))
}

// withoutPath returns the system's error without the path, because *Error contains the path.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

package httpx

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ReadFile reads a file that WriteFile wrote. ReadFile refuses symbolic links, files larger than limit, and files that other users may
// read. A file of another user is refused too, because this process can read it only if other users may read it.
func ReadFile(name string, limit int64) ([]byte, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit || info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fs.ErrInvalid
	}
	return os.ReadFile(name)
}

// ReadNamed reads a file that the user names, which may also be a pipe. If the file is larger than limit bytes, such as a sparse file or a
// device, ReadNamed stops reading and returns an error.
func ReadNamed(name string, limit int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadLimited(f, limit)
}

// ReadLimited reads r to its end. If r has more than limit bytes, ReadLimited returns an error.
func ReadLimited(r io.Reader, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("larger than %d kB", limit>>10)
	}
	return data, err
}

// WriteFile replaces a private file atomically. The file is not synced, because lost data can be fetched again.
func WriteFile(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

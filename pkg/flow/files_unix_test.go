//go:build unix

package flow

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Guard is asked before an approved file is read, even if its path is unchanged. A file that the user named is not a matter of Guard.
func TestGuardIsAsked(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(root, "k.pem"), filepath.Join(root, "link")
	if err := errors.Join(os.WriteFile(file, []byte("canary"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("refused")
	var asked []string
	c := &Client{Guard: func(what, named, approved, real string) error {
		asked = append(asked, what, named, approved, real)
		return refusal
	}}
	if data, err := c.readApproved("client key", Settings{}, link); string(data) != "canary" || err != nil || len(asked) > 0 {
		t.Errorf("the user's own: %q, %v, %q", data, err, asked)
	}
	data, err := c.readApproved("client key", Settings{ApprovedFiles: map[string]string{link: file}}, link)
	if len(data) > 0 || !errors.Is(err, refusal) || len(asked) != 4 || asked[1] != link || asked[2] != file || asked[3] != file {
		t.Errorf("%q, %v, %q", data, err, asked)
	}
}

// The folder of a command that prints an assertion is stored without links, because a cloned repository can change its links later.
func TestFolderOfACommandHasNoLinks(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	work, link := filepath.Join(root, "work"), filepath.Join(root, "link")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Symlink(work, link)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link)
	if got := (LoginOptions{}).mergeSettings(credential{}, Settings{Assertion: "exec:./print"}, loginReason{}).AssertionDir; got != work {
		t.Errorf("got %s, want %s", got, work)
	}
}

// A file may become a named pipe at any time. Reading it ends at once, without a check that precedes the opening.
func TestPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "k.pem")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var exchange sync.WaitGroup
	defer exchange.Wait()
	defer close(stop)
	exchange.Go(func() { // exchanges the pipe and a file in a loop
		other := file + ".other"
		_ = os.WriteFile(other, []byte("x"), 0o600)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(file, file+".1")
			_ = os.Rename(other, file)
			_ = os.Rename(file+".1", other)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20000 {
			_, _ = readFile("client key", file)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("hangs")
	}
}

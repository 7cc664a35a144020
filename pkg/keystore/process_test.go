package keystore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// childRole is the environment variable that selects what the test binary does when a test runs it as a child process.
const childRole = "KEYSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch role, argument, _ := strings.Cut(os.Getenv(childRole), " "); role {
	case "":
		os.Exit(m.Run())
	case "exit36":
		os.Exit(36)
	case "count":
		childExit(childCount(argument))
	case "hold":
		childExit(childHold(argument))
	case "kill":
		childExit(childKill(argument))
	case "unix":
		childExit(childUnix(argument))
	}
}

// childFailed is the exit code of a child process after an error. The exit code differs from the one of a killed process, which is 1 on
// Windows.
const childFailed = 3

func childExit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(childFailed)
	}
	os.Exit(0)
}

// child returns a command that runs the test binary in that role.
func child(t *testing.T, role string, args ...any) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childRole+"="+role+" "+strings.TrimSpace(fmt.Sprintln(args...)))
	return cmd
}

// openDisk opens a store with a keychain in a folder, which several processes can use.
func openDisk(dir, backend string) (*Store, error) {
	o := Options{Backend: backend, StateDir: dir + "/state", Dir: dir + "/keys"}
	if backend == Postgres {
		url, err := os.ReadFile(dir + "/url")
		if err != nil {
			return nil, err
		}
		o.URL, o.KeyFile = string(url), dir+"/key"
	}
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	s.keychain = newKeychain(s.file.env, disk{dir + "/ring"}, roomy(600), time.Minute)
	return s, os.MkdirAll(dir+"/ring", 0o700)
}

// shared returns a folder with which several processes open the same store.
func shared(t *testing.T, backend string) string {
	t.Helper()
	dir := t.TempDir()
	if backend == Postgres {
		url, _ := testDatabase(t, dir)
		write(t, dir+"/url", url)
	}
	return dir
}

// childCount increments a stored number ten times.
func childCount(argument string) error {
	backend, dir, _ := strings.Cut(argument, " ")
	s, err := openDisk(dir, backend)
	if err != nil {
		return err
	}
	for range 10 {
		if err := increment(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

func increment(ctx context.Context, s *Store) error {
	unlock, err := s.Lock(ctx, testKey(), LockCredential)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.Get(ctx, testKey())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(r.Secret))
	r.Secret = []byte(strconv.Itoa(n + 1))
	_, err = s.Put(ctx, testKey(), r)
	return err
}

// Many processes increment a number at the same time. No increment is lost.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	for _, backend := range backends() {
		t.Run(backend, func(t *testing.T) {
			n := 20
			if backend == Postgres { // each write waits for the disk of the database server, and each process waits at most 45 s for the lock
				n = 10
			}
			dir := shared(t, backend)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if out, err := child(t, "count", backend, dir).CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
			wg.Wait()
			s, err := openDisk(dir, backend)
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Get(t.Context(), testKey())
			if err != nil || string(r.Secret) != strconv.Itoa(n*10) || r.Generation != uint64(n*10) {
				t.Errorf("counted to %s at generation %d, %v; want %d", r.Secret, r.Generation, err, n*10)
			}
		})
	}
}

// childHold acquires a lock, prints a line, and waits to be killed. The argument is a purpose and a folder, with a blank between them.
func childHold(argument string) error {
	purpose, dir, _ := strings.Cut(argument, " ")
	if purpose == "renewing" {
		return holdRenewing(dir)
	}
	s, err := openDisk(dir, File)
	if err != nil {
		return err
	}
	if _, err := s.Lock(context.Background(), testKey(), purpose); err != nil {
		return err
	}
	fmt.Println("held")
	time.Sleep(time.Hour) // with select {}, the runtime would report a deadlock and end the process
	return nil
}

// holdRenewing acquires the lock and reserves space, as at the beginning of a token refresh.
func holdRenewing(dir string) error {
	s, err := openDisk(dir, Postgres)
	if err != nil {
		return err
	}
	if _, err := s.Lock(context.Background(), testKey(), LockCredential); err != nil {
		return err
	}
	if err := s.Reserve(context.Background(), testKey()); err != nil {
		return err
	}
	fmt.Println("held")
	select {}
}

// holder starts a process that holds a lock until it is killed.
func holder(t *testing.T, purpose, dir string) *exec.Cmd {
	t.Helper()
	cmd := child(t, "hold", purpose, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatal(line, err)
	}
	return cmd
}

// If a stopped process holds LockCredential, Lock returns ErrBusy after LockWait, even if the context has no deadline.
func TestLockOfAStoppedProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := holder(t, LockCredential, dir)
	if err := stop(cmd.Process); err != nil {
		t.Fatal(err)
	}
	s, err := openDisk(dir, File)
	if err != nil {
		t.Fatal(err)
	}
	s.o.LockWait = 50 * time.Millisecond
	_, err = s.Lock(context.Background(), testKey(), LockCredential)
	wantErr(t, err, ErrBusy)
}

// Two processes may have different state folders and the same folder of records. They exclude each other too.
func TestLockBesideTheRecord(t *testing.T) {
	root := t.TempDir()
	open := func(state, dir string) *Store {
		t.Helper()
		s, err := Open(Options{Backend: File, StateDir: filepath.Join(root, state), Dir: filepath.Join(root, dir)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open("x1", "keys"), open("x2", "keys")
	for _, purpose := range []string{LockCredential, LockLogin} {
		unlock, err := a.Lock(t.Context(), testKey(), purpose)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.TryLock(t.Context(), testKey(), purpose); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v", purpose, err)
		}
		if again, err := open("x2", "others").TryLock(t.Context(), testKey(), purpose); err != nil {
			t.Errorf("%s of another record: %v", purpose, err)
		} else {
			again()
		}
		unlock()
		if unlock, err = b.TryLock(t.Context(), testKey(), purpose); err != nil {
			t.Errorf("%s, free again: %v", purpose, err)
		} else {
			unlock()
		}
	}
	if unlock, err := open("one", "one").TryLock(t.Context(), testKey(), LockLogin); err != nil {
		t.Errorf("one folder for both: %v", err)
	} else {
		unlock()
	}
	if unlock, err := open("one", "one/locks").TryLock(t.Context(), testKey(), LockLogin); err != nil {
		t.Errorf("records in the folder of the locks: %v", err)
	} else {
		unlock()
	}
}

// If another process holds LockLogin, Lock waits until the context ends. When that process is killed, the lock is free.
func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := holder(t, LockLogin, dir)
	s, err := openDisk(dir, File)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	_, err = s.Lock(short, testKey(), LockLogin)
	wantErr(t, err, ErrBusy)
	if !strings.Contains(err.Error(), s.locks.path(testKey(), LockLogin)) {
		t.Errorf("%v does not name the file", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v reads like a network timeout", err)
	}
	for name, free := range map[string]func() (func(), error){
		"another purpose": func() (func(), error) { return s.Lock(t.Context(), testKey(), LockCredential) },
		"another key":     func() (func(), error) { return s.Lock(t.Context(), Key{Server: "https://other"}, LockLogin) },
	} {
		if unlock, err := free(); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			unlock()
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), testKey(), LockLogin)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	unlock() // twice does no harm
	if _, err := os.Stat(s.locks.path(testKey(), LockLogin)); err != nil {
		t.Errorf("the lock file is gone: whoever waited for it now waits for another: %v", err)
	}
}

// TryLock acquires a free lock and, in every store, returns ErrBusy at once if the lock is held.
func TestTryLock(t *testing.T) {
	for _, backend := range backends() {
		t.Run(backend, func(t *testing.T) {
			s := openTest(t, t.TempDir(), backend, newFake(), generous())
			unlock, err := s.TryLock(t.Context(), testKey(), LockLogin)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.TryLock(t.Context(), testKey(), LockLogin)
			wantErr(t, err, ErrBusy)
			unlock()
			if unlock, err = s.TryLock(t.Context(), testKey(), LockLogin); err != nil {
				t.Fatal(err)
			}
			unlock()
		})
	}
}

func TestLockInterrupted(t *testing.T) {
	s := openTest(t, t.TempDir(), File, newFake(), generous())
	unlock, err := s.Lock(t.Context(), testKey(), LockLogin)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Lock(ctx, testKey(), LockLogin)
	wantErr(t, err, context.Canceled)
	if errors.Is(err, ErrBusy) {
		t.Errorf("%v takes an interrupt for a busy lock", err)
	}
}

// childKill stores or deletes a record, and kills itself at step n. The argument is: what n backend size folder.
func childKill(argument string) error {
	var what, backend, dir string
	var n, size int
	if _, err := fmt.Sscan(argument, &what, &n, &backend, &size, &dir); err != nil {
		return err
	}
	s, err := openDisk(dir, backend)
	if err != nil {
		return err
	}
	s.step = func(string) error {
		if n--; n == 0 {
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			if err != nil {
				return err
			}
			time.Sleep(time.Hour)
		}
		return nil
	}
	ctx := context.Background()
	unlock, err := s.Lock(ctx, testKey(), LockCredential)
	if err != nil {
		return err
	}
	defer unlock()
	if what == "delete" {
		return s.Delete(ctx, testKey())
	}
	_, err = s.Put(ctx, testKey(), Record{Secret: []byte(text(size)), Public: fmt.Appendf(nil, `{"n":%d}`, size)})
	return err
}

// A process is killed at each step of a write and of a deletion. Afterwards the old or the new record is complete and matches the index,
// and the lock is free. The next write or deletion removes what the killed process has left.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{File, Keychain} {
		for _, what := range []string{"first put", "put", "delete"} {
			t.Run(backend+" "+what, func(t *testing.T) {
				for n := 1; ; n++ {
					if n > 40 {
						t.Fatal("never ended")
					}
					if !killedAt(t, backend, what, n) {
						if n < 3 && what != "delete" {
							t.Fatalf("only %d steps", n)
						}
						break
					}
				}
			})
		}
	}
}

// killedAt tests a kill at step n. It returns false if the process ended before step n.
func killedAt(t *testing.T, backend, what string, n int) bool {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	s, err := openDisk(dir, backend)
	if err != nil {
		t.Fatal(err)
	}
	const older, newer = 1500, 2500
	if what != "first put" {
		if _, err := s.Put(ctx, testKey(), Record{Secret: []byte(text(older)), Public: []byte(`{"n":1500}`)}); err != nil {
			t.Fatal(err)
		}
	}
	err = child(t, strings.TrimPrefix("kill "+what, ""), n, backend, newer, dir).Run()
	if strings.HasPrefix(what, "first") {
		err = child(t, "kill put", n, backend, newer, dir).Run()
	}
	killed := err != nil
	var exit *exec.ExitError
	if killed && (!errors.As(err, &exit) || exit.ExitCode() == childFailed) {
		t.Fatalf("step %d: %v, expected a kill", n, err)
	}
	unlock, err := s.locks.tryLock(testKey(), LockCredential)
	if err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	unlock()
	r, err := s.Get(ctx, testKey())
	switch {
	case errors.Is(err, ErrNotFound) && what != "put":
	case err != nil:
		t.Fatalf("step %d: %v", n, err)
	case string(r.Secret) != text(older) && string(r.Secret) != text(newer):
		t.Fatalf("step %d: %d bytes that nobody wrote", n, len(r.Secret))
	default:
		if want := fmt.Sprintf(`{"n":%d}`, len(r.Secret)); string(r.Public) != want {
			t.Errorf("step %d: public %s, want %s", n, r.Public, want)
		}
		// The call of Get above has completed the index.
		if e, err := s.Entry(ctx, testKey()); err != nil || e.Generation != r.Generation || string(e.Public) != string(r.Public) {
			t.Errorf("step %d: index says %+v, %v; stored is generation %d", n, e, err, r.Generation)
		}
	}
	if n%2 == 0 {
		p, err := s.Put(ctx, testKey(), Record{Secret: []byte("next")})
		if err != nil || p.Generation <= r.Generation {
			t.Fatalf("step %d: generation %d after %d, %v", n, p.Generation, r.Generation, err)
		}
		if r, err = s.Get(ctx, testKey()); err != nil || string(r.Secret) != "next" {
			t.Fatalf("step %d: %v", n, err)
		}
		if left := append(files(t, dir+"/ring"), files(t, dir+"/keys")...); len(left) != 1 {
			t.Errorf("step %d: left %q", n, left)
		}
	}
	if err := s.Delete(ctx, testKey()); err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	if left := append(files(t, dir+"/ring"), files(t, dir+"/keys")...); len(left) > 0 {
		t.Errorf("step %d: left after deletion: %q", n, left)
	}
	if list, err := s.List(ctx); err != nil || len(list) > 0 {
		t.Errorf("step %d: listed after deletion: %v, %v", n, list, err)
	}
	return killed
}

// Processes that write to the same store are killed one after another, at arbitrary moments. The record is always complete and never older
// than before.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	for _, backend := range backends() {
		t.Run(backend, func(t *testing.T) {
			dir := shared(t, backend)
			s, err := openDisk(dir, backend)
			if err != nil {
				t.Fatal(err)
			}
			last := uint64(0)
			for i := range 25 {
				cmd := child(t, "count", backend, dir)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(5+i*2) * time.Millisecond) // any moment is good
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				r, err := s.Get(t.Context(), testKey())
				if errors.Is(err, ErrNotFound) && last == 0 {
					continue
				}
				if err != nil {
					t.Fatalf("kill %d: %v", i, err)
				}
				if n, err := strconv.Atoi(string(r.Secret)); err != nil || r.Generation < last || n == 0 {
					t.Fatalf("kill %d: %q at generation %d after %d", i, r.Secret, r.Generation, last)
				}
				last = r.Generation
			}
			if err := increment(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if left := append(files(t, dir+"/ring"), files(t, dir+"/keys")...); len(left) != 1 && backend != Postgres {
				t.Errorf("left %q", left)
			}
			if temps, _ := filepath.Glob(dir + "/keys/*.tmp"); len(temps) > 0 {
				t.Errorf("temporary files: %q", temps)
			}
		})
	}
}

package keystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// stuck blocks the matching operations until they are released, like a keychain that shows a prompt.
type stuck struct {
	release chan struct{}
	hanging chan string // the account of each operation that begins to hang
}

func hang(f *fake, match func(op, account string) bool) *stuck {
	s := &stuck{release: make(chan struct{}), hanging: make(chan string, 100)}
	f.on(func(op, account string) error {
		if match(op, account) {
			s.hanging <- account
			<-s.release
		}
		return nil
	})
	return s
}

// impatient opens a second store on the same keychain, with a short time limit. It acts like a second process.
func impatient(t *testing.T, dir string, f *fake, p platform) *testStore {
	s := openTest(t, dir, Keychain, f, p)
	s.keychain.timeout = 50 * time.Millisecond
	return s
}

func TestTimeout(t *testing.T) {
	for _, op := range []string{"get", "set", "delete"} {
		t.Run(op, func(t *testing.T) {
			f, dir := newFake(), t.TempDir()
			openTest(t, dir, Keychain, f, generous()).put(t, testKey(), "x")
			s := impatient(t, dir, f, generous())
			h := hang(f, func(o, _ string) bool { return o == op })
			defer close(h.release)
			var err error
			switch op {
			case "get":
				_, err = s.Get(t.Context(), testKey())
			case "set":
				_, err = s.tryPut(t, testKey(), "y")
			case "delete":
				err = s.Delete(t.Context(), testKey())
			}
			wantErr(t, err, ErrTimeout)
			_, err = s.Get(t.Context(), testKey()) // waits for the operation that hangs
			wantErr(t, err, ErrTimeout)
		})
	}
}

func TestInterrupt(t *testing.T) {
	f := newFake()
	s := openTest(t, t.TempDir(), Keychain, f, generous())
	h := hang(f, func(op, _ string) bool { return op == "get" })
	defer close(h.release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-h.hanging; cancel() }()
	_, err := s.Get(ctx, testKey())
	wantErr(t, err, context.Canceled)
	if errors.Is(err, ErrTimeout) {
		t.Errorf("%v takes an interrupt for a timeout", err)
	}
}

// With a negative Timeout, an operation waits for the keychain until ctx ends, because the user may have to answer an unlock prompt. The
// error at the deadline is ErrTimeout of the keychain and does not look like a network error.
func TestPatientWithAPerson(t *testing.T) {
	f := newFake()
	s := openTest(t, t.TempDir(), Keychain, f, generous())
	s.put(t, testKey(), "x")
	s.nextProcess()
	s.keychain.timeout = -1
	h := hang(f, func(string, string) bool { return true })
	defer close(h.release)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Get(short, testKey())
	wantErr(t, err, ErrTimeout)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v reads like a network timeout", err)
	}
}

// If an operation times out and the platform reports a locked keychain, the error is ErrLocked.
func TestTimeoutOfALockedKeychain(t *testing.T) {
	f, p := newFake(), generous()
	p.isLocked = func() bool { return true }
	s := impatient(t, t.TempDir(), f, p)
	h := hang(f, func(string, string) bool { return true })
	defer close(h.release)
	_, err := s.Get(t.Context(), testKey())
	wantErr(t, err, ErrLocked)
}

// go-keyring panics if the D-Bus connection ends during a prompt.
func TestPanicIsAnError(t *testing.T) {
	f := newFake()
	s := openTest(t, t.TempDir(), Keychain, f, generous())
	f.on(func(string, string) error { panic("canary") })
	_, err := s.Get(t.Context(), testKey())
	wantErr(t, err, ErrUnavailable)
	f.on(nil)
	s.put(t, testKey(), "x")
}

// A write times out, a second write succeeds, and then the first one takes effect. The first write hangs either at the head or at a part.
// Each case is tested with and without an index.
func TestLateLanding(t *testing.T) {
	for _, what := range []string{"head", "part"} {
		for _, first := range []bool{false, true} {
			for _, lost := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, first write %v, index lost %v", what, first, lost), func(t *testing.T) {
					f, dir := newFake(), t.TempDir()
					if !first {
						openTest(t, dir, Keychain, f, roomy(600)).put(t, testKey(), text(1500))
					}
					h := hang(f, func(op, account string) bool {
						return op == "set" && strings.Contains(account, "#g") == (what == "part")
					})
					_, err := impatient(t, dir, f, roomy(600)).tryPut(t, testKey(), text(2000))
					wantErr(t, err, ErrTimeout)
					f.on(nil)

					s := openTest(t, dir, Keychain, f, roomy(600)) // the next process
					if first {
						_, err := s.Get(t.Context(), testKey())
						wantErr(t, err, ErrNotFound)
					} else {
						s.want(t, testKey(), text(1500))
					}
					later := s.put(t, testKey(), text(2500))
					close(h.release)
					f.idle(0)
					if lost {
						if err := s.keychain.index.remove(testKey().name()); err != nil {
							t.Fatal(err)
						}
					}
					if r := s.want(t, testKey(), text(2500)); r.Generation != later.Generation {
						t.Errorf("generation %d, want %d", r.Generation, later.Generation)
					}
					s.put(t, testKey(), "small")
					s.want(t, testKey(), "small")
					if !lost && len(f.accounts()) != 1 {
						t.Errorf("not swept: %q", f.accounts())
					}
				})
			}
		}
	}
}

// Several writes time out one after another and take effect in reverse order.
func TestLateLandings(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	s := openTest(t, dir, Keychain, f, generous())
	s.put(t, testKey(), "zero")
	var late []*stuck
	for i := range 4 {
		h := hang(f, func(op, _ string) bool { return op == "set" })
		_, err := impatient(t, dir, f, generous()).tryPut(t, testKey(), fmt.Sprintf("late %d", i))
		wantErr(t, err, ErrTimeout)
		late = append(late, h)
	}
	f.on(nil)
	s.want(t, testKey(), "zero")
	s.put(t, testKey(), "newest")
	for hanging, h := range slices.Backward(late) {
		close(h.release)
		f.idle(hanging)
		s.want(t, testKey(), "newest")
	}
}

// A write that takes effect after a logout does not count as a login.
func TestLateLandingAfterDelete(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	s := openTest(t, dir, Keychain, f, generous())
	r := s.put(t, testKey(), "x")
	h := hang(f, func(op, _ string) bool { return op == "set" })
	_, err := impatient(t, dir, f, generous()).tryPut(t, testKey(), "late")
	wantErr(t, err, ErrTimeout)
	f.on(nil)
	if err := s.Delete(t.Context(), testKey()); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	f.idle(0)
	_, err = s.Get(t.Context(), testKey())
	wantErr(t, err, ErrNotFound)
	if list, err := s.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("list %v, %v", list, err)
	}
	if again := s.put(t, testKey(), "again"); again.Generation <= r.Generation+1 {
		t.Errorf("generation %d is not above the late one", again.Generation)
	}
	s.want(t, testKey(), "again")
	if len(f.accounts()) != 1 {
		t.Errorf("not swept: %q", f.accounts())
	}
}

// Items that were written after a logout are deleted by the next logout of any server.
func TestLateLandingIsDeletedByTheNextLogout(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	other := Key{Server: "https://other.example"}
	s := openTest(t, dir, Keychain, f, generous())
	s.put(t, testKey(), "x")
	s.put(t, other, "y")
	h := hang(f, func(op, _ string) bool { return op == "set" })
	_, err := impatient(t, dir, f, generous()).tryPut(t, testKey(), "late")
	wantErr(t, err, ErrTimeout)
	f.on(nil)
	if err := s.Delete(t.Context(), testKey()); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	f.idle(0)
	if err := s.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if left := f.accounts(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// If a keychain reports success but does not store an item, put fails and the old record can still be read.
func TestReadBack(t *testing.T) {
	for name, lie := range map[string]func(f *fake, account, value string){
		"keeps nothing": func(*fake, string, string) {},
		"cuts":          func(f *fake, account, value string) { f.items[account] = value[:len(value)-1] },
		"keeps the old": func(f *fake, account, value string) {
			if f.items[account] == "" {
				f.items[account] = "other"
			}
		},
	} {
		for _, where := range []string{"head", "part"} {
			t.Run(name+" "+where, func(t *testing.T) {
				f := newFake()
				s := openTest(t, t.TempDir(), Keychain, liar{f, func(account, value string) bool {
					if strings.Contains(account, "#g2.") != (where == "part") || !strings.Contains(account, "#") {
						return false
					}
					lie(f, account, value)
					return true
				}}, roomy(600))
				s.put(t, testKey(), text(100))
				_, err := s.tryPut(t, testKey(), text(2000))
				wantErr(t, err, ErrUnwritable)
				s.want(t, testKey(), text(100))
				if got := f.accounts(); len(got) != 1 {
					t.Errorf("left %q", got)
				}
				if e, err := s.Entry(t.Context(), testKey()); err != nil || e.Generation != 1 {
					t.Errorf("index %+v, %v", e, err)
				}
			})
		}
	}
}

type liar struct {
	*fake
	lies func(account, value string) bool
}

func (l liar) set(account, value string) error {
	if l.lies(account, value) {
		return nil
	}
	return l.fake.set(account, value)
}

// Each operation of a write fails in turn, with a known or an unknown error. Afterwards the old or the new record can be read.
func TestKeychainFailsAtEachStep(t *testing.T) {
	t.Parallel()
	for _, trouble := range []error{ErrLocked, ErrDenied, ErrUnavailable, errors.New("strange")} {
		for n := 1; ; n++ {
			f := newFake()
			s := openTest(t, t.TempDir(), Keychain, f, roomy(600))
			s.put(t, testKey(), text(1500))
			count := 0
			f.on(func(op, account string) error {
				if count++; count == n {
					return trouble
				}
				return nil
			})
			_, err := s.tryPut(t, testKey(), text(2500))
			f.on(nil)
			if count < n {
				if n < 10 {
					t.Fatalf("only %d operations", n)
				}
				break
			}
			switch {
			case err != nil && errors.Is(trouble, ErrLocked) && !errors.Is(err, ErrLocked):
				t.Errorf("operation %d: %v", n, err)
			case err != nil:
				s.want(t, testKey(), text(1500))
			default:
				s.want(t, testKey(), text(2500))
			}
			s.put(t, testKey(), "small")
			if got := f.accounts(); len(got) != 1 {
				t.Errorf("operation %d, %v: left %q", n, trouble, got)
			}
		}
	}
}

// A logout with a locked keychain is an error. The record in the file store is deleted nevertheless, and the index keeps the entry of the
// keychain.
func TestDeleteWhatCanBeDeleted(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	openTest(t, dir, Keychain, f, generous()).put(t, testKey(), "x")
	s := openTest(t, dir, File, f, generous())
	s.put(t, testKey(), "y")
	f.on(func(string, string) error { return ErrLocked })
	wantErr(t, s.Delete(t.Context(), testKey()), ErrLocked)
	if got := files(t, dir+"/keys"); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if e, err := s.Entry(t.Context(), testKey()); err != nil || e.Backend != Keychain {
		t.Errorf("index %+v, %v", e, err)
	}
	f.on(nil)
	if err := s.Delete(t.Context(), testKey()); err != nil || len(s.leftovers(t)) > 0 {
		t.Errorf("left %q, %v", s.leftovers(t), err)
	}
}

// Get reads one item. A refresh reads the item once, although it calls Get again after it has acquired the lock. It also reserves the slot
// of the new record, writes the record, reads it back and deletes the old one.
func TestFewOperations(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	openTest(t, dir, Keychain, f, generous()).put(t, testKey(), "x")
	for name, tt := range map[string]struct {
		do   func(s *testStore)
		want string
	}{
		"call":               {func(s *testStore) { s.want(t, testKey(), "x") }, "map[get:1]"},
		"refresh":            {func(s *testStore) { s.want(t, testKey(), "x"); s.refresh(t, testKey(), "x") }, "map[delete:1 get:2 set:2]"},
		"refresh that fails": {func(s *testStore) { s.want(t, testKey(), "x"); s.refuse(t, testKey()) }, "map[delete:1 get:1 set:1]"},
	} {
		s := openTest(t, dir, Keychain, f, generous()) // another process
		f.ops = map[string]int{}
		tt.do(s)
		if got := fmt.Sprint(f.ops); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if left := f.accounts(); len(left) != 1 {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

// A process that has cached a record notices that another process has written a new one.
func TestAnotherProcessIsNoticed(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	a, b := openTest(t, dir, Keychain, f, generous()), openTest(t, dir, Keychain, f, generous())
	a.put(t, testKey(), "one")
	b.want(t, testKey(), "one")
	a.put(t, testKey(), "two")
	b.want(t, testKey(), "two")
	b.refresh(t, testKey(), "three")
	a.want(t, testKey(), "three")
	if err := b.Delete(t.Context(), testKey()); err != nil {
		t.Fatal(err)
	}
	_, err := a.Get(t.Context(), testKey())
	wantErr(t, err, ErrNotFound)
}

// An error of a keychain program may contain the secret, but an error of the store never contains it.
func TestErrorsHoldNoSecret(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		s.put(t, testKey(), "canary-old")
		for _, spoil := range []string{"canary-junk", `{"mcpauth":1,"generation":"canary"}` + "\ncanary", `{"mcpauth":1,"generation":1,"size":1}` + "\ncanary"} {
			if f := s.keychain.items.(*fake); s.o.Backend == Keychain {
				f.items[testKey().name()] = spoil
				s.nextProcess()
			} else if s.o.Backend == Postgres {
				s.spoilRow(t, testKey(), []byte(spoil))
			} else if err := writePrivate(s.file.path(testKey().name()), []byte(spoil), false); err != nil {
				t.Fatal(err)
			}
			_, err := s.Get(t.Context(), testKey())
			wantErr(t, err, ErrCorrupt)
			_, putErr := s.tryPut(t, testKey(), "canary-new")
			if text := fmt.Sprintf("%v %+v %#v %v", err, err, err, putErr); strings.Contains(text, "canary") {
				t.Errorf("secret in %s", text)
			}
		}
	})
}

package keystore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"
)

// systems has the size limits of each keychain, and a function that models the real keychain's check.
func systems() map[string]struct {
	p     platform
	limit func(account, value string) error
} {
	type system = struct {
		p     platform
		limit func(account, value string) error
	}
	with := func(room func(string) int) platform {
		p := generous()
		p.maxSize = room
		return p
	}
	return map[string]system{
		"macOS": {with(maxSizeMacOS), func(account, value string) error {
			// go-keyring checks the length of its line, but allows one byte more than `security -i` reads, which is 4095.
			quoted := account
			if strings.Contains(account, "#") {
				quoted = "'" + account + "'"
			}
			line := fmt.Sprintf("add-generic-password -U -s %s -a %s -w %s\n", serviceName, quoted, "go-keyring-base64:"+base64.StdEncoding.EncodeToString([]byte(value)))
			if len(line) > 4095 {
				return keyring.ErrSetDataTooBig
			}
			return nil
		}},
		"Windows": {with(maxSizeWindows), func(account, value string) error {
			if len(value) > 2560 || len(account) > 512 {
				return keyring.ErrSetDataTooBig
			}
			return nil
		}},
		"Secret Service": {with(maxSizeSecretService), func(_, value string) error {
			if len(value) > 64<<10 {
				return keyring.ErrSetDataTooBig
			}
			return nil
		}},
	}
}

// Secrets around the size limit of each keychain can be stored. A secret that just fits uses a single item.
func TestSizes(t *testing.T) {
	t.Parallel()
	for name, system := range systems() {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.limit = system.limit
			s := openTest(t, t.TempDir(), Keychain, f, system.p)
			edges := func(edge int) []int {
				return []int{1, edge - 1, edge - 1, edge, edge, edge + 1, edge + 1, 2*edge - 1, 2 * edge, 2*edge + 1, 3 * edge, 100_000, 1 << 20}
			}
			for i := range edges(0) {
				edge := lastInline(t, system.p.maxSize, slotAccount(testKey().name(), i%2), uint64(i+1))
				n := edges(edge)[i]
				s.put(t, testKey(), text(n))
				s.want(t, testKey(), text(n))
				if items := len(f.accounts()); (items == 1) != (n <= edge) {
					t.Errorf("%d bytes (edge %d) took %d items", n, edge, items)
				}
				if r := s.want(t, testKey(), text(n)); r.Generation != uint64(i+1) {
					t.Errorf("generation %d, want %d", r.Generation, i+1)
				}
			}
			s.put(t, testKey(), string(make([]byte, 5000))) // not valid UTF-8
			s.want(t, testKey(), string(make([]byte, 5000)))
			if err := s.Delete(t.Context(), testKey()); err != nil || len(f.accounts()) > 0 {
				t.Errorf("left %d items, %v", len(f.accounts()), err)
			}
			_, err := s.tryPut(t, testKey(), strings.Repeat("x", maxSecret+1))
			wantErr(t, err, ErrUnwritable)
		})
	}
}

// lastInline returns the size of the largest text that fits in one item.
func lastInline(t *testing.T, room func(string) int, account string, generation uint64) int {
	t.Helper()
	first := sort.Search(room(account)+1, func(n int) bool {
		_, parts, err := splitPayload(testKey().name(), account, recordHead{Generation: generation, Tag: "abcdefghij"}, text(n), room)
		if err != nil {
			t.Fatal(err)
		}
		return len(parts) > 0
	})
	if first < 2 {
		t.Fatal("nothing fits")
	}
	return first - 1
}

// room returns exactly the keychain's limit: the model accepts an item of that size and rejects one byte more. On macOS, room assumes that
// the account is in quotes. For an account without quotes, one group of base64, which is three bytes, may remain unused.
func TestRoomIsExact(t *testing.T) {
	for name, system := range systems() {
		for _, account := range []string{"a", testKey().name(), testKey().name() + "#2", partAccount(testKey().name(), 12345, "abcdefghij", 350)} {
			room := system.p.maxSize(account)
			if err := system.limit(account, strings.Repeat("x", room)); err != nil {
				t.Errorf("%s, account of %d bytes: %d bytes are refused", name, len(account), room)
			}
			more := 1
			if name == "macOS" && !strings.Contains(account, "#") {
				more += 3
			}
			if err := system.limit(account, strings.Repeat("x", room+more)); err == nil {
				t.Errorf("%s, account of %d bytes: %d bytes would fit", name, len(account), room+more)
			}
		}
	}
}

func TestRoomForNothing(t *testing.T) {
	for _, room := range []int{0, 1, 50} {
		if _, _, err := splitPayload("n", "n", recordHead{Generation: 1, Tag: "t"}, text(500), func(string) int { return room }); !errors.Is(err, ErrUnwritable) {
			t.Errorf("room %d: %v", room, err)
		}
	}
}

// If a part is missing, changed or swapped, Get returns the previous generation if that still exists, and otherwise ErrCorrupt.
func TestTornSets(t *testing.T) {
	name := testKey().name()
	damage := map[string]func(f *fake, parts []string){
		"first part missing": func(f *fake, parts []string) { delete(f.items, parts[0]) },
		"last part missing":  func(f *fake, parts []string) { delete(f.items, parts[len(parts)-1]) },
		"part changed":       func(f *fake, parts []string) { f.items[parts[1]] = "X" + f.items[parts[1]][1:] },
		"part cut":           func(f *fake, parts []string) { f.items[parts[1]] = f.items[parts[1]][:9] },
		"parts swapped": func(f *fake, parts []string) {
			f.items[parts[0]], f.items[parts[1]] = f.items[parts[1]], f.items[parts[0]]
		},
		"part of another key": func(f *fake, parts []string) { f.items[parts[0]] = strings.Repeat("z", 600) },
	}
	for what, harm := range damage {
		for _, older := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, older there %v", what, older), func(t *testing.T) {
				f := newFake()
				s := openTest(t, t.TempDir(), Keychain, f, roomy(600))
				s.put(t, testKey(), "older")
				old := f.items[name]
				s.put(t, testKey(), text(2000))
				if older {
					f.items[name] = old
				}
				var parts []string
				for _, account := range f.accounts() {
					if strings.Contains(account, "#g2.") {
						parts = append(parts, account)
					}
				}
				if len(parts) < 3 {
					t.Fatalf("items %q", f.accounts())
				}
				harm(f, parts)
				s.nextProcess()
				if older {
					if r := s.want(t, testKey(), "older"); r.Generation != 1 || string(r.Public) != "" {
						t.Errorf("generation %d with public %s", r.Generation, r.Public)
					}
					if r := s.put(t, testKey(), "new"); r.Generation != 3 {
						t.Errorf("generation %d, want 3", r.Generation)
					}
					s.want(t, testKey(), "new")
					return
				}
				_, err := s.Get(t.Context(), testKey())
				wantErr(t, err, ErrCorrupt)
				if err := s.Delete(t.Context(), testKey()); err != nil || len(f.accounts()) > 0 {
					t.Errorf("left %q, %v", f.accounts(), err)
				}
			})
		}
	}
}

// Get rejects a record that was copied from another key.
func TestForeignRecord(t *testing.T) {
	each(t, func(t *testing.T, s *testStore) {
		mine, theirs := testKey(), Key{Server: "https://evil.example"}
		s.put(t, mine, "mine")
		s.put(t, theirs, "theirs")
		if f := s.keychain.items.(*fake); s.o.Backend == Keychain {
			f.items[mine.name()] = f.items[theirs.name()]
			s.nextProcess()
		} else if s.o.Backend == Postgres {
			rows, err := s.postgres.query(t.Context(), theirs, `SELECT encode(sealed, 'base64') FROM mcpauth_credentials WHERE name = $1`, theirs.name())
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := base64.StdEncoding.DecodeString(string(rows[0][0]))
			if err != nil {
				t.Fatal(err)
			}
			s.setRow(t, mine, sealed)
		} else {
			data, err := readPrivate(s.file.path(theirs.name()), maxFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := writePrivate(s.file.path(mine.name()), data, false); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Get(t.Context(), mine)
		wantErr(t, err, ErrCorrupt)
		if s.o.Backend == File && !strings.Contains(err.Error(), s.file.path(mine.name())) {
			t.Errorf("%v lacks the path", err)
		}
		before := s.leftovers(t)
		_, err = s.tryPut(t, mine, "new")
		if s.o.Backend == File {
			wantErr(t, err, ErrCorrupt)
			if after := s.leftovers(t); !slices.Equal(before, after) {
				t.Errorf("before %q, after %q", before, after)
			}
		}
	})
}

func FuzzParts(f *testing.F) {
	f.Add([]byte("a secret"), uint16(200), uint8(0), uint64(1))
	f.Add([]byte(text(3000)), uint16(140), uint8(3), uint64(7))
	f.Add([]byte{0, 0xff, '\n'}, uint16(300), uint8(1), uint64(1<<63))
	f.Fuzz(func(t *testing.T, secret []byte, room uint16, harm uint8, generation uint64) {
		if generation == 0 {
			return
		}
		payload, encoding := encodePayload(secret)
		value, parts, err := splitPayload("key", "key", recordHead{Generation: generation, Tag: "tag", Encoding: encoding}, payload, func(string) int { return int(room) })
		if err != nil {
			if !errors.Is(err, ErrUnwritable) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		for _, part := range append(parts, value) {
			if len(part) > int(room) {
				t.Fatalf("an item of %d bytes in %d", len(part), room)
			}
		}
		got, err := rejoin("key", value, parts)
		if err != nil || string(got) != string(secret) {
			t.Fatalf("split, joined: %v", err)
		}
		if _, err := rejoin("another key", value, parts); !errors.Is(err, ErrCorrupt) {
			t.Errorf("read under another key: %v", err)
		}
		if len(parts) == 0 {
			return
		}
		i := int(harm) % len(parts)
		for name, torn := range map[string][]string{
			"missing": slices.Delete(slices.Clone(parts), i, i+1),
			"doubled": slices.Insert(slices.Clone(parts), i, parts[i]),
			"changed": slices.Replace(slices.Clone(parts), i, i+1, parts[i][1:]+"~~"),
		} {
			if _, err := rejoin("key", value, torn); !errors.Is(err, ErrCorrupt) {
				t.Errorf("part %d %s: %v", i, name, err)
			}
		}
	})
}

func rejoin(name, value string, parts []string) ([]byte, error) {
	h, inline, err := parseHead(value)
	if err != nil {
		return nil, err
	}
	payload, err := joinParts(name, h, inline, parts)
	if err != nil {
		return nil, err
	}
	return decodePayload(payload, h.Encoding)
}

func FuzzRecord(f *testing.F) {
	value, _, _ := splitPayload("key", "key", recordHead{Generation: 4}, "payload", func(string) int { return 1000 })
	f.Add([]byte(value))
	f.Add([]byte(`{"mcpauth":1,"generation":1,"parts":3,"tag":"x","size":-1,"sum":""}` + "\n"))
	f.Add([]byte(`{"mcpauth":99}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, payload, err := decodeFile("key", data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		again, _, err := splitPayload("key", "key", recordHead{Generation: h.Generation, Encoding: h.Encoding}, payload, func(string) int { return maxFile })
		if err != nil {
			t.Fatal(err)
		}
		h2, payload2, err := decodeFile("key", []byte(again))
		if err != nil || h2.Generation != h.Generation || h2.Encoding != h.Encoding || payload2 != payload {
			t.Errorf("read %+v, written and read again %+v, %v", h, h2, err)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"mcpauth":1,"key":{"server":"https://x"},"backend":"file","generation":3,"public":{"a":1}}`))
	f.Add([]byte(`{"mcpauth":1,"key":{"server":"s"},"backend":"keychain","slot":-7,"pending":[{"generation":9,"parts":-1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if shown, ok := e.toEntry(); ok && shown.Generation == 0 {
			t.Error("shows an entry that was never written")
		}
		if slot := freeSlot(nil, e.Pending); slot < 0 || slot >= maxSlots {
			t.Errorf("slot %d", slot)
		}
	})
}

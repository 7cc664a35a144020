package keystore

import (
	"os"
	"testing"
)

// A disk that does not keep what it was given is found out at once, while the tokens are still at hand.
func TestFileReadBack(t *testing.T) {
	s := openTest(t, t.TempDir(), File, newFake(), keyless())
	s.put(t, testKey(), text(3000))
	path := s.file.path(testKey().name())
	for name, spoil := range map[string]func() error{
		"cut short": func() error { return os.Truncate(path, 1000) },
		"gone":      func() error { return os.Remove(path) },
		"another letter": func() error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)/2]++
			return os.WriteFile(path, data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.step = func(step string) error {
				if step == "file in place" {
					return spoil()
				}
				return nil
			}
			if _, err := s.tryPut(t, testKey(), text(3001)); err == nil {
				t.Error("stored, it says")
			}
			s.step = nil
			if err := s.Delete(t.Context(), testKey()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

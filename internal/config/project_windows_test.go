package config

import (
	"slices"
	"testing"
)

// On Windows, a link may lead to another drive, to a file server, or to the top of the drive.
func TestSplitPathWindows(t *testing.T) {
	for _, tt := range []struct {
		path, from, begin string
		parts             []string
	}{
		{`C:\a\b`, "", `C:\`, []string{"", "a", "b"}},
		{`..\b/c`, `C:\a`, `C:\a`, []string{"..", "b", "c"}},
		{`D:\b`, `C:\a`, `D:\`, []string{"", "b"}},
		{`\b`, `C:\a`, `C:\`, []string{"", "b"}},
		{`\\host\share\b`, `C:\a`, `\\host\share\`, []string{"", "b"}},
	} {
		if begin, parts := splitPath(tt.path, tt.from); begin != tt.begin || !slices.Equal(parts, tt.parts) {
			t.Errorf("%s from %s: %s %q", tt.path, tt.from, begin, parts)
		}
	}
	for path, want := range map[string]bool{`C:\a`: true, `C:\a\b`: true, `C:\ab`: false, `D:\a`: false, `\\host\share\a`: false} {
		if got := isWithin(`C:\a`, path); got != want || !isWithin(`C:\`, `C:\a`) {
			t.Errorf("%s: %t", path, got)
		}
	}
}

//go:build !darwin && !windows

package callback

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChooseBrowser(t *testing.T) {
	rundll32 := []string{"rundll32.exe", "url.dll,FileProtocolHandler"}
	mounted := []string{"/mnt/c/Windows/System32/rundll32.exe", "url.dll,FileProtocolHandler"}
	for _, tt := range []struct {
		name  string
		env   string // names of the environment variables that are set
		there string // programs that exist
		wsl   bool
		want  []string
	}{
		{"a desktop", "DISPLAY", "xdg-open", false, []string{"xdg-open"}},
		{"a desktop of today", "WAYLAND_DISPLAY", "xdg-open", false, []string{"xdg-open"}},
		{"over ssh, in a container, under cron", "", "xdg-open", false, nil},
		{"a desktop without xdg-utils", "DISPLAY", "", false, nil},
		{"WSL with wslu", "WSL_DISTRO_NAME", "wslview rundll32.exe xdg-open", false, []string{"wslview"}},
		{"WSL by its kernel alone", "", "rundll32.exe", true, rundll32},
		{"WSL with windows for X programs", "WSL_DISTRO_NAME DISPLAY", "xdg-open rundll32.exe", true, rundll32},
		{"WSL without the PATH of Windows", "WSL_DISTRO_NAME", mounted[0], true, mounted},
		{"WSL without Windows", "WSL_DISTRO_NAME DISPLAY", "xdg-open", true, []string{"xdg-open"}},
		{"WSL with nothing", "WSL_DISTRO_NAME", "xdg-open", true, nil},
		{"no WSL, but such a program", "DISPLAY", "wslview rundll32.exe", false, nil},
	} {
		getenv := func(name string) string {
			if slices.Contains(strings.Fields(tt.env), name) {
				return "set"
			}
			return ""
		}
		look := func(name string) (string, error) {
			if slices.Contains(strings.Fields(tt.there), name) {
				return name, nil
			}
			return "", errors.New("not there")
		}
		if got := chooseBrowser(getenv, look, tt.wsl); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Under WSL, the Windows browser receives the whole URL as one argument.
func TestOpenUnderWSL(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen")
	script := "#!/bin/sh\nprintf '%s\\n' $# \"$@\" >'" + seen + ".tmp'\nmv '" + seen + ".tmp' '" + seen + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "rundll32.exe"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("WSL_DISTRO_NAME", "Debian")
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if !CanOpen() {
		t.Fatal("no browser is known")
	}
	const address = "https://as.example.com/authorize?a=b%20c&d=%26calc.exe"
	if err := Open(context.Background(), "", address); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for deadline := time.Now().Add(10 * time.Second); len(got) == 0 && time.Now().Before(deadline); {
		got, _ = os.ReadFile(seen)
	}
	if want := "2\nurl.dll,FileProtocolHandler\n" + address + "\n"; string(got) != want {
		t.Errorf("the browser got %q, want %q", got, want)
	}
}

// Without a desktop, Open starts nothing and returns ErrNoBrowser.
func TestOpenWithoutDesktop(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("WSL_DISTRO_NAME", "")
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if CanOpen() {
		t.Error("a browser is known")
	}
	if err := Open(context.Background(), "", "https://as.example.com/"); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("got %v, want ErrNoBrowser", err)
	}
}

//go:build !windows

package callback

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

var noConsoleAttr *syscall.SysProcAttr // only Windows opens console windows

// backslashEscapes is true because a backslash in a browser command escapes the next character.
const backslashEscapes = true

// listSeparator separates the commands of $BROWSER.
const listSeparator = ':'

// systemBrowser returns the command that opens the default browser, or nil if there is none. In WSL, the command opens the Windows browser.
func systemBrowser() []string {
	if runtime.GOOS == "darwin" {
		return []string{"/usr/bin/open"}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return chooseBrowser(os.Getenv, exec.LookPath, strings.Contains(strings.ToLower(string(kernel)), "microsoft"))
}

// chooseBrowser returns the first available command. In WSL, wslview and rundll32.exe open the Windows browser. rundll32.exe takes the URL
// as one argument, but cmd.exe and powershell.exe interpret special characters in the URL. The Windows folder need not be in PATH. Without
// a display, the result is never xdg-open, because xdg-open would start a text browser in the terminal.
func chooseBrowser(getenv func(string) string, lookPath func(string) (string, error), wsl bool) []string {
	candidates := [][]string{{"xdg-open"}}
	if wsl || getenv("WSL_DISTRO_NAME") != "" {
		const handler = "url.dll,FileProtocolHandler"
		candidates = [][]string{{"wslview"}, {"rundll32.exe", handler}, {"/mnt/c/Windows/System32/rundll32.exe", handler}, {"xdg-open"}}
	}
	display := getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""
	for _, argv := range candidates {
		if display || argv[0] != "xdg-open" {
			if _, err := lookPath(argv[0]); err == nil {
				return argv
			}
		}
	}
	return nil
}

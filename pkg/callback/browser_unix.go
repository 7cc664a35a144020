//go:build !darwin && !windows

package callback

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

var withoutConsole *syscall.SysProcAttr // only Windows has consoles

// escapes reports that a backslash in a browser command escapes the next character.
const escapes = true

// listSeparator separates the commands of $BROWSER.
const listSeparator = ':'

// systemBrowser returns the command for the desktop's browser, or under WSL for that of Windows, or nil if there is neither.
func systemBrowser() []string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return chooseBrowser(os.Getenv, exec.LookPath, strings.Contains(strings.ToLower(string(kernel)), "microsoft"))
}

// chooseBrowser finds the program. Under WSL it is rundll32, which opens the browser of Windows and, unlike cmd.exe and powershell.exe,
// takes the address as one argument without a shell; the folder of Windows need not be on the PATH. Elsewhere it is xdg-open, but only on a
// desktop: without a display xdg-open would start a text browser in the terminal of the login.
func chooseBrowser(getenv func(string) string, lookPath func(string) (string, error), wsl bool) []string {
	candidates := [][]string{{"xdg-open"}}
	if wsl || getenv("WSL_DISTRO_NAME") != "" {
		const handler = "url.dll,FileProtocolHandler"
		candidates = [][]string{{"wslview"}, {"rundll32.exe", handler}, {"/mnt/c/Windows/System32/rundll32.exe", handler}, {"xdg-open"}}
	}
	display := getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""
	for _, argv := range candidates {
		if _, err := lookPath(argv[0]); err == nil && (display || argv[0] != "xdg-open") {
			return argv
		}
	}
	return nil
}

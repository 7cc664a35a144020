//go:build !darwin && !windows

package callback

import "os/exec"

// escapes: a backslash in a browser command escapes the next character.
const escapes = true

// systemBrowser is xdg-open; under WSL, where that is often missing, the browser of Windows.
func systemBrowser() []string {
	for _, argv := range [][]string{{"xdg-open"}, {"wslview"}, {"rundll32.exe", "url.dll,FileProtocolHandler"}} {
		if _, err := exec.LookPath(argv[0]); err == nil {
			return argv
		}
	}
	return []string{"xdg-open"} // its absence is the error to report
}

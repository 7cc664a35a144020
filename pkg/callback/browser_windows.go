package callback

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// withoutConsole: a browser command that is a console program, such as a script, gets no window of its own if mcpauth has no console.
var withoutConsole = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NO_WINDOW}

// escapes: a backslash in a browser command is a part of a path.
const escapes = false

// listSeparator separates the commands of $BROWSER.
const listSeparator = ';' // a colon is a part of a path

// systemBrowser avoids "start", which is a word of the shell.
func systemBrowser() []string { return []string{"rundll32", "url.dll,FileProtocolHandler"} }

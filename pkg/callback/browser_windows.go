package callback

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// noConsoleAttr prevents a console window if mcpauth has no console and the browser command is a console program.
var noConsoleAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NO_WINDOW}

// backslashEscapes is false because a backslash in a browser command is part of a path.
const backslashEscapes = false

// listSeparator separates the commands of $BROWSER.
const listSeparator = ';' // paths contain colons

// systemBrowser returns rundll32 and not start, because start is a command of the shell cmd.exe.
func systemBrowser() []string { return []string{"rundll32", "url.dll,FileProtocolHandler"} }

package callback

import "syscall"

var withoutConsole *syscall.SysProcAttr // only Windows has consoles

// escapes reports that a backslash in a browser command escapes the next character.
const escapes = true

// listSeparator separates the commands of $BROWSER.
const listSeparator = ':'

func systemBrowser() []string { return []string{"/usr/bin/open"} }

package callback

// escapes: a backslash in a browser command is a part of a path.
const escapes = false

// listSeparator separates the commands of $BROWSER.
const listSeparator = ';' // a colon is a part of a path

// systemBrowser avoids "start", which is a word of the shell.
func systemBrowser() []string { return []string{"rundll32", "url.dll,FileProtocolHandler"} }

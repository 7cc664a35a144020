package callback

// escapes: a backslash in a browser command escapes the next character.
const escapes = true

func systemBrowser() []string { return []string{"/usr/bin/open"} }

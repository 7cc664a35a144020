package main

import (
	"runtime"
	"strings"
	"unicode"
)

// shellWord quotes a word for the shells of this system.
func shellWord(s string) string {
	if runtime.GOOS == "windows" {
		return windowsWord(s)
	}
	return posixWord(s)
}

// posixWord quotes a word for a POSIX shell, zsh and fish. Inside single quotes, fish reads \' and \\ as escapes, so posixWord writes each
// backslash inside double quotes, where all these shells read \\ as one backslash.
func posixWord(s string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("%+,-./:=@_", r))
	}
	if s != "" && s[0] != '=' && s[0] != '%' && strings.TrimFunc(s, plain) == "" { // zsh expands =WORD, and fish expands %self
		return s
	}
	return "'" + strings.NewReplacer("'", `'\''`, `\`, `'"\\"'`).Replace(s) + "'"
}

// windowsWord quotes a word so that cmd.exe and PowerShell read it as one word and do not change it. If a word cannot be quoted,
// windowsWord returns VALUE, or NAME=VALUE if the word contains "=".
func windowsWord(s string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(`+-./:=\_~`, r))
	}
	// Both shells interpret some characters inside double quotes. PowerShell reads a typographic double quote as ". At the end of a word,
	// programs read \" as a literal ".
	special := func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune("\"%$`!^\u201c\u201d\u201e", r) }
	parameter := strings.HasPrefix(s, "-") && strings.ContainsAny(s, ".:") // PowerShell splits -a.b and -a:b
	switch {
	case s != "" && s[0] != '~' && !parameter && strings.TrimFunc(s, plain) == "":
		return s
	case s != "" && !strings.ContainsFunc(s, special) && !strings.HasSuffix(s, `\`):
		return `"` + s + `"`
	}
	if name, _, ok := strings.Cut(s, "="); ok && name != "" && strings.TrimFunc(name, plain) == "" && !strings.ContainsAny(name, "~.") {
		return name + "=VALUE"
	}
	return "VALUE"
}

package main

import (
	"os"
	"runtime"
	"strings"
	"unicode"
)

// shellWord quotes a word for the shells of this system.
func shellWord(s string) string {
	switch {
	case runtime.GOOS == "windows":
		return windowsWord(s)
	case os.Getenv("PSModulePath") != "": // PowerShell sets this variable for the programs that it starts, which may be another shell
		return commonWord(s)
	}
	return posixWord(s)
}

// maxWord limits the length of a word of a server in a command, in bytes. The ID of a task and a list of scopes can be that long.
const maxWord = 1000

// isShowable reports whether a text can be part of a command for the user. A shell would get another text if mcpauth removed invisible
// characters, and runs of blanks could fill a line of the terminal.
func isShowable(s string) bool { return len(s) <= maxWord && foldLine(s) == s }

// foreignWord quotes a word that contains text from a server or a project, so that a shell reads it as one word. If the word cannot be shown
// as it is, the result is a placeholder.
func foreignWord(s string) string {
	if !isShowable(s) {
		return placeholder(s)
	}
	return shellWord(s)
}

// dataWord is foreignWord for an argument that is not a flag. If the word begins with -, dataWord writes "--" before it.
func dataWord(s string) string {
	if strings.HasPrefix(s, "-") {
		return "-- " + foreignWord(s)
	}
	return foreignWord(s)
}

// placeholder returns VALUE, or NAME=VALUE or NAME:=VALUE if the word begins with a simple name and such a sign.
func placeholder(s string) string {
	name, _, ok := strings.Cut(s, "=")
	bare := name
	if !strings.HasPrefix(name, "-") {
		bare = strings.TrimSuffix(name, ":")
	}
	if ok && bare != "" && len(bare) <= 100 && strings.TrimFunc(bare, func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-')
	}) == "" {
		return name + "=VALUE"
	}
	return "VALUE"
}

// commonWord quotes a word so that PowerShell on Linux and macOS, POSIX shells, zsh and fish read it as the same word. PowerShell reads the
// typographic quotes U+2018 to U+201B as single quotes, does not read a backslash as posixWord needs it, and before version 7.3 removes
// double quotes and empty words from the arguments of a program.
func commonWord(s string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("+-./:=_", r))
	}
	switch {
	case s == "" || strings.ContainsAny(s, "'\"\\\u2018\u2019\u201a\u201b"):
		return placeholder(s)
	case s[0] == '=' || isParameter(s) || strings.TrimFunc(s, plain) != "":
		return "'" + s + "'"
	}
	return s
}

// isParameter reports whether PowerShell would split a word without quotes, as it splits -a.b and -a:b.
func isParameter(s string) bool { return strings.HasPrefix(s, "-") && strings.ContainsAny(s, ".:") }

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
// the result is a placeholder.
func windowsWord(s string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(`+-./:=\_~`, r))
	}
	// Both shells interpret some characters inside double quotes. PowerShell reads a typographic double quote as ". At the end of a word,
	// programs read \" as a literal ".
	special := func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune("\"%$`!^\u201c\u201d\u201e", r) }
	switch {
	case s != "" && s[0] != '~' && !isParameter(s) && strings.TrimFunc(s, plain) == "":
		return s
	case s != "" && !strings.ContainsFunc(s, special) && !strings.HasSuffix(s, `\`):
		return `"` + s + `"`
	}
	return placeholder(s)
}

package main

import (
	"os"
	"runtime"
	"strings"
	"unicode"
)

// quoting describes how a shell quotes a word.
type quoting struct {
	mark    string              // the quotation mark before and after the word
	special string              // characters that a word between the marks cannot contain
	escape  func(string) string // protects characters between the marks; nil: nothing can protect them
	plain   string              // characters other than those of isPlain that need no marks, unless the word begins with ~
}

var (
	// posixQuoting is for POSIX shells, zsh and fish.
	posixQuoting = quoting{mark: "'", escape: escapePOSIX}

	// commonQuoting is for PowerShell on Linux and macOS, POSIX shells, zsh and fish. PowerShell reads the typographic quotes U+2018 to U+201B as
	// single quotes, and before version 7.3 removes double quotes and empty words from the arguments of a program.
	commonQuoting = quoting{mark: "'", special: "'\"\\\u2018\u2019\u201a\u201b"}

	// windowsQuoting is for cmd.exe and PowerShell, which interpret some characters inside double quotes. PowerShell reads a typographic double
	// quote as ". A path such as C:\Users\ADMINI~1 needs no quotes.
	windowsQuoting = quoting{mark: `"`, special: "\"%$`!^\u201c\u201d\u201e", plain: `\~`}
)

// shellQuoting returns the quoting for the shells of this system.
func shellQuoting() quoting {
	switch {
	case runtime.GOOS == "windows":
		return windowsQuoting
	case os.Getenv("PSModulePath") != "": // PowerShell sets this variable for the programs that it starts, which may be another shell
		return commonQuoting
	}
	return posixQuoting
}

// escapePOSIX writes an apostrophe outside the single quotes. Inside of them, fish reads \' and \\ as escapes, so a backslash before such a
// character, or before the closing mark, is written outside too. Any other backslash stays, as in 'DOMAIN\user'.
func escapePOSIX(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '\'' || s[i] == '\\' && (i+1 == len(s) || strings.IndexByte(`'\`, s[i+1]) >= 0) {
			b.WriteString(`'\` + s[i:i+1] + `'`)
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// quote writes the marks.
func (q quoting) quote(s string) string {
	if q.escape != nil {
		s = q.escape(s)
	}
	return q.mark + s + q.mark
}

// word quotes a word, so that the shell reads it as one word and does not change it. If the word cannot be quoted, the result is a placeholder.
func (q quoting) word(s string) string {
	switch {
	case q.isPlain(s):
		return s
	case q.escape == nil && (s == "" || strings.ContainsAny(s, q.special) || strings.ContainsFunc(s, unicode.IsControl) || strings.HasSuffix(s, `\`)): // programs read \" as a literal "
		return placeholder(s)
	}
	return q.quote(s)
}

// isPlain reports whether the shells read a word without quotes as it is. zsh expands =WORD, PowerShell expands @WORD and ~, and splits
// -a.b and -a:b.
func (q quoting) isPlain(s string) bool {
	odd := func(r rune) bool {
		return !isPlainLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+-./:=@_"+q.plain, r)
	}
	return s != "" && !strings.ContainsRune("=@~", rune(s[0])) && !(s[0] == '-' && strings.ContainsAny(s, ".:")) && !strings.ContainsFunc(s, odd)
}

// isPlainLetter reports whether a character is a letter of a common script. The letters of some other scripts look like a separator.
func isPlainLetter(r rune) bool {
	return unicode.IsLetter(r) && unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew, unicode.Devanagari, unicode.Bengali,
		unicode.Tamil, unicode.Thai, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// maxWord limits the length of a word in a hint or an example, in bytes. The ID of a task and a list of scopes can be that long.
const maxWord = 1000

// isShowable reports whether a text can be part of a command for the user. A shell would get another text if mcpauth removed invisible
// characters, and runs of blanks could fill a line of the terminal.
func isShowable(s string) bool { return len(s) <= maxWord && foldLine(s) == s }

// shellWord quotes a word for the shells of this system. If the word cannot be shown as it is, the result is a placeholder.
func shellWord(s string) string {
	if !isShowable(s) {
		return placeholder(s)
	}
	return shellQuoting().word(s)
}

// canBeShown reports whether shellWord returns the word itself, and not a placeholder.
func canBeShown(s string) bool { return shellWord(s) != placeholder(s) }

// dataWord is shellWord for an argument that is not a flag. If the word begins with -, dataWord writes "--" before it.
func dataWord(s string) string {
	if strings.HasPrefix(s, "-") {
		return "-- " + shellWord(s)
	}
	return shellWord(s)
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

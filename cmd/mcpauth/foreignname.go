package main

import (
	"strconv"
	"strings"
	"unicode"
)

// foreignName returns a name that a stranger chose, on one line. The name can be that of a server in a project's file, of a tool or of a
// property, a URL or a path. A name that is not plain is quoted, so that it cannot look like a line of mcpauth or like another item of a list.
func foreignName(name string) string {
	text := foldLine(name)
	odd := func(r rune) bool {
		return !isPlainLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(`._-/@:{}~\`, r)
	}
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII && !isPlainLetter(r) }):
		return strconv.QuoteToASCII(text)
	case text != name || text == "" || strings.HasSuffix(text, ":") || strings.ContainsFunc(strings.ReplaceAll(text, "${", ""), odd):
		return strconv.Quote(text)
	}
	return text
}

// isPlainLetter reports whether a character is a letter of a common script. The letters of some other scripts look like a separator.
func isPlainLetter(r rune) bool {
	return unicode.IsLetter(r) && unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew, unicode.Devanagari, unicode.Bengali,
		unicode.Tamil, unicode.Thai, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

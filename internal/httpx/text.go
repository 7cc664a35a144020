package httpx

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// shellActive escapes the characters that a shell expands between double quotes, so that nothing runs if a user pastes a quoted name.
var shellActive = strings.NewReplacer("$", `\u0024`, "`", `\u0060`)

// Quote returns a name that a server chose, such as that of a tool, a URL or a scope, in quotation marks. The name is made safe and shortened as
// in Text.
func Quote(name string, max int) string { return shellActive.Replace(strconv.Quote(Text(name, max))) }

// Text makes a server's text safe to print on one line of a terminal. The result is valid UTF-8 without control, format or bidirectional
// characters. Each run of blanks becomes a single space, because blanks could fill a line of the terminal, so that the rest of the text would
// look like a line of mcpauth. If the text has more than max characters, it is shortened and ends with "…".
func Text(s string, max int) string {
	clean := make([]rune, 0, min(len(s), max+1))
	blank := false
	for _, r := range strings.ToValidUTF8(s, "�") {
		switch {
		case IsBlank(r):
			blank = len(clean) > 0
			continue
		case IsInvisible(r), (blank || len(clean) == 0) && unicode.Is(unicode.Mn, r): // a mark between two blanks can be invisible too
			continue
		}
		if blank {
			clean, blank = append(clean, ' '), false
		}
		if clean = append(clean, r); len(clean) > max {
			return strings.TrimSpace(string(clean[:max-1])) + "…"
		}
	}
	return string(clean)
}

// IsBlank reports whether a character is white space or looks like a blank. Some letters and symbols look like a blank, such as the Hangul fillers.
func IsBlank(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159", r)
}

// IsInvisible reports whether a character is a control or format character, has no glyph, or is a blank other than a space.
func IsInvisible(r rune) bool {
	if r <= unicode.MaxASCII { // most texts are ASCII, and the search in Unicode's tables is slow
		return unicode.IsControl(r)
	}
	return !unicode.IsPrint(r) || IsBlank(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\U00016fe4'
}

// IsOneWord reports whether a text contains neither a blank nor an invisible character.
func IsOneWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || IsInvisible(r) })
}

// HidesArgument reports whether a command could read a stranger's name, or a word of it, as another argument: as a flag, or as NAME=@FILE. Both can
// send a file to the server, and a user may copy the name from a list, or a script may pass it on. Shells and xargs can split the name at blanks,
// remove quotation marks and backslashes, and replace a word that begins with a wildcard by the name of a file. The tables leave out invisible
// characters.
func HidesArgument(name string) bool {
	words := strings.FieldsFunc(name, func(r rune) bool { return IsBlank(r) || IsInvisible(r) })
	return strings.HasPrefix(name, "-") || slices.ContainsFunc(words, func(word string) bool {
		word = strings.TrimLeft(word, `"'\`)
		isWildcard := strings.IndexAny(word, "*?[") == 0 || strings.IndexAny(word, "@+!") == 0 && strings.HasPrefix(word[1:], "(")
		return isWildcard || len(word) > 1 && word[0] == '-' || strings.Contains(word, "=@")
	})
}

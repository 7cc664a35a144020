package main

import (
	"cmp"
	"context"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printBashCandidates prints the candidates for the end of a bash command line. The candidates are quoted, because bash does not quote them.
func (p *program) printBashCandidates(ctx context.Context, breaks, line string) error {
	words, kept, quote := bashLine(line, breaks)
	if len(words) < 2 {
		return nil
	}
	onlyASCII := isOtherLocale(cmp.Or(p.getenv("LC_ALL"), p.getenv("LC_CTYPE"), p.getenv("LANG"), "C"))
	var b strings.Builder
	for _, c := range p.matchingCandidates(ctx, words[1:]) {
		if onlyASCII && strings.ContainsFunc(c.word, func(r rune) bool { return r >= utf8.RuneSelf }) {
			continue // in GBK, for example, a backslash after such a character could be a part of another character
		}
		b.WriteString(bashWord(c.word[kept:], quote))
		switch {
		case quote != 0:
			b.WriteRune(quote) // bash does not add the closing quote
		case !strings.HasSuffix(c.word, "=") && !strings.HasSuffix(c.word, "/"):
			b.WriteByte(' ')
		}
		b.WriteByte('\n')
	}
	return p.out.write([]byte(b.String()))
}

// isOtherLocale reports whether the characters of a locale may have other bytes than in UTF-8 and ASCII.
func isOtherLocale(locale string) bool {
	upper := strings.ToUpper(locale)
	return upper != "C" && upper != "POSIX" && !strings.Contains(upper, "UTF-8") && !strings.Contains(upper, "UTF8")
}

// bashLine splits a bash command line into words. Bash replaces only the end of the last word: the text after the last quote or after the
// last character of breaks ($COMP_WORDBREAKS). keptBytes is the length of the part of the last word that bash does not replace. openQuote
// is the quote that is still open at the end of the line, or 0. If the line contains $'…' or $"…", bashLine returns no words, because bash reads
// other escapes in these quotes.
func bashLine(line, breaks string) (words []string, keptBytes int, openQuote rune) {
	var word []byte
	started, escaped, dollar := false, false, false
	for _, r := range line {
		afterDollar := dollar
		dollar = r == '$' && openQuote == 0 && !escaped
		switch {
		case escaped:
			if openQuote == '"' && !strings.ContainsRune("$`\"\\", r) {
				word = append(word, '\\')
			}
			word, escaped = utf8.AppendRune(word, r), false
		case r == '\\' && openQuote != '\'':
			started, escaped = true, true
		case r == openQuote:
			openQuote, keptBytes = 0, len(word)
		case openQuote == 0 && (r == '\'' || r == '"'):
			if afterDollar {
				return nil, 0, 0
			}
			openQuote, keptBytes, started = r, len(word), true
		case openQuote == 0 && unicode.IsSpace(r):
			if started {
				words = append(words, string(word))
			}
			word, keptBytes, started = nil, 0, false
		default:
			word, started = utf8.AppendRune(word, r), true
			if openQuote == 0 && strings.ContainsRune(breaks, r) {
				keptBytes = len(word)
			}
		}
	}
	return append(words, string(word)), keptBytes, openQuote
}

// bashWord quotes a word for bash. openQuote is the quote that the user has already opened, or 0.
func bashWord(s string, openQuote rune) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case openQuote == '\'' && r == '\'':
			b.WriteString(`'\''`)
		case openQuote == '"' && r == '!': // bash expands ! inside double quotes too
			b.WriteString(`"\!"`)
		case openQuote == '"' && strings.ContainsRune("$`\"\\", r),
			openQuote == 0 && r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("%+,-./:=@_", r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

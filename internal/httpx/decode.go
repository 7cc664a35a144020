// The escapes in which a server may hide a secret.

package httpx

import (
	"encoding/hex"
	"html"
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// An escape is a way to write a character.
type escape struct {
	next func(text string) int // offset of the next place that may be an escape, or -1

	// decode returns the text for which the escape at the beginning of a text stands, and the length of the escape. The length is 0 if there is none.
	decode func(text string) (plain string, length int)
}

var (
	folded     = escape{nextFolded, decodeFolded}
	percent    = escape{first('%'), decodePercent}
	reference  = escape{first('&'), decodeReference}
	jsonEscape = escape{first('\\'), decodeJSON}
	quotedPair = escape{first('\\'), decodeQuotedPair}
)

// chains lists the escapes in the order in which they are decoded, each in the result of the one before. A JSON string may be within another
// JSON string. In a quoted pair, a letter stands for itself.
var chains = [][]escape{{percent, reference, jsonEscape, jsonEscape, jsonEscape, jsonEscape}, {percent, reference, quotedPair}}

func first(c byte) func(string) int {
	return func(text string) int { return strings.IndexByte(text, c) }
}

// maxPlaces limits the length in bytes of a text for which decoded knows the places, because they need many times the memory of the text.
const maxPlaces = 1 << 20

// A decoded is a text without some of its escapes.
type decoded struct {
	text   string
	size   int   // length of the original text
	places []int // the offset in the original text of each byte of text, and of its end; nil: text is the original text, or size exceeds maxPlaces
}

// decodings yields a text as Text would fold it, and then the result of each escape that the text contains, folded again.
func decodings(text string) iter.Seq[decoded] {
	return func(yield func(decoded) bool) {
		whole, changed := decoded{text: text, size: len(text)}.without(folded)
		if changed && !yield(whole) {
			return
		}
		for _, chain := range chains {
			d := whole
			for _, e := range chain {
				if d, changed = d.without(e); !changed {
					continue
				}
				if d, _ = d.without(folded); !yield(d) {
					return
				}
			}
		}
	}
}

// The method without decodes all escapes of one kind, and reports whether there was one.
func (d decoded) without(e escape) (_ decoded, changed bool) {
	var b strings.Builder
	out := decoded{size: d.size}
	end := 0 // end of the part of d.text that was written
	write := func(i int, plain string) {
		b.WriteString(d.text[end:i])
		b.WriteString(plain)
		if d.size > maxPlaces {
			return
		}
		for ; end < i; end++ {
			out.places = append(out.places, d.place(end))
		}
		for range len(plain) {
			out.places = append(out.places, d.place(i))
		}
	}
	for i := 0; ; {
		n := e.next(d.text[i:])
		if n < 0 {
			break
		}
		i += n
		plain, length := e.decode(d.text[i:])
		if length > 0 {
			write(i, plain)
			end, changed = i+length, true
		}
		i += max(length, 1)
	}
	if !changed {
		return d, false
	}
	write(len(d.text), "")
	if out.text = b.String(); d.size <= maxPlaces {
		out.places = append(out.places, d.size)
	}
	return out, true
}

func (d decoded) place(i int) int {
	if d.places == nil {
		return i
	}
	return d.places[i]
}

// The method original returns the place in the original text from which a place in the decoded text comes. In a text that is longer than
// maxPlaces, this is the whole text.
func (d decoded) original(s span) span {
	if d.places == nil {
		return span{0, d.size}
	}
	last := d.places[s.end-1]
	for d.places[s.end] == last { // the place ends within the characters of an escape
		s.end++
	}
	return span{d.places[s.start], d.places[s.end]}
}

// nextFolded returns the place of the first character that Text removes, or of the first blanks that Text folds, or -1.
func nextFolded(text string) int {
	blank := -1 // place of the space before the character; -1: there is none
	for i, r := range text {
		switch {
		case ' ' < r && r < unicode.MaxASCII:
			blank = -1
		case blank >= 0 && isFolded(r):
			return blank
		case r == ' ':
			blank = i
		case IsBlank(r) || IsInvisible(r):
			return i
		default:
			blank = -1
		}
	}
	return -1
}

func decodeFolded(text string) (plain string, length int) {
	r, length := utf8.DecodeRuneInString(text)
	if !IsBlank(r) {
		return "", length
	}
	n := strings.IndexFunc(text[length:], func(r rune) bool { return !isFolded(r) })
	if n < 0 {
		return " ", len(text)
	}
	return " ", length + n
}

// isFolded reports whether Text removes a character after a blank.
func isFolded(r rune) bool { return IsBlank(r) || IsInvisible(r) || unicode.Is(unicode.Mn, r) }

// decodePercent decodes a character in percent-encoding (RFC 3986 §2.1).
func decodePercent(text string) (plain string, length int) {
	var encoded []byte
	for rest := text; len(encoded) < utf8.UTFMax && len(rest) >= 3 && rest[0] == '%'; rest = rest[3:] {
		b, err := hex.DecodeString(rest[1:3])
		if err != nil {
			break
		}
		encoded = append(encoded, b[0])
	}
	r, size := utf8.DecodeRune(encoded)
	if r == utf8.RuneError {
		return "", 0
	}
	return string(r), 3 * size
}

// percentDecoded decodes a percent-encoded text, except what is not UTF-8.
func percentDecoded(text string) string {
	d, _ := decoded{text: text}.without(percent)
	return d.text
}

// decodeReference decodes a character reference of HTML.
func decodeReference(text string) (plain string, length int) {
	if n := strings.IndexByte(text[1:], '&'); n >= 0 {
		text = text[:1+n]
	}
	plain = html.UnescapeString(text)
	if plain == text {
		return "", 0
	}
	after := 0 // length of the text after the reference
	for after < len(plain) && plain[len(plain)-1-after] == text[len(text)-1-after] {
		after++
	}
	return plain[:len(plain)-after], len(text) - after
}

// decodeJSON decodes an escape of JSON (RFC 8259 §7) or of Go, in which net/http quotes malformed lines.
func decodeJSON(text string) (plain string, length int) {
	if len(text) < 2 {
		return "", 0
	}
	if i := strings.IndexByte(`"\/abfnrtv`, text[1]); i >= 0 {
		return "\"\\/\a\b\f\n\r\t\v"[i : i+1], 2
	}
	digits := 0
	switch text[1] {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	}
	r := hexRune(text[2:], digits)
	if r < 0 {
		return "", 0
	}
	if second, ok := strings.CutPrefix(text[2+digits:], `\u`); ok && digits == 4 {
		if pair := utf16.DecodeRune(r, hexRune(second, digits)); pair != utf8.RuneError {
			return string(pair), 12
		}
	}
	return string(r), 2 + digits
}

// hexRune returns the character whose number in hexadecimal digits begins a text, or -1.
func hexRune(text string, digits int) rune {
	if digits == 0 || len(text) < digits {
		return -1
	}
	r, err := strconv.ParseUint(text[:digits], 16, 31)
	if err != nil {
		return -1
	}
	return rune(r)
}

// decodeQuotedPair decodes the escape of a quoted string in a header (RFC 9110 §5.6.4). A server may escape each character.
func decodeQuotedPair(text string) (plain string, length int) {
	_, size := utf8.DecodeRuneInString(text[1:])
	if size == 0 {
		return "", 0
	}
	return text[1 : 1+size], 1 + size
}

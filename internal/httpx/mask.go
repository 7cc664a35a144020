// The search for secrets in a text, in every form in which a server may repeat them.

package httpx

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minSecret  = 4  // in bytes; a shorter secret could be ordinary text
	partLength = 12 // in bytes; a shorter part of a secret is not masked without the rest
)

// MaxSecret is the maximum length in bytes of a token or secret that a server issues. Masking a secret in messages takes many times its length
// in time and memory.
const MaxSecret = 128 << 10

// redacted replaces a secret.
const redacted = "[redacted]"

// IsRedacted reports whether a secret was removed from a text. Such a text must not be used as a URL, a client ID or a scope.
func IsRedacted(text string) bool { return strings.Contains(percentDecoded(text), redacted) }

// A finder searches texts for secrets. The memory that a search needs does not depend on the number of secrets.
type finder struct {
	whole []string        // forms of secrets, in lower case
	parts map[string]bool // parts of secrets of partLength bytes; nil: only complete secrets count

	// begins contains the forms in whole of which a beginning of at least partLength bytes counts before "…", where a text was cut. If cut is
	// true, the beginning counts at the end of the text too.
	begins []string
	cut    bool
}

// addParts makes the finder find parts of the secrets that it already has.
func (f *finder) addParts() {
	f.parts = map[string]bool{}
	for _, form := range f.whole {
		for i := 0; i+partLength <= len(form); i++ {
			f.parts[form[i:i+partLength]] = true
		}
	}
}

// HoldsSecret reports whether a text contains the secret, or a part of it of at least partLength bytes.
func HoldsSecret(text, secret string) bool {
	f := finder{whole: lowerForms(secret)}
	f.addParts()
	return f.clean(text) != text
}

// The method clean replaces the secrets in a text. If only the text without percent-encoding, character references of HTML, or escapes of JSON
// contains a secret, the result is the decoded text.
func (f *finder) clean(text string) string {
	if len(f.whole) == 0 {
		return text
	}
	text = f.replace(text, nil)
	plain := text
	for _, decode := range []func(string) string{percentDecoded, htmlDecoded, jsonDecoded} {
		if decoded := decode(plain); decoded != plain {
			if plain = f.replace(decoded, nil); plain != decoded {
				text = plain
			}
		}
	}
	if f.parts == nil {
		return text
	}
	return f.replace(text, f.parts)
}

// The method replace replaces the complete secrets that a text contains without further encoding, and the parts of secrets.
func (f *finder) replace(text string, parts map[string]bool) string {
	if len(text) < minSecret {
		return text
	}
	spans := f.find(lowerCase(text), parts)
	if spans == nil {
		return text
	}
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	end := 0 // end of the part of text that is already written or masked
	for i, s := range spans {
		if i == 0 || s[0] > end {
			b.WriteString(text[end:s[0]] + redacted)
		}
		end = max(end, s[1])
	}
	return strings.ToValidUTF8(b.String()+text[end:], "�") // the end of a span may be within a character
}

// The method find returns the places of secrets, and of the parts, in a text in lower case.
func (f *finder) find(text string, parts map[string]bool) (spans [][2]int) {
	for _, form := range f.whole {
		for at := 0; ; {
			i := strings.Index(text[at:], form)
			if i < 0 {
				break
			}
			spans = append(spans, [2]int{at + i, at + i + len(form)})
			at += i + len(form)
		}
	}
	spans = append(spans, f.findBeginnings(text)...)
	for i := 0; parts != nil && i+partLength <= len(text); i++ {
		switch n := len(spans); {
		case !parts[text[i:i+partLength]]:
		case n > 0 && spans[n-1][0] <= i && i <= spans[n-1][1]:
			spans[n-1][1] = max(spans[n-1][1], i+partLength)
		default:
			spans = append(spans, [2]int{i, i + partLength})
		}
	}
	return spans
}

// findBeginnings returns the places of the beginnings of secrets that are cut off.
func (f *finder) findBeginnings(text string) (spans [][2]int) {
	if !f.cut && !strings.Contains(text, "…") {
		return nil
	}
	for _, form := range f.begins {
		for at := 0; len(form) > partLength; at++ {
			i := strings.Index(text[at:], form[:partLength])
			if i < 0 {
				break
			}
			at += i
			end := at + partLength
			for end < len(text) && end-at < len(form) && text[end] == form[end-at] {
				end++
			}
			if f.isCut(text[end:]) {
				spans = append(spans, [2]int{at, end})
			}
		}
	}
	return spans
}

// isCut reports whether a text was cut before rest, possibly within an escape.
func (f *finder) isCut(rest string) bool {
	const longestEscape = 100
	short := rest[:min(len(rest), longestEscape)]
	before, _, found := strings.Cut(short, "…")
	if !found && (!f.cut || len(short) < len(rest)) {
		return false
	}
	return before == "" || strings.IndexAny(before, "%&\\\ufffd") == 0 && !strings.ContainsAny(before, " ;")
}

// percentRun matches characters in percent-encoding.
var percentRun = compiled(`(?:%[0-9A-Fa-f]{2})+`)

// percentDecoded decodes the printable characters in a percent-encoded text. Other characters could begin a new line.
func percentDecoded(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	return percentRun().ReplaceAllStringFunc(text, func(run string) string {
		plain, _ := hex.DecodeString(strings.ReplaceAll(run, "%", ""))
		var b strings.Builder
		for i := 0; i < len(plain); {
			r, size := utf8.DecodeRune(plain[i:])
			if unicode.IsPrint(r) && r != utf8.RuneError {
				b.WriteRune(r)
			} else {
				b.WriteString(run[3*i : 3*(i+size)])
			}
			i += size
		}
		return b.String()
	})
}

// htmlDecoded decodes the character references of HTML in a text, except those of control characters, which could begin a new line.
func htmlDecoded(text string) string {
	before, rest, found := strings.Cut(text, "&")
	if !found {
		return text
	}
	var b strings.Builder
	b.WriteString(before)
	for part := range strings.SplitSeq(rest, "&") {
		part = "&" + part
		if plain := html.UnescapeString(part); strings.IndexFunc(plain, unicode.IsControl) != 0 {
			part = plain
		}
		b.WriteString(part)
	}
	return b.String()
}

// jsonEscape matches an escape of JSON that stands for a visible character (RFC 8259 §7).
var jsonEscape = compiled(`\\(?:["\\/]|u[0-9A-Fa-f]{4}(?:\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})?)`)

// jsonDecoded decodes the escapes of JSON in a text, except those of control characters. The text may be a JSON string within a JSON string.
func jsonDecoded(text string) string {
	for range 4 {
		if !strings.Contains(text, `\`) {
			break
		}
		text = jsonEscape().ReplaceAllStringFunc(text, func(escape string) string {
			plain := escape[1:]
			if len(escape) > 2 && json.Unmarshal([]byte(`"`+escape+`"`), &plain) != nil || strings.ContainsFunc(plain, unicode.IsControl) {
				return escape
			}
			return plain
		})
	}
	return text
}

// lowerCase converts the letters of a text to lower case, except the few letters whose length in bytes would change.
func lowerCase(s string) string {
	b := []byte(s)
	for i, r := range s {
		if small := unicode.ToLower(r); small != r && utf8.RuneLen(small) == utf8.RuneLen(r) {
			utf8.EncodeRune(b[i:], small)
		}
	}
	return string(b)
}

// lowerForms returns a secret as a server may repeat it, in lower case: unchanged, percent-encoded, form-encoded, form-decoded, in base64 at
// any position, in hexadecimal, escaped for HTML, and cleaned by Text.
func lowerForms(s string) []string {
	if len(s) < minSecret {
		return nil
	}
	all := []string{s, url.QueryEscape(s), url.PathEscape(s), strings.ReplaceAll(s, " ", "+"), html.EscapeString(s), Text(s, len(s)+1), hex.EncodeToString([]byte(s))}
	// A server may have decoded the secret as form data. A text with white space is not added, because "connection+reset" would replace
	// ordinary words.
	if decoded, err := url.QueryUnescape(s); err == nil && !strings.ContainsFunc(decoded, unicode.IsSpace) {
		all = append(all, decoded)
	}
	for shift := range 3 {
		core := base64Core(s, shift)
		all = append(all, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
	}
	var forms []string
	for _, form := range all {
		if form = lowerCase(form); len(form) >= minSecret && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	return forms
}

// If a longer text that contains s is encoded in base64, base64Core returns the characters that depend only on s. shift is the offset of s
// in the text, modulo 3.
func base64Core(s string, shift int) string {
	enc := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
	enc = enc[[]int{0, 2, 3}[shift]:]
	if (shift+len(s))%3 != 0 {
		enc = enc[:len(enc)-1]
	}
	return enc
}

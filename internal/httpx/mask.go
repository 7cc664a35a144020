// The forms in which a server may repeat a secret, and the removal of the secrets that a finder finds.

package httpx

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
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

// HoldsSecret reports whether a text contains the secret, or a part of it of at least partLength bytes.
func HoldsSecret(text, secret string) bool { return partFinder(secret).clean(text) != text }

// The method clean replaces the secrets in a text, also those that only the decoded text contains. Nothing else changes: the text may be quoted
// for a shell, so that another decoded character could end the quotes.
func (f *finder) clean(text string) string {
	if len(f.whole) == 0 || len(text) < minSecret {
		return text
	}
	spans := f.search(text)
	for d := range decodings(text) {
		for _, s := range f.search(d.text) {
			spans = append(spans, d.original(s))
		}
	}
	return f.mask(text, spans)
}

// The method search returns the places of secrets and of their parts in a text.
func (f *finder) search(text string) []span {
	lower := lowerCase(text)
	spans := f.find(lower)
	if f.parts != nil {
		spans = append(spans, f.findParts(lower)...)
	}
	return spans
}

// The method mask replaces the places in a text.
func (f *finder) mask(text string, spans []span) string {
	if spans == nil {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var merged []span
	for _, s := range spans {
		merged = addSpan(merged, s)
	}
	var b strings.Builder
	end := 0 // end of the part of text that is already written or masked
	for _, s := range merged {
		b.WriteString(text[end:s.start])
		if f.marks {
			b.WriteString(noMarks().ReplaceAllLiteralString(text[s.start:s.end], redacted))
		} else {
			b.WriteString(redacted)
		}
		end = s.end
	}
	b.WriteString(text[end:])
	return strings.ToValidUTF8(b.String(), "�") // the end of a span may be within a character
}

// noMarks matches what stands between the characters that may begin or end the quotes of a shell. These characters also stay apart: two of them
// side by side could have another meaning.
var noMarks = compiled("[^'\"\\\\`‘’‚‛“”„]+")

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

// The forms in which a server may repeat a secret, and the removal of the secrets that a finder finds.

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

// HoldsSecret reports whether a text contains the secret, or a part of it of at least partLength bytes.
func HoldsSecret(text, secret string) bool { return partFinder(secret).clean(text) != text }

// The method clean replaces the secrets in a text. If only the text without invisible characters, percent-encoding, character references of
// HTML, or escapes of JSON or HTTP contains a secret, the result is the decoded text.
func (f *finder) clean(text string) string {
	if len(f.whole) == 0 {
		return text
	}
	text = mask(text, f.find)
	plain := text
	for _, decode := range []func(string) string{visible, percentDecoded, htmlDecoded, jsonDecoded, quotedDecoded} {
		if decoded := decode(plain); decoded != plain {
			if plain = mask(decoded, f.find); plain != decoded {
				text = plain
			}
		}
	}
	if f.parts == nil {
		return text
	}
	return mask(text, f.findParts)
}

// The function mask replaces the places that find returns for a text in lower case.
func mask(text string, find func(string) []span) string {
	if len(text) < minSecret {
		return text
	}
	spans := find(lowerCase(text))
	if spans == nil {
		return text
	}
	var b strings.Builder
	end := 0 // end of the part of text that is already written or masked
	for _, s := range spans {
		b.WriteString(text[end:s.start] + redacted)
		end = s.end
	}
	b.WriteString(text[end:])
	return strings.ToValidUTF8(b.String(), "�") // the end of a span may be within a character
}

// visible removes the characters that Text removes. Without this step, a secret that contains such characters would become readable in a message.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if IsInvisible(r) && !IsBlank(r) {
			return -1
		}
		return r
	}, text)
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

// quotedPair matches a character that is escaped in a quoted string of a header (RFC 9110 §5.6.4).
var quotedPair = compiled(`\\[^\pC]`)

// quotedDecoded decodes the escapes in quoted strings of headers, except those of control characters. A server may escape each character.
func quotedDecoded(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return quotedPair().ReplaceAllStringFunc(text, func(pair string) string { return pair[1:] })
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

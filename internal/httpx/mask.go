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

// redacted replaces a secret.
const redacted = "[redacted]"

// IsRedacted reports whether a secret was removed from a text. Such a text must not be used as a URL, a client ID or a scope.
func IsRedacted(text string) bool {
	return slices.ContainsFunc(views(text), func(v view) bool { return strings.Contains(v.text, redacted) })
}

// finder finds secrets in texts. The memory that a search needs does not depend on the number of secrets.
type finder struct {
	whole []string        // forms of secrets, in lower case
	parts map[string]bool // parts of secrets of partLength bytes; nil: only complete secrets count
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

// HoldsSecret reports whether a text contains one secret, or a part of it.
func HoldsSecret(text, secret string) bool {
	f := finder{whole: lowerForms(secret)}
	f.addParts()
	return f.clean(text) != text
}

// clean replaces the secrets in a text.
func (f *finder) clean(text string) string {
	if len(f.whole) == 0 || len(text) < minSecret {
		return text
	}
	var spans [][2]int
	for _, v := range views(text) {
		spans = f.find(spans, v)
	}
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

// find appends the places of secrets in a view to spans.
func (f *finder) find(spans [][2]int, v view) [][2]int {
	for _, form := range f.whole {
		for at := 0; ; {
			i := strings.Index(v.text[at:], form)
			if i < 0 {
				break
			}
			spans = append(spans, v.span(at+i, at+i+len(form)))
			at += i + len(form)
		}
	}
	for i := 0; f.parts != nil && i+partLength <= len(v.text); i++ {
		if !f.parts[v.text[i:i+partLength]] {
			continue
		}
		s := v.span(i, i+partLength)
		if n := len(spans); n > 0 && spans[n-1][0] <= s[0] && s[0] <= spans[n-1][1] {
			spans[n-1][1] = max(spans[n-1][1], s[1])
		} else {
			spans = append(spans, s)
		}
	}
	return spans
}

// view is a text as a reader may decode it, in lower case.
type view struct {
	text  string
	start []int // where each byte of the view begins in the original text, and the length of the original text; nil: the view is the original text
}

func (v view) span(from, to int) [2]int {
	if v.start == nil {
		return [2]int{from, to}
	}
	return [2]int{v.start[from], v.start[to]}
}

// views returns the ways in which a text may be read: without characters that Text removes, without the backslashes of a quoted string (RFC
// 9110 §5.6.4), and percent-decoded up to three times.
func views(text string) []view {
	v := view{text: lowerASCII(text)}.withoutInvisible()
	all := []view{v}
	if strings.Contains(v.text, `\`) {
		all = append(all, v.rewrite(func(rest string) (string, int) { return strings.TrimPrefix(rest[:1], `\`), 1 }))
	}
	for range 3 {
		if !strings.Contains(v.text, "%") {
			break
		}
		next := v.rewrite(percentDecoded).withoutInvisible()
		if next.text == v.text {
			break
		}
		v = next
		all = append(all, v)
	}
	return all
}

func (v view) withoutInvisible() view {
	if !strings.ContainsFunc(v.text, isInvisible) {
		return v
	}
	return v.rewrite(func(rest string) (string, int) {
		r, size := utf8.DecodeRuneInString(rest)
		if isInvisible(r) {
			return "", size
		}
		return rest[:size], size
	})
}

// isInvisible reports whether Text removes a character.
func isInvisible(r rune) bool {
	return unicode.IsControl(r) && !unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
}

// percentDecoded decodes a %XX sequence at the beginning of rest, or else returns the first byte.
func percentDecoded(rest string) (string, int) {
	if rest[0] == '%' && len(rest) > 2 {
		if decoded, err := hex.DecodeString(rest[1:3]); err == nil {
			return lowerASCII(string(decoded)), 3
		}
	}
	return rest[:1], 1
}

// rewrite returns the view in which replace has replaced each piece. replace returns the new text of the piece at the beginning of rest, and
// the length of the old piece.
func (v view) rewrite(replace func(rest string) (string, int)) view {
	out, start := make([]byte, 0, len(v.text)), make([]int, 0, len(v.text)+1)
	for i := 0; i < len(v.text); {
		piece, size := replace(v.text[i:])
		for j := range len(piece) {
			start = append(start, v.span(i+min(j, size), len(v.text))[0])
		}
		out = append(out, piece...)
		i += size
	}
	return view{string(out), append(start, v.span(len(v.text), len(v.text))[0])}
}

// lowerASCII converts ASCII letters to lower case and leaves all other bytes unchanged.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// lowerForms returns the forms of the secrets in lower case.
func lowerForms(secrets ...string) []string {
	forms := forms(secrets)
	for i := range forms {
		forms[i] = lowerASCII(forms[i])
	}
	return forms
}

// forms returns the secrets in the forms in which a server may repeat them: unchanged, percent-encoded, form-decoded, in base64 at any
// position, in hexadecimal, escaped for HTML or JSON, and cleaned by Text. The unchanged secret comes first.
func forms(secrets []string) []string {
	var out []string
	known := map[string]bool{}
	add := func(form string) {
		if len(form) >= minSecret && !known[form] {
			known[form] = true
			out = append(out, form)
		}
	}
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), Text(s, len(s)+1), hex.EncodeToString([]byte(s))} {
			add(form)
		}
		if decoded, err := url.QueryUnescape(s); err == nil && !strings.ContainsFunc(decoded, unicode.IsSpace) { // the form of the secret in a server that has decoded it as form data
			add(decoded) // without white space, because "connection+reset" would otherwise replace ordinary words
		}
		for _, escapeHTML := range []bool{false, true} {
			escaped := escapeJSON(s, escapeHTML)
			add(escaped)
			add(escapeJSON(escaped, false)) // JSON within a JSON string
		}
		for shift := range 3 {
			core := base64Core(s, shift)
			add(core)
			add(strings.NewReplacer("+", "-", "/", "_").Replace(core))
		}
	}
	return out
}

// escapeJSON returns a text as it appears between the quotes of a JSON string.
func escapeJSON(s string, escapeHTML bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if enc.Encode(s) != nil {
		return s
	}
	return strings.TrimSuffix(b.String(), "\"\n")[1:]
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

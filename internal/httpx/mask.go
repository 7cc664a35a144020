// Masking of the secrets that were sent with a request wherever the answer repeats them.

package httpx

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

const (
	minSecret = 4  // bytes; a shorter one cannot be told from ordinary text
	window    = 12 // bytes of a secret in a row that count as a part of it
)

// Mask replaces every occurrence of a hidden text in s, and of every part of one that is at least window long, in small or capital letters. s
// may be as large as a server likes: what is remembered is of the hidden texts.
func Mask(s string, hidden []string) string {
	parts := map[string]bool{}
	var sizes []int
	for _, h := range hidden {
		h = lower(h)
		size := min(len(h), window)
		if !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
		for i := 0; i+size <= len(h); i++ {
			parts[h[i:i+size]] = true
		}
	}
	var b strings.Builder
	folded := lower(s)
	end := 0 // of what is written, or hidden
	for i := range len(s) {
		for _, n := range sizes {
			if i+n > len(s) || !parts[folded[i:i+n]] {
				continue
			}
			if i > end || b.Len() == 0 {
				b.WriteString(s[end:i] + redacted)
			}
			end = max(end, i+n)
		}
	}
	return b.String() + s[end:]
}

// CleanError hides secrets in the text of an error: net/http quotes lines of a server that are not HTTP.
func CleanError(err error, hidden []string) error {
	text := err.Error()
	if clean := Mask(text, hidden); clean != text {
		return &cleanError{err, clean}
	}
	return err
}

type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.error }

// lower writes ASCII letters small and leaves all other bytes as they are.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// Forms returns the secrets as they might come back: raw, percent-encoded, decoded as a form is, in base64 wherever they stand in it, in
// hexadecimal, escaped for HTML or JSON, stripped as Text strips. The raw form comes first.
func Forms(secrets []string) []string {
	var out []string
	add := func(form string) {
		if len(form) >= minSecret && !slices.Contains(out, form) {
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
		if decoded, err := url.QueryUnescape(s); err == nil { // the server took it for a form's
			add(decoded)
		}
		for _, escapeHTML := range []bool{false, true} {
			escaped := escapeJSON(s, escapeHTML)
			add(escaped)
			add(escapeJSON(escaped, false)) // JSON in a text of JSON
		}
		for shift := range 3 {
			core := base64Core(s, shift)
			add(core)
			add(strings.NewReplacer("+", "-", "/", "_").Replace(core))
		}
	}
	return out
}

// escapeJSON writes a text as it stands in JSON between its quotes.
func escapeJSON(s string, escapeHTML bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if enc.Encode(s) != nil {
		return s
	}
	return strings.TrimSuffix(b.String(), "\"\n")[1:]
}

// base64Core returns the characters of the base64 encoding that depend on s alone, when shift bytes stand before it.
func base64Core(s string, shift int) string {
	enc := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
	enc = enc[[]int{0, 2, 3}[shift]:]
	if (shift+len(s))%3 != 0 {
		enc = enc[:len(enc)-1]
	}
	return enc
}

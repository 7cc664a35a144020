// Masking of the secrets that were sent with a request wherever the answer repeats them.

package httpx

import (
	"bytes"
	"encoding/base64"
	"html"
	"net/url"
	"slices"
	"strings"
)

const (
	minSecret = 4  // bytes; a shorter one cannot be told from ordinary text
	window    = 12 // bytes of a secret in a row that count as a part of it
)

// Mask replaces every occurrence of a hidden text in s, and of every part of one that is at least window long. s may be as large as a
// server likes: what is remembered is of the hidden texts.
func Mask(s string, hidden []string) string {
	parts := map[string]bool{}
	var sizes []int
	for _, h := range hidden {
		size := min(len(h), window)
		if !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
		for i := 0; i+size <= len(h); i++ {
			parts[h[i:i+size]] = true
		}
	}
	var b strings.Builder
	end := 0 // of what is written, or hidden
	for i := range len(s) {
		for _, n := range sizes {
			if i+n > len(s) || !parts[s[i:i+n]] {
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

// lowerEscapes writes %2F as %2f.
func lowerEscapes(escaped string) string {
	b := []byte(escaped)
	for i, c := range b {
		if c == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// Forms returns the secrets as they might come back: raw, percent-encoded, decoded as
// a form is, in base64 wherever they stand in it,
// escaped for HTML, stripped as Text strips.
func Forms(secrets []string) []string {
	var out []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		query, path := url.QueryEscape(s), url.PathEscape(s)
		out = append(out, s, query, path, lowerEscapes(query), lowerEscapes(path),
			html.EscapeString(s), Text(s, len(s)+1))
		if decoded, err := url.QueryUnescape(s); err == nil { // the server took it for a form's
			out = append(out, decoded)
		}
		for shift := range 3 {
			core := base64Core(s, shift)
			out = append(out, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) < minSecret })
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

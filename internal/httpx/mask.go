// This file takes the secrets that were sent out of the words that came back.

package httpx

import (
	"encoding/base64"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const (
	minSecret = 4  // bytes; a shorter one cannot be told from ordinary text
	window    = 12 // bytes of a secret in a row that count as a part of it
)

// Mask replaces every occurrence of a hidden text in s, and of every part of one that is at least window long.
func Mask(s string, hidden []string) string {
	at := map[string][]int{}
	for i := 0; i+window <= len(s); i++ {
		at[s[i:i+window]] = append(at[s[i:i+window]], i)
	}
	covered := make([]bool, len(s))
	cover := func(from, n int) {
		for i := from; i < from+n; i++ {
			covered[i] = true
		}
	}
	for _, h := range hidden {
		if len(h) < window {
			for from := 0; ; from++ {
				i := strings.Index(s[from:], h)
				if i < 0 {
					break
				}
				from += i
				cover(from, len(h))
			}
			continue
		}
		for i := 0; i+window <= len(h); i++ {
			for _, from := range at[h[i:i+window]] {
				cover(from, window)
			}
		}
	}
	var b strings.Builder
	for i := range covered {
		switch {
		case !covered[i]:
			b.WriteByte(s[i])
		case i == 0 || !covered[i-1]:
			b.WriteString(redacted)
		}
	}
	return b.String()
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// Forms returns the secrets as they might come back: raw, percent-encoded, in base64 wherever they stand in it,
// escaped for HTML, stripped as Text strips.
func Forms(secrets []string) []string {
	var out []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		query, path := url.QueryEscape(s), url.PathEscape(s)
		out = append(out, s, query, path, percent.ReplaceAllStringFunc(query, strings.ToLower), percent.ReplaceAllStringFunc(path, strings.ToLower),
			html.EscapeString(s), Text(s, len(s)+1))
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

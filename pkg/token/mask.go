// This file takes the secrets that were sent out of the words that came back.

package token

import (
	"net/url"

	"mcpauth/internal/httpx"
)

// maxWords is how many bytes of a server's words are looked at; far fewer are shown.
const maxWords = 2 << 10

// clean makes a server's words safe to print: no control characters, none of the secrets, at most max runes. The control characters go
// first, as they might part a secret.
func clean(s string, hidden []string, max int) string {
	return httpx.Text(httpx.Mask(httpx.Text(s[:min(len(s), maxWords)], maxWords), hidden), max)
}

// holds reports whether any of the hidden texts is in s, percent-encoded up to three times.
func holds(s string, hidden []string) bool {
	for range 3 {
		if httpx.Mask(s, hidden) != s {
			return true
		}
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return true
		}
		s = decoded
	}
	return false
}

// Masking of secrets that a response repeats.

package httpx

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	minSecret  = 4  // in bytes; a shorter secret could be ordinary text
	partLength = 12 // in bytes; a shorter part of a secret is not masked without the rest
)

// Mask removes the hidden texts from s. If s contains only part of a hidden text, Mask removes the part if it has at least partLength
// bytes. Mask ignores the case of ASCII letters. The memory for the search depends only on the hidden texts, so s may be very large.
func Mask(s string, hidden []string) string {
	parts := map[string]bool{}
	var sizes []int
	for _, h := range hidden {
		h = lowerASCII(h)
		size := min(len(h), partLength)
		if !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
		for i := 0; i+size <= len(h); i++ {
			parts[h[i:i+size]] = true
		}
	}
	var b strings.Builder
	folded := lowerASCII(s)
	end := 0 // end of the part of s that is already written or masked
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

// CleanError masks secrets in the text of an error, because an error of net/http may quote a malformed header line of the server.
func CleanError(err error, hidden []string) error {
	text := err.Error()
	if clean := Mask(text, hidden); clean != text {
		return &cleanError{err, clean}
	}
	return err
}

// cleanError wraps an error and replaces its text by the masked text.
type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.error }

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

// Forms returns the secrets in the forms in which a server may repeat them: unchanged, percent-encoded, form-decoded, in base64 at any
// position, in hexadecimal, escaped for HTML or JSON, and cleaned by Text. The unchanged secret comes first.
func Forms(secrets []string) []string {
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
		if decoded, err := url.QueryUnescape(s); err == nil { // the form of the secret in a server that has decoded it as form data
			add(decoded)
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

// HoldsWhole reports whether a text contains one of the hidden texts completely, even percent-encoded up to three times. Use HoldsWhole to
// refuse a text, because two unrelated tokens may have the same beginning, such as the header of a JWT.
func HoldsWhole(text string, hidden []string) bool {
	for range 4 {
		folded := lowerASCII(text)
		if slices.ContainsFunc(hidden, func(secret string) bool { return strings.Contains(folded, lowerASCII(secret)) }) {
			return true
		}
		text = percentDecoded(text)
	}
	return false
}

// LongValue is a length in bytes. A header value of the user that is at least this long counts as a secret. mcpauth ignores a parameter of
// WWW-Authenticate that contains a secret. A server may legitimately repeat a shorter value there, such as the name of a tenant.
const LongValue = 16

// HeaderForms returns Forms of the header values and of the secrets in them. If minimum is not 0, HeaderForms omits shorter values, and values
// that a server may legitimately use, such as the ID of a tenant.
func HeaderForms(h http.Header, minimum int) []string {
	var all []string
	for name, values := range h {
		for _, value := range values {
			all = append(all, slices.DeleteFunc(append(HeaderSecrets(name, value), value), func(secret string) bool {
				return len(secret) < minimum || minimum > 0 && (namesIdentifier(name) || isUUID(secret) || isOrigin(secret))
			})...)
		}
	}
	return Forms(all)
}

// RequestSecrets returns the secrets in the headers of a request.
func RequestSecrets(h http.Header) []string {
	var all []string
	for name, values := range h {
		for _, value := range values {
			all = append(all, HeaderSecrets(name, value)...)
		}
	}
	return all
}

// HeaderSecrets returns the secrets in a header that the user or mcpauth sends: the value, the credentials after a scheme such as Bearer,
// the password of Basic, and the value of each cookie. The result is nil for a header whose value --verbose shows, and for a Mcp-Param
// header, which contains an argument of a call.
func HeaderSecrets(name, value string) []string {
	name = http.CanonicalHeaderKey(name)
	if slices.Contains(printableHeaders, name) || strings.HasPrefix(name, "Mcp-Param-") || name == "Location" {
		return nil
	}
	all := authorizationSecrets(value)
	if name != "Authorization" {
		all = append(all, value)
	}
	if name == "Cookie" {
		for pair := range strings.SplitSeq(value, ";") {
			if _, v, ok := strings.Cut(pair, "="); ok {
				all = append(all, strings.TrimSpace(v))
			}
		}
	}
	return all
}

// namesIdentifier reports whether the name of a header says that its value is an identifier, such as that of a tenant, and not a secret.
func namesIdentifier(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"tenant", "org", "account", "user", "workspace", "project", "team", "region"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return strings.HasSuffix(name, "-id")
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

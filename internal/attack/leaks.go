// The search for secrets in requests to servers that must not receive them.

package attack

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Leaks describes each request that sends a secret to a server that must not receive it. No server may receive a secret of another server.
// Not even the MCP server may receive a secret of its authorization server. Leaks also describes each request that presents the user's
// certificate to a server other than the MCP server and its authorization server, or to another tenant of their hosts.
func (w *World) Leaks() []string {
	var leaks []string
	secrets := w.Secrets()
	moved := strings.Contains(strings.Join(w.attack.Words, " "), "authorization_servers=["+word(AS2)) // true if the attack makes AS2 the authorization server
	var ofProvider []string
	if w.provider != nil {
		ofProvider = append(w.provider.Secrets(), "demo-cs-idp")
	}
	for _, r := range w.Requests() {
		if r.Shown != "" && (r.Origin != MCP && r.Origin != AS && (r.Origin != AS2 || !moved) || r.URL == providerPath || isOfTenant(r)) {
			leaks = append(leaks, fmt.Sprintf("%s %s%s was shown the certificate", r.Method, r.Origin, r.URL))
		}
		text := r.URL + "\n" + r.Body
		for name, values := range r.Header {
			text += "\n" + name + ": " + strings.Join(values, "\n")
		}
		for _, s := range secrets {
			access := strings.HasPrefix(s, "demo-at-") || s == UserKey
			if slices.Contains(ofProvider, s) {
				if r.Origin != IDP && Holds(text, s) {
					leaks = append(leaks, fmt.Sprintf("%s %s%s was sent a secret of the identity provider (%.12s…)", r.Method, r.Origin, r.URL, s))
				}
				continue
			}
			if (r.Origin == AS || r.Origin == AS2) && s != UserKey || r.Origin == MCP && access {
				continue
			}
			if Holds(text, s) {
				leaks = append(leaks, fmt.Sprintf("%s %s%s was sent a secret (%.12s…)", r.Method, r.Origin, r.URL, s))
			}
		}
	}
	return leaks
}

// isOfTenant reports whether a request reaches another tenant of a host, also if the host resolves dots in the path. The well-known URLs of the
// MCP server's host belong to the host. The authorization server's host may give the part below them to the tenant.
func isOfTenant(r Request) bool {
	u, err := url.Parse(r.URL)
	return err != nil || strings.HasPrefix(path.Clean(u.Path), tenantPath) || r.Origin != MCP && strings.Contains(r.URL, tenantPath)
}

// Strangers returns the requests to servers other than the MCP server, its authorization server and the identity provider.
func (w *World) Strangers() []string {
	var list []string
	for _, r := range w.Requests() {
		if r.Origin != MCP && r.Origin != AS && r.Origin != AS2 && (r.Origin != IDP || w.provider == nil) {
			list = append(list, r.Method+" "+r.Origin+r.URL)
		}
	}
	return list
}

// Holds reports whether a text contains a secret unchanged, percent-encoded, escaped for JSON or with a backslash before each character, in
// hexadecimal, or in base64 at any position. Case is ignored.
func Holds(text, secret string) bool {
	if len(secret) < 8 {
		return false // a short secret could be ordinary text
	}
	escaped, _ := json.Marshal(secret)
	quoted := strconv.Quote(secret)
	twice := strconv.Quote(quoted)
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), string(escaped[1 : len(escaped)-1]), quoted[1 : len(quoted)-1],
		twice[3 : len(twice)-3], strings.ReplaceAll(string(escaped[1:len(escaped)-1]), "/", `\/`), hex.EncodeToString([]byte(secret)), quotedPairs(secret)} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if strings.Contains(text, core(enc, secret, shift)) {
				return true
			}
		}
	}
	return false
}

// core encodes a secret in base64 as it would appear after shift other bytes. Characters that also depend on other bytes are left out.
func core(enc *base64.Encoding, secret string, shift int) string {
	s := enc.EncodeToString([]byte("\x00\x00"[:shift] + secret))
	s = s[[]int{0, 2, 3}[shift]:]
	if (shift+len(secret))%3 != 0 {
		s = s[:len(s)-1]
	}
	return s
}

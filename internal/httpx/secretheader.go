package httpx

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// HeaderSecrets returns the secrets in a header that the user or mcpauth sends: the value, the credentials after a scheme such as Bearer,
// the password of Basic, and the value of each cookie. The result is nil for the headers in requestHeaders, and for Mcp-Param headers, which
// contain arguments of a call.
func HeaderSecrets(name, value string) []string {
	name = http.CanonicalHeaderKey(name)
	if slices.Contains(requestHeaders, name) || strings.HasPrefix(name, "Mcp-Param-") {
		return nil
	}
	all := authorizationSecrets(value)
	if name != "Authorization" {
		all = append(all, value)
	}
	if name == "Cookie" {
		for pair := range strings.SplitSeq(value, ";") {
			if _, v, ok := strings.Cut(pair, "="); ok {
				all = append(all, strings.Trim(v, ` "`))
			}
		}
	}
	return all
}

// requestSecrets returns the secrets in the headers of a request.
func requestSecrets(h http.Header) []string {
	var all []string
	for name, values := range h {
		for _, value := range values {
			all = append(all, HeaderSecrets(name, value)...)
		}
	}
	return all
}

// namesSecret reports whether a word in the name of a header or parameter says that the value is a secret. The words may be joined, as in
// X-Apikey, because net/http changes the case of names. The last word may say that the value is public, as in X-Auth-User.
func namesSecret(name string) bool {
	return !endsPublic(name) && slices.ContainsFunc(nameWords(name), func(word string) bool {
		return slices.ContainsFunc([]string{"token", "key", "secret", "auth", "authorization", "password", "passwd", "pwd", "pass", "passphrase", "session", "credential", "cookie", "jwt", "bearer",
			"signature"}, func(end string) bool { return strings.HasSuffix(word, end) || strings.HasSuffix(word, end+"s") })
	})
}

// namesIdentifier reports whether a word in the name of a header says that its value is an identifier, such as that of a tenant. Some words count
// only at the end of the name: X-Database is the name of a database, but X-Database-Url may contain a password.
func namesIdentifier(name string) bool {
	words := nameWords(name)
	return endsPublic(name) || slices.ContainsFunc(words, func(word string) bool {
		return word == "id" || slices.Contains([]string{"tenant", "org", "organization", "account", "user", "workspace", "project", "team", "region"}, strings.TrimSuffix(word, "id"))
	}) || len(words) > 0 && slices.Contains([]string{"name", "environment", "env", "stage", "cluster", "namespace", "zone", "site", "channel", "instance", "database", "schema",
		"catalog", "warehouse", "locale", "customer"}, strings.TrimSuffix(words[len(words)-1], "id"))
}

// endsPublic reports whether the last word in the name of a header says that its value is public, whatever the other words are.
func endsPublic(name string) bool {
	words := nameWords(name)
	return len(words) > 0 && slices.Contains([]string{"user", "email", "type", "provider", "tenant", "org", "region", "version"}, words[len(words)-1])
}

// nameWords returns the words of a name in lower case. A new word begins after '-' or '_', and at a capital after a small letter.
func nameWords(name string) []string {
	var b strings.Builder
	small := false
	for _, r := range name {
		if small && unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		small = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.FieldsFunc(b.String(), func(r rune) bool { return r == '-' || r == '_' })
}

// isName reports whether a text is an origin, a host name, an e-mail address or a media type, which are no secrets.
func isName(s string) bool {
	u, err := url.Parse(s)
	_, domain, isMail := strings.Cut(s, "@")
	kind, _, isMedia := strings.Cut(s, "/")
	return err == nil && strings.TrimSuffix(u.String(), "/") == u.Scheme+"://"+u.Host || isHost(s) || isMail && isHost(domain) ||
		isMedia && slices.Contains([]string{"application", "audio", "image", "text", "video"}, kind)
}

// isHost reports whether a text is a host name with a top-level domain.
func isHost(s string) bool {
	labels := strings.Split(s, ".")
	top := labels[len(labels)-1]
	return len(labels) > 1 && len(top) > 1 && isSmall(top) && !slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	})
}

// isSmall reports whether a text consists of the letters a to z.
func isSmall(s string) bool { return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" }

// isURL reports whether a text is a URL without credentials and a query.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.RawQuery == ""
}

// isUUID reports whether a text has the form of RFC 9562 §4.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	_, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return err == nil
}

// maxParameters limits the parameters of an Authorization header that count as secrets of their own. A server could issue a token with thousands.
const maxParameters = 20

// authorizationSecrets returns the secrets in an Authorization header. For client_secret_basic, they include the client secret without its
// form encoding (RFC 6749 §2.3.1).
func authorizationSecrets(authorization string) []string {
	_, rest, ok := strings.Cut(authorization, " ")
	if !ok {
		rest = authorization
	}
	all := []string{strings.TrimSpace(rest)}
	parameters := strings.SplitN(rest, ",", maxParameters+1)
	for _, parameter := range parameters[:min(len(parameters), maxParameters)] { // such as token="V"
		if name, v, ok := strings.Cut(strings.TrimSpace(parameter), "="); ok && namesSecret(name) {
			all = append(all, strings.Trim(v, `"`))
		}
	}
	id, secret := basicPair(authorization)
	if id == secret {
		return all
	}
	if plain, err := url.QueryUnescape(secret); err == nil {
		all = append(all, plain)
	}
	return append(all, secret)
}

// basicPair returns the user name and the password in an Authorization header of the scheme Basic (RFC 7617 §2), or two empty strings.
func basicPair(authorization string) (user, password string) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	pair, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "").Replace(rest))
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok || !strings.EqualFold(scheme, "Basic") {
		return "", ""
	}
	return user, password
}

package httpx

import (
	"encoding/hex"
	"net/url"
	"strings"
	"unicode"
)

// addressLike matches a host name or an address of the Internet, with or without a port and a path. wordLike matches a scope or a name.
var (
	addressLike = compiled(`^([a-z0-9-]*\.)*[a-z0-9-]*(\.[a-z]{1,24}|\.[0-9]{1,3}|:[0-9]{1,5})(:[0-9]{1,5})?(/\S*)?$`)
	wordLike    = compiled(`^[a-z][a-z:_/.-]{0,39}$`)
)

// isOrdinaryText reports whether a text consists of words or is a URL, an address or a word such as offline_access. Real tokens do not look
// like that. A hostile server could issue such a text as a token, so that Mask removes the text from messages, for example the issuer from a
// warning.
func isOrdinaryText(s string) bool {
	return strings.ContainsFunc(s, unicode.IsSpace) || strings.Contains(s, "://") || wordLike().MatchString(s) || addressLike().MatchString(lowerASCII(s))
}

// isOrigin reports whether a text is only the origin of a URL.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && strings.TrimSuffix(u.String(), "/") == u.Scheme+"://"+u.Host
}

// isUUID reports whether a text has the form of RFC 9562 §4.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	_, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return err == nil
}

// jwtLike matches a signed JWT.
var jwtLike = compiled(`^eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`)

package httpx

import (
	"encoding/hex"
	"net/url"
	"strings"
	"unicode"
)

// isOrdinaryText reports whether a text consists of words or is a URL, an address or a word such as offline_access. Real tokens do not look
// like that. A hostile server could issue such a text as a token, so that Mask removes the text from messages, for example the issuer from a
// warning. isOrdinaryText uses no regular expression, because every command would compile it.
func isOrdinaryText(s string) bool {
	return strings.ContainsFunc(s, unicode.IsSpace) || strings.Contains(s, "://") || isWord(s) || isAddress(lowerASCII(s))
}

// isWord reports whether a text looks like a scope or a name.
func isWord(s string) bool {
	return s != "" && len(s) <= 40 && 'a' <= s[0] && s[0] <= 'z' && strings.Trim(s, letters+":_/.-") == ""
}

// isAddress reports whether a text in lower case is a host name or an IP address, with or without a port and a path.
func isAddress(s string) bool {
	host, _, _ := strings.Cut(s, "/")
	host, port, hasPort := strings.Cut(host, ":")
	if host == "" || strings.Trim(host, letters+digits+".-") != "" || hasPort && (port == "" || len(port) > 5 || strings.Trim(port, digits) != "") {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	isLabel := len(last) < len(host) && last != "" && (len(last) <= 24 && strings.Trim(last, letters) == "" || len(last) <= 3 && strings.Trim(last, digits) == "")
	return isLabel || hasPort
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

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

package token

// These functions check an assertion before it is sent (RFC 7523 §3). A configuration file from another person may name any file as the
// assertion file. Therefore mcpauth sends only a JWT, and only to the server that the JWT is for.

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"mcpauth/internal/httpx"
)

// ErrAudience is returned if an assertion is for another server.
var ErrAudience = errors.New("the assertion is for another server")

// Claims decodes the payload of a JWT (RFC 7519 §7.2) without verifying it. The errors contain nothing of the text, which may be another
// file, such as a private key.
func Claims(text string) (map[string]json.RawMessage, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("not a JWT: expected three parts separated by dots, got %d", len(parts))
	}
	var all [3]map[string]json.RawMessage
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || part == "" {
			return nil, fmt.Errorf("not a JWT: part %d is not base64url", i+1)
		}
		if i < 2 && (httpx.UniqueFields(data) != nil || json.Unmarshal(data, &all[i]) != nil || all[i] == nil) {
			return nil, fmt.Errorf("not a JWT: part %d is not a JSON object", i+1)
		}
	}
	if all[0]["alg"] == nil {
		return nil, errors.New("not a JWT: its header has no alg")
	}
	return all[1], nil
}

// CheckAudience returns an error if an assertion is for another server, because its recipient could use it there. Every audience that is a
// URL or a host name must be the authorization server's, because any server accepts an assertion if one of the audiences is its own. Other
// audiences, such as api://NAME or a word, are left to the server to check (RFC 7523 §3, point 3).
func CheckAudience(assertion, issuer, endpoint string) error {
	c, err := Claims(assertion)
	if err != nil {
		return err
	}
	for _, a := range audiences(c["aud"]) {
		if !ours(a, issuer, endpoint) {
			return fmt.Errorf("%w: aud names %q, and the authorization server is %q (RFC 7523 §3)", ErrAudience, httpx.Text(a, 200), issuer)
		}
	}
	return nil
}

// audiences returns the values of aud, which is a string or a list of strings (RFC 7519 §4.1.3). Any other value is returned unchanged and
// matches no server.
func audiences(raw json.RawMessage) []string {
	var one string
	var list []string
	switch {
	case len(raw) == 0:
		return nil
	case json.Unmarshal(raw, &one) == nil:
		return []string{one}
	case json.Unmarshal(raw, &list) == nil:
		return list
	}
	return []string{"https://" + string(raw)}
}

// ours reports whether an audience can mean the authorization server.
func ours(audience, issuer, endpoint string) bool {
	address := strings.TrimSpace(audience)
	if strings.HasPrefix(address, "//") {
		address = "https:" + address
	} else if hostName.MatchString(address) {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return err == nil
	}
	for _, each := range []string{issuer, endpoint} {
		if o, err := url.Parse(each); err == nil && httpx.SameOrigin(u, o) {
			return true
		}
	}
	return false
}

// hostName matches text that looks like a host name, such as sts.amazonaws.com.
var hostName = regexp.MustCompile(`^[^\s./:@?#]+(\.[^\s./:@?#]+)*\.([^\s./:@?#]+)?(:[0-9]+)?([/?#]|$)`)

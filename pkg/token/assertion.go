package token

// What an assertion says, before it is sent anywhere (RFC 7523 §3). Flags name the file, or a configuration file that somebody else may have written:
// what is no JWT, or is meant for another server, stays here.

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

// ErrAudience says that an assertion is meant for another server.
var ErrAudience = errors.New("the assertion is for another server")

// CheckAssertion refuses text that is not a JWT (RFC 7519 §7.2), so that nothing of another file, such as a private key, is sent. The error
// shows nothing of it.
func CheckAssertion(text string) error {
	_, err := Claims(text)
	return err
}

// Claims reads the payload of a JWT without believing it. The errors show nothing of it.
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
			return nil, fmt.Errorf("not a JWT: part %d holds no JSON object", i+1)
		}
	}
	if all[0]["alg"] == nil {
		return nil, fmt.Errorf("not a JWT: its header names no alg")
	}
	return all[1], nil
}

// CheckAudience refuses an assertion that is meant for another server: it would be good there for whoever gets it. Every audience that is an address or a
// host name must be the authorization server's, because a server takes an assertion if it finds itself anywhere in the list. Other audiences, such
// as api://NAME or a word, tell nothing, and are left to the server to judge (RFC 7523 §3, point 3).
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

// audiences are the values of aud, a string or a list of them (RFC 7519 §4.1.3). Anything else is returned as it is, and is nobody's.
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

// ours reports whether an audience may be the authorization server.
func ours(audience, issuer, endpoint string) bool {
	address := audience
	if host := strings.TrimPrefix(audience, "//"); hostName.MatchString(host) {
		address = "https://" + host
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

// hostName matches what reads as the name of a host, such as sts.amazonaws.com.
var hostName = regexp.MustCompile(`^[^\s./:@?#]+(\.[^\s./:@?#]+)*\.([^\s./:@?#]+)?(:[0-9]+)?(/|$)`)

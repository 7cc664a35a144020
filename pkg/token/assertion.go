package token

// Claims and CheckAudience check an assertion before mcpauth sends it (RFC 7523 §3). A configuration file from another person may name any
// file as the assertion file. mcpauth therefore sends a file only if the file is a JWT and the JWT is for the receiving server.

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// ErrAudience is returned if an assertion is for another server.
var ErrAudience = errors.New("the assertion is for another server")

// Claims returns the claims in a JWT without verifying the signature (RFC 7519 §7.2). The error does not quote the text, which may be
// another file, such as a private key.
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

// CheckAudience returns ErrAudience if an assertion is for another server (RFC 7523 §3). A server that receives an assertion for another
// server could use the assertion there. Every URL and host name in aud must be that of the authorization server, because a server accepts
// an assertion if any audience matches. CheckAudience ignores an audience that names no server, such as api://NAME. A URI with a
// host and another scheme, such as spiffe://prod/vault, is refused, because it names a server, and no metadata says that this is the
// authorization server.
func CheckAudience(assertion, issuer, endpoint string) error {
	c, err := Claims(assertion)
	if err != nil {
		return err
	}
	return checkAudiences(parseAudiences(c["aud"]), issuer, endpoint)
}

// CheckIDJAG is CheckAudience for an ID-JAG, which must have an audience (Identity Assertion JWT Authorization Grant §3.1). Without an
// audience, any authorization server could use the ID-JAG.
func CheckIDJAG(assertion, issuer, endpoint string) error {
	c, err := Claims(assertion)
	if err != nil {
		return err
	}
	all := parseAudiences(c["aud"])
	if len(all) == 0 {
		return fmt.Errorf("%w: aud is missing, expected %q", ErrAudience, issuer)
	}
	return checkAudiences(all, issuer, endpoint)
}

func checkAudiences(all []string, issuer, endpoint string) error {
	for _, a := range all {
		if !mayMeanServer(a, issuer, endpoint) {
			return fmt.Errorf("%w: aud names %q, and the authorization server is %q (RFC 7523 §3)", ErrAudience, httpx.Text(a, 200), issuer)
		}
	}
	return nil
}

// parseAudiences returns the values of aud, which is a string or a list of strings (RFC 7519 §4.1.3), without empty values. For any other
// value, parseAudiences returns a URL that matches no server.
func parseAudiences(raw json.RawMessage) []string {
	var one string
	var list []string
	switch {
	case len(raw) == 0:
	case json.Unmarshal(raw, &one) == nil:
		list = []string{one}
	case json.Unmarshal(raw, &list) != nil:
		list = []string{"https://" + string(raw)}
	}
	for i, audience := range list {
		list[i] = strings.TrimSpace(audience)
	}
	return slices.DeleteFunc(list, func(audience string) bool { return audience == "" })
}

// mayMeanServer reports whether an audience may mean the authorization server. Another tenant has the same origin, so an audience must be the
// token endpoint, the issuer or a URL below the issuer. An audience without a path may mean every tenant of its origin. Such an audience counts
// only if it is the issuer: if the token endpoint of a tenant were enough, the tenant could use the assertion at the server of the whole origin.
// An audience that names no server may mean any server.
func mayMeanServer(audience, issuer, endpoint string) bool {
	if !namesServer(audience) {
		return true
	}
	address := audience
	if strings.HasPrefix(address, "//") || !strings.Contains(address, "://") {
		address = "https://" + strings.TrimLeft(address, "/")
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	own, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	to, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if httpx.SameOrigin(u, to) && path == strings.TrimSuffix(to.EscapedPath(), "/") && u.RawQuery == to.RawQuery {
		return true
	}
	below := strings.TrimSuffix(own.EscapedPath(), "/") + "/"
	return httpx.SameOrigin(u, own) && strings.HasPrefix(path+"/", below) && !strings.Contains(u.Path, "..") && (u.RawQuery == "" || u.RawQuery == own.RawQuery)
}

// namesServer reports whether an audience could be the URL, the host name or the IP address of a server. URNs, URIs of the scheme api, which
// Microsoft Entra uses, and words such as my-service or spn:my-service name no server.
func namesServer(audience string) bool {
	text := strings.ToLower(audience)
	if strings.HasPrefix(text, "urn:") || strings.HasPrefix(text, "api:") {
		return false
	}
	host, _, _ := strings.Cut(text, "/")
	_, noIP := netip.ParseAddr(host)
	name, port, _ := strings.Cut(host, ":")
	return strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`.@%\[`, r) }) || strings.Contains(text, "//") ||
		noIP == nil || slices.Contains([]string{"localhost", "http", "https"}, name) || port != "" && strings.Trim(port, "0123456789") == ""
}

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
	_, claims, err := parseJWT(text)
	return claims, err
}

// parseJWT returns the members of the header and the claims of a JWT, without verifying the signature.
func parseJWT(text string) (header, claims map[string]json.RawMessage, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("not a JWT: expected three parts separated by dots, got %d", len(parts))
	}
	var all [3]map[string]json.RawMessage
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || part == "" {
			return nil, nil, fmt.Errorf("not a JWT: part %d is not base64url", i+1)
		}
		if i < 2 && (httpx.UniqueFields(data) != nil || json.Unmarshal(data, &all[i]) != nil || all[i] == nil) {
			return nil, nil, fmt.Errorf("not a JWT: part %d is not a JSON object", i+1)
		}
	}
	if all[0]["alg"] == nil {
		return nil, nil, errors.New("not a JWT: its header has no alg")
	}
	return all[0], all[1], nil
}

// UnnamedIssuerError is ErrAudience for an assertion that names the token endpoint, if only metadata says that this token endpoint belongs to
// the authorization server. If the user names the issuer, the assertion is allowed.
type UnnamedIssuerError struct{ Audience, Issuer string }

func (e *UnnamedIssuerError) Error() string {
	return fmt.Sprintf("%v: aud names the token endpoint %q, which is not below the authorization server %q (RFC 7523 §3)", ErrAudience, e.Audience, e.Issuer)
}

func (e *UnnamedIssuerError) Unwrap() error { return ErrAudience }

// CheckAudience returns ErrAudience if an assertion is for another server (RFC 7523 §3). A server that receives an assertion for another
// server could use the assertion there. Every URL and host name in aud must be that of the authorization server, because a server accepts
// an assertion if any audience matches. CheckAudience ignores an audience that names no server, such as api://NAME. A URI with a
// host and another scheme, such as spiffe://prod/vault, is refused, because it names a server, and no metadata says that this is the
// authorization server.
//
// A hostile authorization server can name the token endpoint of an honest one as its own. The honest server would accept an assertion for
// this token endpoint, and the MCP server would receive the honest server's access token. A token endpoint that is not below the issuer is
// therefore an audience only if issuerNamed is true: the user named the issuer, or accepted it. The tenants of a host share its origin, so
// the path of the issuer counts. A server such as Microsoft Entra, whose token endpoint is beside its issuer, must be named once.
func CheckAudience(assertion, issuer, endpoint string, issuerNamed bool) error {
	c, err := Claims(assertion)
	if err != nil {
		return err
	}
	for _, a := range parseAudiences(c["aud"]) {
		switch {
		case !namesServer(a), isWithin(a, issuer):
		case !isSameURL(a, endpoint):
			return fmt.Errorf("%w: aud names %s, and the authorization server is %q (RFC 7523 §3)", ErrAudience, httpx.Quote(a, 200), issuer)
		case !issuerNamed && !isWithin(endpoint, issuer):
			return &UnnamedIssuerError{Audience: httpx.Text(a, 200), Issuer: issuer}
		}
	}
	return nil
}

// CheckIDJAG is CheckAudience for an ID-JAG, which must have an audience (Identity Assertion JWT Authorization Grant §3.1). Without an
// audience, any authorization server could use the ID-JAG.
func CheckIDJAG(assertion, issuer, endpoint string, issuerNamed bool) error {
	if c, err := Claims(assertion); err == nil && len(parseAudiences(c["aud"])) == 0 {
		return fmt.Errorf("%w: aud is missing, expected %q", ErrAudience, issuer)
	}
	return CheckAudience(assertion, issuer, endpoint, issuerNamed)
}

// NamesIssuer reports whether an audience of an assertion is the issuer or a URL below the issuer.
func NamesIssuer(assertion, issuer string) bool {
	c, _ := Claims(assertion)
	return slices.ContainsFunc(parseAudiences(c["aud"]), func(audience string) bool { return namesServer(audience) && isWithin(audience, issuer) })
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

// isWithin reports whether an audience or a token endpoint is the issuer or a URL below the issuer. Another tenant has the same origin, so the
// path counts. An audience without a path may mean every tenant of its origin. Such an audience counts only if it is the issuer: if the token
// endpoint of a tenant were enough, the tenant could use the assertion at the server of the whole origin.
func isWithin(audience, issuer string) bool {
	u, own := audienceURL(audience), audienceURL(issuer)
	if u == nil || own == nil {
		return false
	}
	return httpx.SameOrigin(u, own) && httpx.IsBelow(u, own) && (u.RawQuery == "" || u.RawQuery == own.RawQuery)
}

// isSameURL reports whether an audience is a URL. The host's letter case, the default port and a final slash do not count.
func isSameURL(audience, address string) bool {
	u, to := audienceURL(audience), audienceURL(address)
	return u != nil && to != nil && httpx.SameOrigin(u, to) && strings.TrimSuffix(u.EscapedPath(), "/") == strings.TrimSuffix(to.EscapedPath(), "/") && u.RawQuery == to.RawQuery
}

// audienceURL parses a URL, or a host name with or without a path as an https URL. The result is nil if the text is neither.
func audienceURL(address string) *url.URL {
	if strings.HasPrefix(address, "//") || !strings.Contains(address, "://") {
		address = "https://" + strings.TrimLeft(address, "/")
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return u
}

// namesServer reports whether an audience could be the URL, the host name or the IP address of a server, with or without a port, a path, a query
// or a fragment. URNs, URIs that begin with api://, which Microsoft Entra uses, ARNs and words such as my-service or spn:my-service name no
// server. A text such as wss:host/path is a URL without its slashes.
func namesServer(audience string) bool {
	text := strings.ToLower(audience)
	host := text
	if end := strings.IndexAny(text, "/?#"); end >= 0 {
		host = text[:end]
	}
	name, port, hasPort := strings.Cut(host, ":")
	switch {
	case strings.HasPrefix(text, "api://"):
		return false
	case strings.Contains(text, "//"), hasPort && strings.Trim(port, "0123456789") == "":
		return true
	case hasPort && name == "urn":
		return false
	case len(host) < len(text) && !strings.Contains(port, ":"):
		return true
	}
	_, noIP := netip.ParseAddr(host)
	return strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`.@%\[`, r) }) ||
		noIP == nil || slices.Contains([]string{"localhost", "http", "https"}, name)
}

// The URLs that mcpauth connects to and opens: https, or http to loopback (OAuth 2.1 §1.5, RFC 8252 §7.3).

package httpx

import (
	"net/netip"
	"net/url"
	"strings"
)

// maxAddress limits the length of a URL in bytes.
const maxAddress = 8 << 10

// AddressError is returned for a URL that is not allowed.
type AddressError struct {
	Address string // the refused URL, shortened and safe to print
	Reason  string // why it is not allowed
}

func (e *AddressError) Error() string {
	return "address " + Quote(e.Address, maxAddress) + " refused: " + e.Reason
}

// Check parses a URL that a server named. The error is an *AddressError if the URL is not allowed. https URLs are allowed, except those on
// loopback or a link-local network, because a remote server must not direct requests there (server-side request forgery). If local is true,
// the MCP server itself is on loopback, and http and https URLs on loopback are allowed too.
func Check(raw string, local bool) (*url.URL, error) {
	u, reason := parseAddress(raw)
	switch {
	case reason != "":
	case local && Local(u):
		return u, nil
	case u.Scheme == "http" && Local(u):
		reason = "plain http to this machine is allowed only for MCP servers on this machine"
	case u.Scheme == "http":
		reason = "plain http is allowed only to loopback; https is required (OAuth 2.1 §1.5)"
	case Local(u) || isSpecialIP(u.Hostname()):
		reason = "a remote server must not name an address of this machine or of its local link"
	default:
		return u, nil
	}
	return nil, refuse(raw, reason)
}

// CheckServer parses the URL of an MCP server that the user gave. The error is an *AddressError if the URL is not allowed.
func CheckServer(raw string) (*url.URL, error) {
	u, reason := parseAddress(raw)
	switch {
	case reason != "":
	case u.Scheme == "http" && !Local(u):
		reason = "plain http is allowed only on loopback (127.0.0.1, ::1, localhost); use https"
	default:
		return u, nil
	}
	return nil, refuse(raw, reason)
}

// parseAddress returns the URL, or the reason why it is invalid.
func parseAddress(raw string) (*url.URL, string) {
	if len(raw) > maxAddress {
		return nil, "longer than 8 kB"
	}
	if IsRedacted(raw) {
		return nil, "the server repeats a secret in it, and other people could see the secret"
	}
	if !IsOneWord(raw) {
		return nil, "it contains spaces, control characters or invisible characters"
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, "not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "the scheme is not https"
	case u.Opaque != "" || u.Hostname() == "":
		return nil, "it has no host"
	case u.User != nil:
		return nil, "it contains credentials"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, "it contains a fragment"
	case !isPlainHost(u.Hostname()):
		return nil, "the host is not a plain name or address (write international names as xn--…)"
	}
	return u, ""
}

// isPlainHost reports whether every resolver interprets the host in the same way. The host must be a valid IP address without a zone, or an
// ASCII name whose last label contains a letter and is not a hexadecimal number. Other hosts are ambiguous: some resolvers read 127.1 and
// 0x7f000001 as addresses, and others read them as names. net.ParseIP does not read an address with a zone, such as ::1%lo.
func isPlainHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	for _, r := range host {
		if !(r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return false
		}
	}
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(host), "."), ".")
	last := labels[len(labels)-1]
	return last != "" && !strings.HasPrefix(last, "0x") && strings.Trim(last, "0123456789") != ""
}

func refuse(raw, reason string) error {
	return &AddressError{Address: Text(WithoutUser(raw), 200), Reason: reason}
}

// WithoutUser removes the user name and the password from a URL. The URL may be invalid.
func WithoutUser(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	end := strings.IndexAny(rest, "/?#\\")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest[:end], '@')+1:]
}

// Local reports whether the URL is on this machine's loopback: 127.0.0.0/8, ::1, localhost or a name that ends in .localhost (RFC 6761
// §6.3).
func Local(u *url.URL) bool {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isSpecialIP reports whether the host is a loopback, link-local or multicast IP address or an address of 0.0.0.0/8, which cannot be a remote
// server. An IPv4 address inside an IPv6 address counts too, because some networks send the packets to the IPv4 address. IPv6 addresses outside
// global unicast (RFC 4291 §2.4) and unique local addresses (RFC 4193) count, because they include the other forms of IPv4 addresses. So do
// Teredo addresses (RFC 4380), which contain one in a form that cannot be checked.
func isSpecialIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(ip) }
	if ip = ip.Unmap(); ip.Is6() {
		switch b := ip.As16(); {
		case in("64:ff9b::/96"): // RFC 6052 §2.1
			ip = netip.AddrFrom4([4]byte(b[12:]))
		case in("2002::/16"): // RFC 3056 §2
			ip = netip.AddrFrom4([4]byte(b[2:6]))
		case in("2001::/32"), !in("2000::/3") && !in("fc00::/7"):
			return true
		}
	}
	return ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.Is4() && ip.As4()[0] == 0
}

// Canonical returns the canonical form of a server's URL: scheme and host in lower case, no default port, no fragment, and no path if it is
// only "/" (MCP authorization, Canonical Server URI). Path and query are unchanged.
func Canonical(u *url.URL) string {
	c := *u
	c.Scheme, c.Host, c.Fragment, c.RawFragment = strings.ToLower(u.Scheme), hostAndPort(u), "", ""
	if c.Path == "/" && c.RawQuery == "" {
		c.Path, c.RawPath = "", ""
	}
	return c.String()
}

// hostAndPort returns host and port in lower case, without a default port.
func hostAndPort(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); port == "443" && strings.EqualFold(u.Scheme, "https") || port == "80" && strings.EqualFold(u.Scheme, "http") || port == "" {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	return host
}

// SameOrigin reports whether both addresses have the same scheme, host and port (RFC 6454 §5).
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && hostAndPort(a) == hostAndPort(b)
}

// IsBelow reports whether the path of u is the path of parent or below it. Hosts and queries do not count. Tenants of a host differ in their
// paths, so a path with two dots is never below: a server may resolve the dots and reach another tenant.
func IsBelow(u, parent *url.URL) bool {
	return strings.HasPrefix(u.EscapedPath()+"/", strings.TrimSuffix(parent.EscapedPath(), "/")+"/") && !strings.Contains(u.Path, "..")
}

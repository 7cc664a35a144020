package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

// newTransport returns a transport that verifies servers against roots, and presents cert if a server requests a certificate. If roots is
// nil, the transport verifies servers against the system's authorities. If cert.ID is empty, the transport presents no certificate.
func newTransport(roots *x509.CertPool, cert Certificate) *http.Transport {
	t := &http.Transport{
		Proxy:                  ProxyFor,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    30 * time.Second, // longer than usual: if a thousand processes start at once, each waits a long time for the processor
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    64, // the highest concurrency of call --batch
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	if cert.ID != "" {
		cert.addTo(t)
	}
	return t
}

// ProxyFor returns the proxy of the environment for a request. Requests to this machine never use a proxy. http.ProxyFromEnvironment
// recognizes localhost and loopback addresses, but not names such as x.localhost and "localhost.". If the proxy is unusable, ProxyFor fails, also
// for a host that NO_PROXY names.
func ProxyFor(req *http.Request) (*url.URL, error) {
	if Local(req.URL) {
		return nil, nil
	}
	name := req.URL.Scheme + "_proxy"
	for _, name := range []string{strings.ToUpper(name), name} {
		value := os.Getenv(name)
		if reason := badProxy(value); reason != "" {
			return nil, &ProxyError{name, reason}
		}
		if value != "" {
			break
		}
	}
	return http.ProxyFromEnvironment(req)
}

// ProxyError means that a variable names a proxy in a way that mcpauth cannot use. http.ProxyFromEnvironment ignores such a value or reads
// another host name in it, and the request would go past the proxy.
type ProxyError struct{ Variable, Reason string }

func (e *ProxyError) Error() string {
	return "the variable " + e.Variable + " is not the address of a proxy: " + e.Reason
}

// badProxy says why the value of a variable is not the address of a proxy, without the value, which may contain a password. If it is one, or
// empty, the result is "".
func badProxy(value string) string {
	address := value
	if !strings.Contains(value, "://") { // host:port
		address = "http://" + value
	}
	u, err := url.Parse(address)
	switch {
	case value == "":
		return ""
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "it contains a blank"
	case strings.Contains(value, "@") && (err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@")):
		return "percent-encode the special characters of the user name and the password, such as %5C for a backslash"
	case err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":"):
		return "it is not HOST:PORT or a URL"
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return "its scheme is not http, https, socks5 or socks5h"
	}
	return ""
}

// connRefusedOfWindows is WSAECONNREFUSED, which syscall.ECONNREFUSED does not match.
const connRefusedOfWindows = syscall.Errno(10061)

// dial connects to a host. localhost and names that end in .localhost always mean this machine, even if a resolver answers otherwise (RFC
// 6761 §6.3). dial tries 127.0.0.1 before ::1, because a server that listens on only one of them usually uses 127.0.0.1, and another user
// may listen on the same port of ::1. For the same reason, dial tries ::1 only if nobody listens on 127.0.0.1: another user can fill a
// server's queue of connections. dial fails if it was called maxSends times for one request without a body.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if n, ok := ctx.Value(dialsKey{}).(*atomic.Int64); ok && n.Add(1) > maxSends {
		return nil, errRepeated
	}
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !Local(&url.URL{Host: address}) || net.ParseIP(host) != nil {
		return d.DialContext(ctx, network, address)
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, connRefusedOfWindows) {
		return conn, err
	}
	if conn, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

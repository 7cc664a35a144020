package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
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
// recognizes localhost and loopback addresses, but not names such as x.localhost and "localhost.".
func ProxyFor(req *http.Request) (*url.URL, error) {
	if Local(req.URL) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// BadProxy returns the name of a proxy variable whose value is not the address of a proxy, or "". http.ProxyFromEnvironment ignores such a
// value, and requests would go past the proxy.
func BadProxy(getenv func(string) string) string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		value := getenv(name)
		address := value
		if !strings.Contains(value, "://") { // host:port
			address = "http://" + value
		}
		u, err := url.Parse(address)
		if value != "" && (err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)) {
			return name
		}
	}
	return ""
}

// dial connects to a host. localhost and names that end in .localhost always mean this machine, even if a resolver answers otherwise (RFC
// 6761 §6.3). dial tries 127.0.0.1 before ::1, because a server that listens on only one of them usually uses 127.0.0.1, and another user
// may listen on the same port of ::1. dial fails if it was called maxSends times for one request without a body.
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
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	if conn, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Certificate is a TLS client certificate (RFC 8705).
type Certificate struct {
	ID   string                           // never empty; two requests share a connection only if their certificates have the same ID
	Load func() (*tls.Certificate, error) // called for each new connection, because the files may be renewed while the program runs
}

// Presenting returns a client with a TLS client certificate. If a server requests a certificate, the client presents cert, but only in a
// request to a URL for which accepts returns true. After a redirect, the client presents cert only if keepsTenant is true for each step. If c is
// nil, Presenting uses Default. If c is not nil, c must come from New.
func Presenting(c *http.Client, cert Certificate, accepts func(*url.URL) bool) *http.Client {
	p := *cmp.Or(c, Default())
	p.Transport = &certificateTransport{next: p.Transport, cert: cert, accepts: accepts}
	return &p
}

// certificateTransport marks the requests that may present a certificate. The innermost transport, rootsTransport, sends the marked
// requests on separate connections.
type certificateTransport struct {
	next    http.RoundTripper
	cert    Certificate
	accepts func(*url.URL) bool
}

type presentedKey struct{}

func (t *certificateTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	may := req.URL.Scheme == "https" && t.accepts(req.URL)
	for r := req; may && r.Response != nil; r = r.Response.Request { // net/http sets Response to the redirect that led to the request
		may = keepsTenant(r.Response.Request.URL, r.URL)
	}
	if may {
		req = req.WithContext(context.WithValue(req.Context(), presentedKey{}, t.cert))
	}
	return t.next.RoundTrip(req)
}

// keepsTenant reports whether a redirect cannot lead to another tenant of the host: it only adds a slash to the path, or leads to a URL below
// /.well-known/, which belongs to the host.
func keepsTenant(from, to *url.URL) bool {
	path := to.EscapedPath()
	return SameOrigin(from, to) && !strings.Contains(to.Path, "..") && (to.RawQuery == "" || to.RawQuery == from.RawQuery) &&
		(path == from.EscapedPath()+"/" || strings.HasPrefix(path, "/.well-known/"))
}

// certificateFor returns the certificate that a request may present. If there is none, the ID of the result is empty.
func certificateFor(req *http.Request) Certificate {
	cert, _ := req.Context().Value(presentedKey{}).(Certificate)
	return cert
}

// errSecureProxy is returned for an https:// proxy. A transport has one TLS configuration for proxy and server, so it would present the
// client certificate to the proxy too.
var errSecureProxy = errors.New("an https:// proxy could request the client certificate too; use an http:// proxy, or add the host to NO_PROXY")

// addTo makes the connections of a transport present the certificate.
func (c Certificate) addTo(t *http.Transport) {
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Load() }
	proxy := t.Proxy
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		address, err := proxy(req)
		if err == nil && address != nil && address.Scheme == "https" {
			return nil, errSecureProxy
		}
		return address, err
	}
}

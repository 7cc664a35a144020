package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
)

// Certificate is a TLS client certificate (RFC 8705).
type Certificate struct {
	ID   string                           // never empty; two requests share a connection only if their certificates have the same ID
	Load func() (*tls.Certificate, error) // called for each new connection, because the files may be renewed while the program runs
}

// Presenting returns a client with a TLS client certificate. If a server requests a certificate, the client presents cert, but only in a
// request to a URL for which accepts returns true, and never after a redirect. If c is nil, Presenting uses Default. If c is not nil, c must come from New.
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
	redirected := req.Response != nil // net/http sets Response to the redirect, whose target another tenant of the host may own
	if req.URL.Scheme == "https" && !redirected && t.accepts(req.URL) {
		req = req.WithContext(context.WithValue(req.Context(), presentedKey{}, t.cert))
	}
	return t.next.RoundTrip(req)
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

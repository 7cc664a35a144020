package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
)

// Certificate is a TLS client certificate (RFC 8705).
type Certificate struct {
	ID   string                           // requests share a connection only if their certificates have the same ID; not empty
	Load func() (*tls.Certificate, error) // called for each new connection, because the files may be renewed while the program runs
}

// Presenting returns a client that presents the certificate to the servers for which to is true, if they ask for one, and to no others. A nil
// client is Default. It takes effect in clients that New made.
func Presenting(c *http.Client, own Certificate, to func(*url.URL) bool) *http.Client {
	if c == nil {
		c = Default()
	}
	p := *c
	p.Transport = &presenting{next: c.Transport, own: &own, to: to}
	return &p
}

// presenting marks the requests that may present a certificate. The innermost transport, rooted, never
// sends them over a connection of other requests.
type presenting struct {
	next http.RoundTripper
	own  *Certificate
	to   func(*url.URL) bool
}

type presentedKey struct{}

func (t *presenting) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" && t.to(req.URL) {
		req = req.WithContext(context.WithValue(req.Context(), presentedKey{}, t.own))
	}
	return t.next.RoundTrip(req)
}

// presented returns the certificate that a request may present, nil if there is none.
func presented(req *http.Request) *Certificate {
	own, _ := req.Context().Value(presentedKey{}).(*Certificate)
	return own
}

func (c *Certificate) id() string {
	if c == nil {
		return ""
	}
	return c.ID
}

// errSecureProxy says that a proxy would be shown the certificate: a transport has one TLS configuration for the proxy and the server.
var errSecureProxy = errors.New("the proxy is an https:// one, which could ask for the client certificate too; name an http:// proxy, or put the host into NO_PROXY")

// use lets the connections of a transport present the certificate.
func (c *Certificate) use(t *http.Transport) {
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

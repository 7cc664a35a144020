package flow

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// ErrCertificate is returned if a client certificate or its key cannot be used.
var ErrCertificate = errors.New("the client certificate cannot be used")

// httpForOrigins returns an HTTP client for a login that presents the client certificate to these origins only.
func (c *Client) httpForOrigins(t Target, origins ...string) (*http.Client, error) {
	hc, err := c.withCertificate(t.Settings, hasOriginOf(origins))
	return c.clientFor(t, hc), err
}

// endpointHTTP returns the HTTP client of a login for the endpoints of an authorization server.
func (c *Client) endpointHTTP(t Target, issuer string) (*http.Client, error) {
	hc, err := c.withCertificate(t.Settings, func(u *url.URL) bool { return t.mayReceiveCertificate(u, issuer) })
	return c.clientFor(t, hc), err
}

// mayReceiveCertificate reports whether an endpoint of an issuer may receive the client certificate. The user must have named the issuer, or
// the endpoint must be below the issuer. Without this rule, a malicious server could name an endpoint of a third party, which would treat
// mcpauth's request as a request of the certificate's owner.
func (s Settings) mayReceiveCertificate(u *url.URL, issuer string) bool {
	return s.namesIssuer(issuer) || isOfIssuer(u, issuer)
}

// isOfIssuer reports whether the host of u is the host of the issuer or a subdomain of that host, and the path of u is at or below the path of
// the issuer. The path counts, because the tenants of a host share its origin.
func isOfIssuer(u *url.URL, issuer string) bool {
	v, err := url.Parse(issuer)
	if err != nil || v.Hostname() == "" {
		return false
	}
	host, parent := strings.ToLower(u.Hostname()), strings.ToLower(v.Hostname())
	return (host == parent || strings.HasSuffix(host, "."+parent)) && httpx.IsBelow(u, v)
}

func hasOriginOf(addresses []string) func(*url.URL) bool {
	return func(u *url.URL) bool {
		return slices.ContainsFunc(addresses, func(address string) bool {
			v, err := url.Parse(address)
			return err == nil && httpx.SameOrigin(u, v)
		})
	}
}

// ServerHTTP returns the HTTP client for requests to the target's MCP server. It presents the client certificate of the target, or else of
// the stored login, to this server only.
func (c *Client) ServerHTTP(t Target, stored Status) (*http.Client, error) {
	if t.CertFile == "" {
		t.CertFile, t.CertKeyFile = stored.Cert, stored.Key
	}
	return c.withCertificate(t.Settings, hasOriginOf([]string{t.URL}))
}

func (c *Client) withCertificate(s Settings, to func(*url.URL) bool) (*http.Client, error) {
	if s.CertFile == "" {
		return c.HTTP, nil
	}
	load := func() (*tls.Certificate, error) { return s.loadCertificate(c.now()) }
	if _, err := load(); err != nil {
		return nil, err
	}
	clientCert := httpx.Certificate{ID: s.CertFile + "\n" + s.CertKeyFile, Load: load}
	return httpx.Presenting(c.HTTP, clientCert, to), nil
}

// loadCertificate reads the client certificate and its key. If no server could accept the certificate, the error is ErrCertificate.
func (s Settings) loadCertificate(now time.Time) (*tls.Certificate, error) {
	certFile, keyFile := s.CertFile, cmp.Or(s.CertKeyFile, s.CertFile)
	certs, err := readFile("client certificate", certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile("key of the client certificate", keyFile)
	if err != nil {
		return nil, err
	}
	if _, err := token.LoadKey(key); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCertificate, keyFile, err)
	}
	pair, err := tls.X509KeyPair(certs, key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %v", ErrCertificate, certFile, err)
	case now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("%w: %s expired at %s", ErrCertificate, certFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Add(clockSkew).Before(pair.Leaf.NotBefore):
		return nil, fmt.Errorf("%w: %s is not valid before %s", ErrCertificate, certFile, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// leafCertificate returns the client certificate for a registration, or nil if there is none.
func (s Settings) leafCertificate() *x509.Certificate {
	if s.CertFile == "" {
		return nil
	}
	pair, err := s.loadCertificate(time.Now())
	if err != nil {
		return nil // the same error is returned when the HTTP client is created
	}
	return pair.Leaf
}

// warnOpenKey warns if other users can read the key file. This is not an error, because platforms mount keys with modes that the user
// cannot change.
func (c *Client) warnOpenKey(s Settings) {
	file := cmp.Or(s.CertKeyFile, s.CertFile)
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		c.warn(fmt.Sprintf("the mode %04o of %s lets other users read the key, expected 0600", info.Mode().Perm(), file))
	}
}

// warnNotShown warns if the token endpoint will not receive the client certificate of the target.
func (c *Client) warnNotShown(t Target, s discovery.ServerMetadata) {
	u, err := url.Parse(s.TokenEndpoint)
	if t.CertFile != "" && err == nil && !t.mayReceiveCertificate(u, s.Issuer) {
		c.warn(fmt.Sprintf("%s is not shown the client certificate, because it is not below the issuer %s; name this issuer only if you know that this endpoint belongs to it",
			httpx.Text(s.TokenEndpoint, 200), s.Issuer))
	}
}

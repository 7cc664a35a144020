package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"mcpauth/internal/httpx"
)

// Connection describes the network connection to the server. If a step failed, the fields of later steps are empty.
type Connection struct {
	Proxy     string   `json:"proxy"`     // host and port of the HTTP proxy; empty: none
	Name      string   `json:"name"`      // resolved host name: that of the proxy, or else that of the server; empty: the host is an IP address
	Addresses []string `json:"addresses"` // IP addresses of Name
	Remote    string   `json:"remote"`    // address and port of the connection; empty: no connection
	TLS       *TLS     `json:"tls"`       // nil: no TLS, or the handshake failed before the server sent a certificate
}

// TLS describes a TLS handshake. Every field is safe to print.
type TLS struct {
	Version  string    `json:"version"` // empty: the handshake failed
	Subject  string    `json:"subject"`
	Names    []string  `json:"names"` // DNS names and IP addresses of the certificate, at most 10
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	Root     string    `json:"root"` // the certificate authority that verified the certificate; empty: none
}

// connectionRecorder collects a Connection. It needs the mutex because the callbacks of an httptrace.ClientTrace run in several goroutines.
type connectionRecorder struct {
	mu sync.Mutex
	c  Connection
}

// traceConnection returns a context for req. A request with this context records its connection in o.
func (o *connectionRecorder) traceConnection(ctx context.Context, req *http.Request) context.Context {
	if proxy, err := httpx.ProxyFor(req); err == nil && proxy != nil {
		o.c.Proxy = httpx.Text(proxy.Host, 100)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) {
			o.set(func(c *Connection) {
				if net.ParseIP(i.Host) == nil {
					c.Name = httpx.Text(i.Host, 100)
				}
			})
		},
		DNSDone: func(i httptrace.DNSDoneInfo) {
			o.set(func(c *Connection) {
				if c.Addresses = nil; c.Name != "" {
					for _, a := range i.Addrs {
						c.Addresses = append(c.Addresses, a.String())
					}
				}
			})
		},
		GotConn: func(i httptrace.GotConnInfo) {
			o.set(func(c *Connection) { c.Remote = i.Conn.RemoteAddr().String() })
		},
		ConnectDone: func(_, addr string, err error) {
			if err == nil {
				o.set(func(c *Connection) { c.Remote = addr })
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			o.set(func(c *Connection) { c.TLS = newTLS(state, err) })
		},
	})
}

func (o *connectionRecorder) set(change func(*Connection)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.c)
}

func (o *connectionRecorder) connection() *Connection {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.c
	return &c
}

// newTLS describes the server's certificate, even if the handshake failed because of this certificate.
func newTLS(state tls.ConnectionState, err error) *TLS {
	certs := state.PeerCertificates
	if unverified := (*tls.CertificateVerificationError)(nil); errors.As(err, &unverified) {
		certs = unverified.UnverifiedCertificates
	}
	if len(certs) == 0 {
		return nil
	}
	leaf := certs[0]
	t := &TLS{Subject: name(leaf.Subject.String()), Issuer: name(leaf.Issuer.String()), NotAfter: leaf.NotAfter.UTC(), Names: names(leaf)}
	if err == nil {
		t.Version = tls.VersionName(state.Version)
	}
	if len(state.VerifiedChains) > 0 {
		chain := state.VerifiedChains[0]
		t.Root = name(chain[len(chain)-1].Subject.String())
	}
	return t
}

func names(c *x509.Certificate) []string {
	all := make([]string, 0, len(c.DNSNames)+len(c.IPAddresses))
	for _, n := range c.DNSNames {
		all = append(all, name(n))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all[:min(len(all), 10)]
}

func name(s string) string { return httpx.Text(s, 100) }

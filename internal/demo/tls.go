package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"time"
)

// secure adds TLS to a listener. ask says whether client certificates are requested or required. Without Options.Certificate, only
// HTTP/1.1 is offered, because the faults drop connections.
func (s *Server) secure(ln net.Listener, ask tls.ClientAuthType) (net.Listener, error) {
	if s.o.Certificate != nil {
		return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*s.o.Certificate}, NextProtos: []string{"h2", "http/1.1"}}), nil
	}
	if s.ca == nil {
		if err := s.authority(); err != nil {
			return nil, err
		}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{s.ca.Raw}, PrivateKey: s.key}}, NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS12, ClientAuth: ask, ClientCAs: x509.NewCertPool()}
	conf.ClientCAs.AddCert(s.ca)
	return tls.NewListener(ln, conf), nil
}

// authority creates the certificate of this server, which also signs the certificates of its clients.
func (s *Server) authority() error {
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mcpauth demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		return err
	}
	s.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.ca, err = x509.ParseCertificate(der)
	return err
}

// ClientCertificate returns a client certificate and its private key as PEM. The certificate is valid for lifetime from now on; if lifetime
// is negative, it has expired.
func (s *Server) ClientCertificate(name string, lifetime time.Duration) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(lifetime), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, s.ca, key.Public(), s.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), err
}

// thumbprint returns the x5t#S256 of the client's TLS certificate (RFC 8705 §3.1), or "".
func thumbprint(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// subject returns the subject of the client's TLS certificate, or "".
func subject(r *http.Request) string {
	if thumbprint(r) == "" {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.String()
}

// CertificatePEM returns the certificate that clients must trust if Options.TLS is set.
func (s *Server) CertificatePEM() []byte { return s.certPEM }

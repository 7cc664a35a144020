package demo

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// secure puts TLS on a listener. HTTP/1.1 only: the faults drop connections, not streams.
func (s *Server) secure(ln net.Listener) (net.Listener, error) {
	if s.o.Certificate != nil {
		return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*s.o.Certificate}, NextProtos: []string{"h2", "http/1.1"}}), nil
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mcpauth demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		return nil, err
	}
	s.certPEM = append(s.certPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: s.key}},
		NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}), nil
}

// CertificatePEM returns the certificate(s) to trust, when Options.TLS is set.
func (s *Server) CertificatePEM() []byte { return s.certPEM }

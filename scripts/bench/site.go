package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mcpauth/internal/demo"
)

const (
	modern = "2026-07-28"
	legacy = "2025-11-25"
)

// site is a demo server behind a simulated network, and a login there.
type site struct {
	*demo.Server
	*wire
	era, scheme string
	token       string
}

// name returns the name of the login.
func (s *site) name() string { return s.scheme + "-" + s.era }

// String returns the name of the server in tables.
func (s *site) String() string { return s.era + ", " + s.scheme }

// newSite starts a server and logs in.
func (b *bench) newSite(era, scheme string) (*site, error) {
	s := &site{era: era, scheme: scheme, wire: &wire{}}
	o := demo.Options{Era: era, Listen: s.wire.listen}
	if scheme == "https" {
		o.Certificate = b.certificate
	}
	var err error
	if s.Server, err = demo.Start(o); err != nil {
		return nil, err
	}
	b.sites = append(b.sites, s)
	if _, err := b.measure(b.command("login", s.URL(), "--name", s.name())); err != nil {
		return nil, err
	}
	token, err := b.command("token", s.name()).Output()
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// authority creates a private certificate authority and a certificate for this machine. authority also copies the system's file of trusted
// certificates, and adds the private authority at the end of the copy.
func (b *bench) authority() error {
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}))
	b.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	b.certificate = &tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}
	system, err := os.ReadFile(systemBundle())
	if err != nil {
		return fmt.Errorf("the system's bundle of certificates: %w", err)
	}
	b.bundle = filepath.Join(b.dir, "bundle.pem")
	return os.WriteFile(b.bundle, append(system, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})...), 0o600)
}

func systemBundle() string {
	for _, name := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return "/etc/ssl/cert.pem"
}

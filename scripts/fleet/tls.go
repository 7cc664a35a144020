package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"time"
)

// certificate returns a self-signed certificate for an address and its key, both in PEM.
func certificate(address string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: address}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), err
}

// encrypted configures a certificate for the database. mcpauth must work if it trusts the certificate. mcpauth must fail at once if it
// trusts another certificate, or if the certificate is for another address.
func (l *lab) encrypted() (string, error) {
	m := l.machines[0]
	with := func(settings string) *machine {
		other := *m
		other.env = append(m.env[:len(m.env):len(m.env)], "MCPAUTH_KEYSTORE_URL="+l.db.url()+settings)
		return &other
	}
	roots := map[string]string{}
	for name, address := range map[string]string{"ours": dbHost, "named": mcpHost, "foreign": dbHost} {
		cert, key, err := certificate(address)
		if err != nil {
			return "", err
		}
		roots[name] = l.work + "/" + name + ".crt"
		for file, data := range map[string][]byte{name + ".crt": cert, name + ".key": key} {
			if err := os.WriteFile(l.work+"/"+file, data, 0o600); err != nil {
				return "", err
			}
		}
	}
	trust := func(name string) *machine { return with("&sslmode=verify-full&sslrootcert=" + roots[name]) }
	refused := func(m *machine, words string) error {
		p, err := m.does(6, "status", "SERVER")
		if err == nil && (!strings.Contains(p.stderr.String(), words) || p.took > 5*time.Second) {
			err = fmt.Errorf("after %s, without %q:\n%s", p.took, words, &p.stderr)
		}
		return err
	}
	if err := refused(trust("ours"), "server refused TLS connection"); err != nil {
		return "", err
	}
	if err := l.db.encrypt(l.work + "/ours"); err != nil {
		return "", err
	}
	if _, err := trust("ours").does(0, "refresh", "SERVER"); err != nil {
		return "", err
	}
	if err := refused(trust("foreign"), "PGSSLROOTCERT"); err != nil {
		return "", err
	}
	if err := l.db.encrypt(l.work + "/named"); err != nil {
		return "", err
	}
	if err := refused(trust("named"), "x509"); err != nil {
		return "", err
	}
	return "a trusted certificate works; no TLS, another authority and another name are exit 6 at once", l.db.sql("ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()")
}

// encrypt configures the primary database to accept TLS with the certificate NAME.crt and the key NAME.key.
func (c *cluster) encrypt(name string) error {
	dir := c.primary.dir
	err := all("install -o postgres -m 600 "+name+".crt "+dir+"/server.crt", "install -o postgres -m 600 "+name+".key "+dir+"/server.key")
	if err != nil {
		return err
	}
	if err := c.sql("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond) // the reload is asynchronous
	return nil
}

package httpx

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"slices"
	"strings"
)

// rootMemory is the path of a file that records, for each host, which of the system's certificates verified it. The file contains no
// certificates but only positions in the system's files. Somebody who changes the file can only choose among certificates that the system
// trusts now. If the path is empty, nothing is recorded. A damaged or unwritable file is not an error; verification then takes longer.
type rootMemory string

// rootPlace is the position of a certificate in a file of the system.
type rootPlace struct {
	Host   string `json:"host"`
	SHA256 string `json:"sha256"` // SHA-256 of the certificate
	File   string `json:"file"`   // path of the file that contains the certificate
	Start  int64  `json:"start"`  // offset of the certificate's PEM block
}

const (
	maxRootMemory = 64 << 10 // bytes; a larger file is ignored
	maxRootHosts  = 100      // positions in the file; the newest comes first
	maxRootBlock  = 64 << 10 // bytes of a PEM block that are read
)

// recallRoot returns the certificate that verified a host before, or nil if the certificate has moved or its file is no longer used.
func (m rootMemory) recallRoot(host string) *x509.Certificate {
	places := m.places()
	i := slices.IndexFunc(places, func(p rootPlace) bool { return p.Host == host })
	if i < 0 {
		return nil
	}
	return places[i].readCertificate()
}

// rememberRoot records which certificate verified a host, if one of the system's files contains that certificate.
func (m rootMemory) rememberRoot(host string, root *x509.Certificate) {
	if m == "" {
		return
	}
	place, ok := findRoot(root)
	if !ok {
		return
	}
	place.Host = host
	others := slices.DeleteFunc(m.places(), func(p rootPlace) bool { return p.Host == host })
	if data, err := json.Marshal(append([]rootPlace{place}, others[:min(len(others), maxRootHosts-1)]...)); err == nil {
		_ = WriteFile(string(m), data)
	}
}

func (m rootMemory) places() (all []rootPlace) {
	data, err := ReadFile(string(m), maxRootMemory)
	if err != nil || json.Unmarshal(data, &all) != nil {
		return nil
	}
	return all
}

// readCertificate reads the certificate to which p refers. The result is nil if the system no longer uses the file, or if the file no
// longer contains that certificate at the recorded position.
func (p rootPlace) readCertificate() *x509.Certificate {
	if !isSystemFile(p.File) {
		return nil
	}
	f, err := os.Open(p.File)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, p.Start, maxRootBlock))
	if err != nil {
		return nil
	}
	der, _ := nextCertificate(text)
	if der == nil || p.SHA256 != fingerprint(der) {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// nextCertificate returns the first certificate in a PEM text and the text after it, by the rules of x509.CertPool.AppendCertsFromPEM.
func nextCertificate(text []byte) (der, rest []byte) {
	for len(text) > 0 {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" && len(b.Headers) == 0 {
			return b.Bytes, text
		}
	}
	return nil, nil
}

// findRoot searches the system's files for a certificate.
func findRoot(root *x509.Certificate) (rootPlace, bool) {
	files := []string{rootBundle()}
	for _, dir := range rootDirs() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			files = append(files, dir+"/"+e.Name())
		}
	}
	for _, name := range files {
		if p, ok := findRootIn(name, root); ok {
			return p, true
		}
	}
	return rootPlace{}, false
}

func findRootIn(name string, root *x509.Certificate) (rootPlace, bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		return rootPlace{}, false
	}
	for rest := data; len(rest) > 0; {
		var der []byte
		if der, rest = nextCertificate(rest); bytes.Equal(der, root.Raw) {
			start := bytes.LastIndex(data[:len(data)-len(rest)], []byte("-----BEGIN"))
			return rootPlace{File: name, SHA256: fingerprint(der), Start: int64(start)}, true
		}
	}
	return rootPlace{}, false
}

// The functions below find the files that crypto/x509 reads, in the same order: the first bundle that can be read, then all folders.

func rootBundles() []string {
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		return []string{file}
	}
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	}
}

func rootDirs() []string {
	if dirs := os.Getenv("SSL_CERT_DIR"); dirs != "" {
		return strings.Split(dirs, ":")
	}
	return []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
}

// rootBundle returns the first bundle that can be read, or "".
func rootBundle() string {
	for _, name := range rootBundles() {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		_, err = f.Read(make([]byte, 1))
		f.Close()
		if err == nil || err == io.EOF {
			return name
		}
	}
	return ""
}

// isSystemFile reports whether crypto/x509 would read certificates from this file now.
func isSystemFile(name string) bool {
	if name == rootBundle() {
		return true
	}
	for _, dir := range rootDirs() {
		if entry, ok := strings.CutPrefix(name, dir+"/"); ok && !strings.Contains(entry, "/") {
			return true
		}
	}
	return false
}

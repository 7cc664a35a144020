package httpx

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary run as a process that sends one request, because crypto/x509 reads the system's files only once per
// process.
func TestMain(m *testing.M) {
	if address := os.Getenv("HTTPX_GET"); address != "" {
		fmt.Print(getOnce(address))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// getOnce sends one request and prints which certificates verified the server: "likely" or "all".
func getOnce(address string) string {
	c, err := New(Options{RootMemory: os.Getenv("HTTPX_MEMORY"), CAFile: os.Getenv("HTTPX_CACERT")})
	if err != nil {
		return err.Error()
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader("body"))
	if err != nil {
		return err.Error()
	}
	if os.Getenv("HTTPX_STREAM") != "" {
		req.GetBody, req.Body = nil, &onceBody{Reader: req.Body}
	}
	res, err := Do(c, req)
	if err != nil {
		return err.Error()
	}
	if string(res.Body) != "body" {
		return "the server received " + string(res.Body)
	}
	used := "all"
	for _, h := range c.Transport.(*userAgent).next.(*rootsTransport).hosts {
		if h.likelyTransport.Load() != nil {
			used = "likely"
		}
	}
	return used
}

// onceBody is a body that can be sent only once.
type onceBody struct {
	io.Reader
	closed bool
}

func (b *onceBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("closed")
	}
	return b.Reader.Read(p)
}

func (b *onceBody) Close() error {
	b.closed = true
	return nil
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a := &authority{}
	a.cert, a.key = issue(t, template, template, nil)
	return a
}

// issue makes a certificate signed by key. If key is nil, the certificate is self-signed.
func issue(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if key == nil {
		key = own
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, own
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// server returns a certificate for 127.0.0.1.
func (a *authority) server(t *testing.T) *tls.Certificate {
	leaf, key := issue(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature}, a.cert, a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// rootsWorld is a test server, a system with one bundle and one folder of certificates, and a root memory.
type rootsWorld struct {
	t                   *testing.T
	home, other, evil   *authority
	served              atomic.Pointer[tls.Certificate]
	url                 string
	bundle, dir, memory string
	env                 []string
}

func newRootsWorld(t *testing.T) *rootsWorld {
	t.Helper()
	w := &rootsWorld{t: t, home: newAuthority(t, "home"), other: newAuthority(t, "other"), evil: newAuthority(t, "evil")}
	work := t.TempDir()
	w.bundle, w.dir, w.memory = filepath.Join(work, "bundle.pem"), filepath.Join(work, "certs"), filepath.Join(work, "state", "roots")
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(w.bundle, w.other.pem(), []byte("# a comment\n"), w.home.pem())
	w.served.Store(w.home.server(t))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, r.Body) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*w.served.Load()}}, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

func (w *rootsWorld) write(file string, parts ...[]byte) {
	w.t.Helper()
	if err := os.WriteFile(file, bytes.Join(parts, nil), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// get runs a process that sends one request, and checks that its output contains these words.
func (w *rootsWorld) get(want string) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "HTTPX_GET="+w.url, "HTTPX_MEMORY="+w.memory, "SSL_CERT_FILE="+w.bundle, "SSL_CERT_DIR="+w.dir), w.env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		w.t.Fatalf("got %q %v, want %q", out, err, want)
	}
}

// recalled changes the first recorded position in the memory file.
func (w *rootsWorld) recalled(change func(*rootPlace)) {
	w.t.Helper()
	places := rootMemory(w.memory).places()
	change(&places[0])
	data, _ := json.Marshal(places)
	w.write(w.memory, data)
}

const refused = "unknown authority"

func TestRootIsRemembered(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	w.get("likely")
}

func TestBodyThatCannotBeSentAgain(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	w.served.Store(w.other.server(t))
	w.env = []string{"HTTPX_STREAM=1"}
	w.get("likely") // this request was verified against all authorities, but later requests to the host would first be verified against the likely certificates
}

func TestRootRemovedFromTheBundle(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	info, err := os.Stat(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	w.write(w.bundle, w.other.pem())
	w.get(refused)
	// The position contains another certificate, but size and time of the file are unchanged.
	w.write(w.bundle, w.other.pem(), []byte("# a comment\n"), w.home.pem())
	data, err := os.ReadFile(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.LastIndex(data, []byte("-----BEGIN CERTIFICATE-----\n")) + len("-----BEGIN CERTIFICATE-----\n")
	copy(data[begin+40:], "AAAA")
	w.write(w.bundle, data)
	if err := os.Chtimes(w.bundle, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	w.get(refused)
}

func TestBundleReplaced(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	update := w.bundle + ".new"
	w.write(update, w.other.pem(), []byte("# a comment\n"), w.home.pem(), w.evil.pem()) // the position is unchanged
	if err := os.Rename(update, w.bundle); err != nil {
		t.Fatal(err)
	}
	w.get("likely")
	// The system uses another bundle instead of the recorded one.
	elsewhere := w.bundle + ".elsewhere"
	w.write(elsewhere, w.other.pem())
	w.env = []string{"SSL_CERT_FILE=" + elsewhere}
	w.get(refused)
}

func TestMemoryTamperedWith(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	foreign := filepath.Join(t.TempDir(), "evil.pem")
	w.write(foreign, w.evil.pem())
	honest := w.served.Load()
	for name, change := range map[string]func(p *rootPlace){
		"another file": func(p *rootPlace) {
			*p, _ = findRootIn(foreign, w.evil.cert)
			p.Host = strings.TrimPrefix(w.url, "https://")
		},
		"climbs out of the folder": func(p *rootPlace) {
			*p, _ = findRootIn(w.dir+"/../../"+filepath.Base(filepath.Dir(foreign))+"/evil.pem", w.evil.cert)
			p.Host = strings.TrimPrefix(w.url, "https://")
		},
		"another certificate's place": func(p *rootPlace) {
			host := p.Host
			*p, _ = findRootIn(w.bundle, w.other.cert)
			p.Host = host
		},
		"no place":      func(p *rootPlace) { p.Start = -5 },
		"no such place": func(p *rootPlace) { p.Start = 1 << 40 },
		"no digest":     func(p *rootPlace) { p.SHA256 = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.recalled(change)
			w.served.Store(w.evil.server(t))
			w.get(refused)
			w.served.Store(honest)
			w.get("all")
			w.get("likely")
		})
	}
	w.t = t
	w.write(w.memory, []byte(strings.Repeat("{", 100)))
	w.get("all")
	w.write(w.memory, bytes.Repeat([]byte("x"), maxRootMemory+1))
	w.get("all")
	w.get("likely")
}

func TestServerMovesToAnotherAuthority(t *testing.T) {
	w := newRootsWorld(t)
	w.get("all")
	w.served.Store(w.other.server(t))
	w.get("all")
	w.get("likely")
	w.served.Store(w.evil.server(t))
	w.get(refused)
}

func TestRootInAFolder(t *testing.T) {
	w := newRootsWorld(t)
	file := filepath.Join(w.dir, "home.pem")
	w.write(w.bundle, w.other.pem())
	w.write(file, w.home.pem())
	w.get("all")
	w.get("likely")
	if err := os.Rename(file, filepath.Join(filepath.Dir(w.dir), "home.pem")); err != nil {
		t.Fatal(err)
	}
	w.get(refused)
	w.env = []string{"SSL_CERT_DIR=" + w.dir + ":" + filepath.Dir(w.dir)} // a list
	w.get("all")
	w.get("likely")
}

func TestOwnAuthorityIsTriedFirst(t *testing.T) {
	w := newRootsWorld(t)
	file := filepath.Join(t.TempDir(), "own.pem")
	w.write(file, w.evil.pem())
	w.env = []string{"HTTPX_CACERT=" + file}
	w.get("all") // the authorities of --cacert are added to the system's authorities, so the server is still accepted
	w.get("likely")
	w.served.Store(w.evil.server(t))
	w.get("likely")
	w.env = nil
	w.get(refused)
}

// The memory records several hosts, and its size is limited.
func TestMemoryIsBounded(t *testing.T) {
	w := newRootsWorld(t)
	t.Setenv("SSL_CERT_FILE", w.bundle)
	m := rootMemory(w.memory)
	for i := range maxRootHosts + 10 {
		m.rememberRoot(fmt.Sprint("host", i), w.home.cert)
	}
	m.rememberRoot("host100", w.other.cert)
	if n := len(m.places()); n != maxRootHosts {
		t.Errorf("%d places, want %d", n, maxRootHosts)
	}
	if got := m.recallRoot("host100"); got == nil || !got.Equal(w.other.cert) {
		t.Errorf("host100: %v", got)
	}
	if got := m.recallRoot("host50"); got == nil || !got.Equal(w.home.cert) {
		t.Errorf("host50: %v", got)
	}
	if m.recallRoot("host5") != nil || m.recallRoot("host10") == nil || m.recallRoot("host1") != nil {
		t.Error("the oldest were to be dropped")
	}
	m.rememberRoot("host0", w.evil.cert) // none of the system's files contains this certificate
	if m.recallRoot("host0") != nil {
		t.Error("a certificate that is not the system's was remembered")
	}
}

// rootBundles and rootDirs return the paths that crypto/x509 uses.
func TestRootsAreLookedForWhereGoLooks(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(goroot)), "src/crypto/x509/root_linux.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"certFiles": rootBundles(), "certDirectories": rootDirs()} {
		var got []string
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == name {
				for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
					s, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
					got = append(got, s)
				}
			}
			return true
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s: Go has %q, we %q", name, got, want)
		}
	}
}

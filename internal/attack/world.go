// The network of an attack: a proxy that answers for every host name, the certificates, and the record of all requests.

package attack

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"mcpauth/internal/demo"
)

// Request is a request that arrived at the proxy.
type Request struct {
	Origin string // scheme, host and port of the URL that the client requested
	Method string
	URL    string
	Header http.Header
	Body   string
	Shown  string // common name of the client's TLS certificate; empty: none
}

// World is the network of one attack.
type World struct {
	attack   Attack
	good     *demo.Server
	provider *demo.Server // nil: there is none
	idToken  string
	key      *ecdsa.PrivateKey
	ca       *x509.Certificate
	caFile   string
	own      string // file with the user's client certificate and its key
	proxy    net.Listener
	trap     net.Listener // a local service to which a remote server must not direct requests
	server   *http.Server // serves the requests inside tunnels and the requests without a tunnel
	done     chan struct{}

	mu       sync.Mutex
	begun    bool
	requests []Request
}

// Start starts the World of the attack with this name. The attack begins at once if its field Later is not set.
func Start(name string) (*World, error) {
	a, err := find(name)
	if err != nil {
		return nil, err
	}
	w := &World{attack: a, done: make(chan struct{})}
	w.server = &http.Server{Handler: http.HandlerFunc(w.serve), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 30 * time.Second}
	if err := w.start(); err != nil {
		w.Close()
		return nil, err
	}
	if !a.Later {
		return w, w.Begin()
	}
	return w, nil
}

func (w *World) start() error {
	var err error
	if w.good, err = demo.Start(demo.Options{SeparateIssuer: true, Settings: w.attack.Set}); err != nil {
		return err
	}
	w.idToken = w.good.IDToken("", 0)
	if w.attack.Provider != "" {
		if w.provider, err = demo.StartProvider(w.good, demo.Options{Settings: demo.Settings{IDClaims: `{"iss":"` + IDP + `"}`}}); err != nil {
			return err
		}
		if err := w.provider.Set(w.attack.Provider); err != nil {
			return err
		}
	}
	if err := w.authority(); err != nil {
		return err
	}
	for _, ln := range []*net.Listener{&w.proxy, &w.trap} {
		if *ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		go w.server.Serve(*ln)
	}
	return nil
}

// Begin begins an attack whose field Later is set.
func (w *World) Begin() error {
	w.mu.Lock()
	w.begun = true
	w.mu.Unlock()
	for _, words := range w.attack.Words {
		if err := w.good.Set(w.fill(words)); err != nil {
			return err
		}
	}
	return nil
}

// Close closes all servers and removes the files.
func (w *World) Close() {
	close(w.done)
	w.server.Close()
	if w.provider != nil {
		w.provider.Close()
	}
	if w.good != nil {
		w.good.Close()
	}
	for _, file := range []string{w.caFile, w.own} {
		if file != "" {
			os.Remove(file)
		}
	}
}

// URL returns the URL of the MCP server.
func (w *World) URL() string { return MCP + mcpPath }

// CAFile returns the path of the certificate authority that signs the certificates of all servers.
func (w *World) CAFile() string { return w.caFile }

// ClientCertificate returns the path of the user's client certificate and its key. Every server in the World requests a client certificate.
func (w *World) ClientCertificate() string { return w.own }

// Env returns the environment variables that make a program use the proxy.
func (w *World) Env() []string {
	address := "http://" + w.proxy.Addr().String()
	return []string{"HTTPS_PROXY=" + address, "HTTP_PROXY=" + address, "NO_PROXY=", "ATTACK_CA=" + w.caFile}
}

// IDToken returns an ID token of the user for an enterprise's identity provider.
func (w *World) IDToken() string { return w.idToken }

// Secrets returns all secrets that the honest servers have issued or received, and those of the user.
func (w *World) Secrets() []string {
	all := w.good.Secrets()
	if w.provider != nil {
		all = append(all, w.provider.Secrets()...)
	}
	return append(all, w.idToken, "demo-cs-idp", "demo-cs-basic", UserKey)
}

// UserKey is the user's key for the MCP server, which is sent in a header. UserKey contains characters that most encodings change.
const UserKey = `canary&"user"</key>1`

// Requests returns all requests that have arrived so far.
func (w *World) Requests() []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Request(nil), w.requests...)
}

// Calls returns the number of tool calls that the MCP server has received so far.
func (w *World) Calls() int {
	n := 0
	for _, r := range w.Requests() {
		if r.Origin == MCP && strings.Contains(r.Body, `"tools/call"`) {
			n++
		}
	}
	return n
}

// Begun reports whether the attack has begun.
func (w *World) Begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

// authority creates the key and the certificate authority that signs all other certificates, and the user's certificate.
func (w *World) authority() error {
	var err error
	if w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := w.certificate("", true)
	if err != nil {
		return err
	}
	if w.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	if w.caFile, err = temporary(&pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return err
	}
	if der, err = w.certificate("user", false); err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(w.key)
	if err != nil {
		return err
	}
	w.own, err = temporary(&pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return err
}

// temporary creates a temporary PEM file.
func temporary(blocks ...*pem.Block) (string, error) {
	f, err := os.CreateTemp("", "attack-*.pem")
	if err != nil {
		return "", err
	}
	for _, b := range blocks {
		err = errors.Join(err, pem.Encode(f, b))
	}
	return f.Name(), errors.Join(err, f.Close())
}

// certificate returns a certificate for a host name or, if authority is true, that of the certificate authority.
func (w *World) certificate(name string, authority bool) ([]byte, error) {
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "attack " + name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: authority,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	parent := w.ca
	if authority {
		t.KeyUsage |= x509.KeyUsageCertSign
		parent = t
	} else if ip := net.ParseIP(name); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{name}
	}
	return x509.CreateCertificate(rand.Reader, t, parent, w.key.Public(), w.key)
}

// serve handles the requests to the proxy: tunnels to any host, the requests inside them, and plain requests.
func (w *World) serve(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		w.tunnel(rw, r)
	case r.TLS != nil:
		w.arrive(rw, r, "https://"+r.Host)
	default:
		w.arrive(rw, r, "http://"+r.Host)
	}
}

// tunnel opens a tunnel for a CONNECT request and then acts as the requested host.
func (w *World) tunnel(rw http.ResponseWriter, r *http.Request) {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		http.Error(rw, "host and port are required", http.StatusBadRequest)
		return
	}
	der, err := w.certificate(name, false)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: w.key}},
		NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert})
	_ = w.server.Serve(&one{conn: secure}) // Serve returns after it has accepted the only connection; another goroutine serves that connection
}

// one is a listener that accepts a single connection, conn.
type one struct{ conn net.Conn }

func (o *one) Accept() (net.Conn, error) {
	if o.conn == nil {
		return nil, io.EOF
	}
	c := o.conn
	o.conn = nil
	return c, nil
}
func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

// arrive records a request and passes it to the attack, the honest server, or stranger.
func (w *World) arrive(rw http.ResponseWriter, r *http.Request, origin string) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	shown := ""
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		shown = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	w.mu.Lock()
	w.requests = append(w.requests, Request{origin, r.Method, r.URL.String(), r.Header.Clone(), string(body), shown})
	w.mu.Unlock()
	switch {
	case w.Begun() && (origin == MCP || origin == AS || origin == AS2) && w.attack.matches(r):
		w.attack.Do(rw, r)
	case origin == MCP:
		w.forward(rw, r, w.good.Origin(), AS)
	case origin == IDP && w.provider != nil:
		w.forward(rw, r, w.provider.Issuer(), AS)
	case origin == AS, origin == AS2:
		w.forward(rw, r, w.good.Issuer(), origin)
	default:
		stranger(rw)
	}
}

// stranger responds to every request with a token and a client ID.
func stranger(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "application/json")
	io.WriteString(rw, `{"access_token":"stranger","token_type":"Bearer","client_id":"stranger"}`)
}

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
	"sync"
	"time"

	"mcpauth/internal/demo"
)

// Request is one request that arrived, wherever it was meant for.
type Request struct {
	Origin string // scheme, host and port, as the client named them
	Method string
	URL    string
	Header http.Header
	Body   string
	Shown  string // name in the client's TLS certificate; empty: it showed none
}

// World is a running attack.
type World struct {
	attack   Attack
	good     *demo.Server
	provider *demo.Server // nil: there is none
	idToken  string
	key      *ecdsa.PrivateKey
	ca       *x509.Certificate
	caFile   string
	own      string // file with the user's client certificate
	proxy    net.Listener
	trap     net.Listener // a service of this machine that a remote server must not reach
	server   *http.Server // serves the insides of tunnels, and plain requests
	done     chan struct{}

	mu       sync.Mutex
	begun    bool
	requests []Request
}

// Start plays the attack of that name.
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

// Begin starts an attack that comes later.
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

// Close ends the world.
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

// URL is the address of the MCP server, as users type it.
func (w *World) URL() string { return MCP + mcpPath }

// CAFile is a file with the certificate authority that vouches for every name.
func (w *World) CAFile() string { return w.caFile }

// ClientCertificate is a file with the user's certificate for TLS, and its key. Everybody in this world asks for it.
func (w *World) ClientCertificate() string { return w.own }

// Env is the environment of a program that lives in this world.
func (w *World) Env() []string {
	address := "http://" + w.proxy.Addr().String()
	return []string{"HTTPS_PROXY=" + address, "HTTP_PROXY=" + address, "NO_PROXY=", "ATTACK_CA=" + w.caFile}
}

// IDToken is the user's, for an enterprise's identity provider.
func (w *World) IDToken() string { return w.idToken }

// Secrets returns all that the good server gave or was sent, and what the user brought.
func (w *World) Secrets() []string {
	all := w.good.Secrets()
	if w.provider != nil {
		all = append(all, w.provider.Secrets()...)
	}
	return append(all, w.idToken, "demo-cs-idp", "demo-cs-basic", UserKey)
}

// UserKey is a key of the user's own for the MCP server. Its characters look different in most encodings.
const UserKey = `canary&"user"<key>1`

// Requests returns all that arrived so far.
func (w *World) Requests() []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Request(nil), w.requests...)
}

// Begun reports whether the attack has begun.
func (w *World) Begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

// authority makes the key and certificate that sign all others.
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

// temporary makes a PEM file.
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

// certificate makes one for a name, or the authority's own.
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

// serve answers the proxy's port: tunnels to any name, and plain requests.
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

// tunnel plays the host that the client wants a connection to.
func (w *World) tunnel(rw http.ResponseWriter, r *http.Request) {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		http.Error(rw, "host and port, please", http.StatusBadRequest)
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
	_ = w.server.Serve(&one{conn: secure}) // ends when the listener has given its connection, which is served on
}

// one is a listener with one connection.
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

// arrive records a request and lets the attack, the good server, or a stranger answer.
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
	case w.Begun() && (origin == MCP || origin == AS) && w.attack.matches(r):
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

// stranger takes whatever it is given, and says thanks.
func stranger(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "application/json")
	io.WriteString(rw, `{"access_token":"stranger","token_type":"Bearer","client_id":"stranger"}`)
}

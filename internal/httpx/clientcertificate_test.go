package httpx

import (
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
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientCertificate returns a self-signed certificate with this common name.
func clientCertificate(t *testing.T, name string) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return Certificate{ID: name, Load: func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}}
}

// askingServer requests a client certificate and responds with the name in it.
func askingServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler != nil {
			handler(w, r)
		}
		shown := "nothing"
		if len(r.TLS.PeerCertificates) > 0 {
			shown = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s over %s", shown, r.Proto)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func trusting(t *testing.T, s *httptest.Server) *http.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func only(s *httptest.Server) func(*url.URL) bool {
	return func(u *url.URL) bool { return u.Host == strings.TrimPrefix(s.URL, "https://") }
}

// Each client presents its certificate only to its own server, even if other clients have open connections to that server.
func TestCertificateStaysWithItsServer(t *testing.T) {
	other := askingServer(t, nil)
	home := askingServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL, http.StatusFound)
		}
		for from, to := range map[string]string{"/moved": "/tenant/delete?item=1", "/folder": "/folder/", "/tenant/meta": "/.well-known/x/tenant", "/dots": "/.well-known/../tenant/delete",
			"/slash": "/slash/?item=1", "/twice": "/tenant/a", "/tenant/a": "/tenant/a/", "/thrice": "/.well-known/y", "/.well-known/y": "/tenant/b"} {
			if r.URL.Path == from {
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusFound)
			}
		}
	})
	c := trusting(t, home)
	ann, bob := Presenting(c, clientCertificate(t, "ann"), only(home)), Presenting(c, clientCertificate(t, "bob"), only(home))
	var all sync.WaitGroup
	for range 4 {
		for _, tt := range []struct {
			name                 string
			client               *http.Client
			method, url, expects string
		}{
			{"ann", ann, "GET", home.URL, "ann"}, {"bob", bob, "GET", home.URL, "bob"}, {"nobody", c, "GET", home.URL, "nothing"},
			{"ann elsewhere", ann, "GET", other.URL, "nothing"}, {"ann sent elsewhere", ann, "GET", home.URL + "/away", "nothing"},
			{"ann sent to another tenant", ann, "GET", home.URL + "/moved", "nothing"}, {"ann sent to the folder", ann, "GET", home.URL + "/folder", "ann"},
			{"ann sent to a well-known URL", ann, "GET", home.URL + "/tenant/meta", "ann"}, {"ann sent there with dots", ann, "GET", home.URL + "/dots", "nothing"},
			{"ann sent to the folder with a query", ann, "GET", home.URL + "/slash", "nothing"}, {"ann sent elsewhere, then to the folder", ann, "GET", home.URL + "/twice", "nothing"},
			{"ann sent to a well-known URL, then elsewhere", ann, "GET", home.URL + "/thrice", "nothing"},
			{"ann, against all authorities", ann, "POST", home.URL, "ann"}, {"bob, against all authorities", bob, "POST", home.URL, "bob"},
			{"nobody, against all authorities", c, "POST", home.URL, "nothing"},
		} {
			all.Go(func() {
				req, err := http.NewRequest(tt.method, tt.url, struct{ io.Reader }{strings.NewReader("x")}) // a body that can be read only once
				if err != nil {
					t.Error(err)
					return
				}
				if tt.method == http.MethodGet {
					req.Body = nil
				}
				if res, err := Do(tt.client, req); err != nil || string(res.Body) != tt.expects+" over HTTP/2.0" {
					t.Errorf("%s: %v, %v", tt.name, res, err)
				}
			})
		}
		all.Wait()
	}
}

// If the certificate can no longer be read, the connection fails, and the request is not sent without the certificate.
func TestCertificateGone(t *testing.T) {
	home := askingServer(t, nil)
	gone := errors.New("gone")
	c := Presenting(trusting(t, home), Certificate{ID: "x", Load: func() (*tls.Certificate, error) { return nil, gone }}, only(home))
	req, err := http.NewRequest(http.MethodPost, home.URL, strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := Do(c, req); !errors.Is(err, gone) {
		t.Errorf("got %v, %v", res, err)
	}
}

// A client with a certificate refuses an https:// proxy, because a transport would present the certificate to the proxy too.
func TestCertificateIsNotShownToAProxy(t *testing.T) {
	proxy := askingServer(t, nil)
	for scheme, want := range map[string]error{"https": errSecureProxy, "http": nil} {
		address, err := url.Parse(scheme + "://" + strings.TrimPrefix(proxy.URL, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: &tls.Config{}}
		own := clientCertificate(t, "ann")
		own.addTo(transport)
		if got, err := transport.Proxy(&http.Request{}); !errors.Is(err, want) || err == nil && *got != *address {
			t.Errorf("%s: %v, %v", scheme, got, err)
		}
	}
}

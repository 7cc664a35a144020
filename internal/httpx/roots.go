package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

// rooted is the innermost transport of a client that New returns. To verify a server against all of the system's certificate authorities,
// crypto/x509 must parse all of them, which takes more processor time than the rest of a call. To save this time, rooted first verifies a
// host against a few likely certificates: the certificates of Options.CAFile, and the system's certificate that verified the host before.
// If that fails, rooted dials the host again and verifies the host against all authorities.
//
// The first attempt never accepts a server that the second attempt would refuse, because its certificates are a subset of those of the
// second attempt. Nothing is sent twice: a failed verification ends the handshake before the request is written.
type rooted struct {
	memory rootMemory
	own    *x509.CertPool        // from Options.CAFile; nil: none
	pool   func() *x509.CertPool // all authorities; nil: the system's

	mu    sync.Mutex
	hosts map[string]*host
	whole map[string]*http.Transport // transports that verify against all authorities; the key is the scheme and the ID of the client certificate
}

// host is the state of the server at one scheme, host and port. Requests with different client certificates have separate states.
type host struct {
	likely  atomic.Pointer[http.Transport] // transport that verifies against the likely certificates only; nil: no likely certificate is known, or none verified the host
	learned atomic.Bool                    // whether the certificate that verified the host is recorded
}

func newRooted(memory rootMemory, caFile string) (*rooted, error) {
	r := &rooted{memory: memory, hosts: map[string]*host{}, whole: map[string]*http.Transport{}}
	r.pool = func() *x509.CertPool { return nil }
	if caFile == "" {
		return r, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	r.own = x509.NewCertPool()
	if !r.own.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities %s: no PEM certificate in it", caFile)
	}
	r.pool = sync.OnceValue(func() *x509.CertPool {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(pem)
		return pool
	})
	return r, nil
}

func (r *rooted) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.roundTrip(req)
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" { // a TLS alert; net/http wraps it in the name of a function, depending on when it arrives
		err = alert
	}
	return res, err
}

func (r *rooted) roundTrip(req *http.Request) (*http.Response, error) {
	h := r.host(req)
	if likely := h.likely.Load(); likely != nil {
		if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil { // the body can be sent only once
			return r.all(req).RoundTrip(req)
		}
		res, err := likely.RoundTrip(req)
		var unverified *tls.CertificateVerificationError
		if !errors.As(err, &unverified) {
			return res, err
		}
		if req, err = rewound(req); err != nil {
			return nil, err
		}
		h.likely.Store(nil)
	}
	res, err := r.all(req).RoundTrip(req)
	if err == nil && res.TLS != nil && len(res.TLS.VerifiedChains) > 0 && h.learned.CompareAndSwap(false, true) {
		chain := res.TLS.VerifiedChains[0]
		r.memory.remember(req.URL.Host, chain[len(chain)-1])
	}
	return res, err
}

// all returns the transport that verifies against all authorities. The authorities are parsed only if the scheme of the request is https.
func (r *rooted) all(req *http.Request) *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := presented(req)
	key := req.URL.Scheme + " " + own.ID
	if r.whole[key] == nil {
		var pool *x509.CertPool
		if req.URL.Scheme == "https" {
			pool = r.pool()
		}
		r.whole[key] = newTransport(pool, own)
	}
	return r.whole[key]
}

// host returns the state of the host of a request, and creates the state at the first request to the host.
func (r *rooted) host(req *http.Request) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := presented(req)
	key := req.URL.Scheme + "://" + req.URL.Host + " " + own.ID
	h := r.hosts[key]
	if h == nil {
		h = &host{}
		r.hosts[key] = h
		if pool := r.likely(req.URL.Host); pool != nil && req.URL.Scheme == "https" {
			h.likely.Store(newTransport(pool, own))
		}
	}
	return h
}

// likely returns the certificates that are likely to verify a host, or nil if none are known.
func (r *rooted) likely(host string) *x509.CertPool {
	root := r.memory.recall(host)
	if root == nil {
		return r.own
	}
	pool := x509.NewCertPool()
	if r.own != nil {
		pool = r.own.Clone()
	}
	pool.AddCert(root)
	return pool
}

// rewound returns a request whose body starts at its beginning. The request has no body or has GetBody, see RoundTrip.
func rewound(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}

package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// rooted is the transport below New. To verify a server against all of the system's certificate authorities, crypto/x509 must parse them
// all, which takes more processor time than the rest of a call. So rooted first verifies each host against the few certificates that are
// likely to verify it: those of Options.CAFile, and the system's certificate that verified the host before. If verification fails, rooted
// dials the host again and verifies it against all authorities.
//
// The first attempt trusts a subset of the certificates that the second one trusts, so it never accepts a server that the second one would
// refuse. Nothing is sent twice: a failed verification ends the handshake before the request is written.
type rooted struct {
	memory rootMemory
	own    *x509.CertPool        // from Options.CAFile; nil: none
	pool   func() *x509.CertPool // all authorities; nil: the system's

	mu    sync.Mutex
	hosts map[string]*host
	whole map[string]*http.Transport // verify against all authorities, by the ID of the certificate that they present
}

// host is the transport for requests to one scheme, host and port that present the same client certificate or none.
type host struct {
	*http.Transport
	likely  bool // verifies against likely certificates only
	learned bool // the certificate that verified the host is recorded, or there is none to record
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
	h := r.host(req)
	res, err := h.RoundTrip(req)
	var unverified *tls.CertificateVerificationError
	if h.likely && errors.As(err, &unverified) {
		if req, err = rewound(req); err != nil {
			return nil, err
		}
		h = r.unlikely(req)
		res, err = h.RoundTrip(req)
	}
	if err == nil && res.TLS != nil && !h.likely {
		r.learn(req, h, res.TLS)
	}
	return res, err
}

// hostKey returns the same key for requests that may share a connection, which are those to one host with the same client certificate.
func hostKey(req *http.Request) string {
	return req.URL.Scheme + "://" + req.URL.Host + " " + presented(req).id()
}

// all returns the transport that verifies against all authorities. The caller holds the lock.
func (r *rooted) all(req *http.Request) *http.Transport {
	own := presented(req)
	if r.whole[own.id()] == nil {
		r.whole[own.id()] = newTransport(r.pool(), own)
	}
	return r.whole[own.id()]
}

// host returns the transport for a request. The first request to a host creates it.
func (r *rooted) host(req *http.Request) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[hostKey(req)]
	if h == nil {
		h = r.newHost(req)
		r.hosts[hostKey(req)] = h
	}
	if h.likely && req.Body != nil && req.Body != http.NoBody && req.GetBody == nil { // the body can be sent only once
		return &host{Transport: r.all(req), learned: true}
	}
	return h
}

func (r *rooted) newHost(req *http.Request) *host {
	if req.URL.Scheme != "https" {
		return &host{Transport: newTransport(nil, nil), learned: true}
	}
	if pool := r.likely(req); pool != nil {
		return &host{Transport: newTransport(pool, presented(req)), likely: true}
	}
	return &host{Transport: r.all(req)}
}

// likely returns the certificates that are likely to verify the host of a request, or nil if none are known.
func (r *rooted) likely(req *http.Request) *x509.CertPool {
	root := r.memory.recall(req.URL.Host)
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

// unlikely makes all further requests to the host of req verify against all authorities.
func (r *rooted) unlikely(req *http.Request) *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.hosts[hostKey(req)]; !h.likely {
		return h // another request has already replaced it
	}
	h := &host{Transport: r.all(req)}
	r.hosts[hostKey(req)] = h
	return h
}

// learn records the certificate that verified the host of a request.
func (r *rooted) learn(req *http.Request, h *host, state *tls.ConnectionState) {
	r.mu.Lock()
	first := !h.learned
	h.learned = true
	r.mu.Unlock()
	if first && len(state.VerifiedChains) > 0 {
		chain := state.VerifiedChains[0]
		r.memory.remember(req.URL.Host, chain[len(chain)-1])
	}
}

// rewound returns a request whose body starts at its beginning. The request has no body or has GetBody, see host.
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

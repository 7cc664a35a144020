package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// rootsTransport is the innermost transport of a client that New returns. To verify a server against all of the system's certificate
// authorities, crypto/x509 must parse all of them, which takes more processor time than the rest of a call. To save this time,
// rootsTransport first verifies a host against a few likely certificates: the certificates of Options.CAFile, and the system's certificate
// that verified the host before. If that fails, rootsTransport dials again and verifies the host against all authorities.
//
// The first attempt uses a subset of the certificates of the second attempt, so it never accepts a server that the second attempt would
// refuse. Nothing is sent twice: a failed verification ends the handshake before the request is written.
type rootsTransport struct {
	memory      rootMemory
	caFileRoots *x509.CertPool        // from Options.CAFile; nil: none
	allRoots    func() *x509.CertPool // all authorities; nil: the system's

	mu         sync.Mutex
	hosts      map[string]*hostState
	transports map[string]*http.Transport // transports that verify against all authorities; the key is the scheme and the ID of the client certificate
}

// hostState is the state of the server at one scheme, host and port. Requests with different client certificates have separate states.
type hostState struct {
	likelyTransport atomic.Pointer[http.Transport] // transport that verifies against the likely certificates only; nil: no likely certificate is known, or none verified the host
	recorded        atomic.Bool                    // the certificate that verified the host is recorded
}

// maxAuthorities limits the file of Options.CAFile, in bytes.
const maxAuthorities = 16 << 20

func newRootsTransport(memory rootMemory, caFile string) (*rootsTransport, error) {
	r := &rootsTransport{memory: memory, hosts: map[string]*hostState{}, transports: map[string]*http.Transport{}}
	r.allRoots = func() *x509.CertPool { return nil }
	if caFile == "" {
		return r, nil
	}
	pem, err := ReadNamed(caFile, maxAuthorities)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	r.caFileRoots = x509.NewCertPool()
	if !r.caFileRoots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities %s: no PEM certificate in it", caFile)
	}
	r.allRoots = sync.OnceValue(func() *x509.CertPool {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(pem)
		return pool
	})
	return r, nil
}

func (r *rootsTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.roundTrip(req)
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" { // a TLS alert; net/http wraps it in the name of a function, depending on when it arrives
		err = alert
	}
	return res, err
}

func (r *rootsTransport) roundTrip(req *http.Request) (*http.Response, error) {
	h := r.stateOf(req)
	if likely := h.likelyTransport.Load(); likely != nil {
		if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil { // the body can be sent only once
			return sendOnce(r.fullyVerifyingTransport(req), req)
		}
		res, err := sendOnce(likely, req)
		var unverified *tls.CertificateVerificationError
		if !errors.As(err, &unverified) {
			return res, err
		}
		if req, err = rewindBody(req); err != nil {
			return nil, err
		}
		h.likelyTransport.Store(nil)
	}
	res, err := sendOnce(r.fullyVerifyingTransport(req), req)
	if err == nil && res.TLS != nil && len(res.TLS.VerifiedChains) > 0 && h.recorded.CompareAndSwap(false, true) {
		chain := res.TLS.VerifiedChains[0]
		r.memory.rememberRoot(req.URL.Host, chain[len(chain)-1])
	}
	return res, err
}

// fullyVerifyingTransport returns the transport that verifies against all authorities. Only an https request needs them to be parsed.
func (r *rootsTransport) fullyVerifyingTransport(req *http.Request) *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	cert := certificateFor(req)
	key := req.URL.Scheme + " " + cert.ID
	if r.transports[key] == nil {
		var pool *x509.CertPool
		if req.URL.Scheme == "https" {
			pool = r.allRoots()
		}
		r.transports[key] = newTransport(pool, cert)
	}
	return r.transports[key]
}

// stateOf returns the state of the host of a request, and creates the state at the first request to the host.
func (r *rootsTransport) stateOf(req *http.Request) *hostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	cert := certificateFor(req)
	key := req.URL.Scheme + "://" + req.URL.Host + " " + cert.ID
	h := r.hosts[key]
	if h == nil {
		h = &hostState{}
		r.hosts[key] = h
		if pool := r.likelyRoots(req.URL.Host); pool != nil && req.URL.Scheme == "https" {
			h.likelyTransport.Store(newTransport(pool, cert))
		}
	}
	return h
}

// likelyRoots returns the certificates that are likely to verify a host, or nil if none are known.
func (r *rootsTransport) likelyRoots(host string) *x509.CertPool {
	root := r.memory.recallRoot(host)
	if root == nil {
		return r.caFileRoots
	}
	pool := x509.NewCertPool()
	if r.caFileRoots != nil {
		pool = r.caFileRoots.Clone()
	}
	pool.AddCert(root)
	return pool
}

// rewindBody returns a request whose body starts at its beginning. If the request has a body, it has GetBody too, see roundTrip.
func rewindBody(req *http.Request) (*http.Request, error) {
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

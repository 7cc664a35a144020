// Package demo is a complete OAuth authorization server with an MCP server behind it, on loopback and in memory. It serves the tests, the
// demonstration, and anyone who wants to try the tool without an account anywhere: `go run ./internal/demo/serve`.
//
//	s, err := demo.Start(demo.Options{Settings: demo.Settings{TTL: time.Minute}})
//	defer s.Close()
//	s.URL()                                // the MCP endpoint, "http://127.0.0.1:PORT/mcp"
//	s.Set("token:status=503,retry=2,n=1")  // the next token request is answered 503
//	s.Set("expire")                        // every access token has expired
//	s.Count("refresh")                     // successful refreshes so far
//
// It implements RFC 6749 with PKCE (7636), 6750, 7009, 7523, 7591, 7592, 7662, 8414, 8628, 8693, 8707, 9126, 9207, 9449 and 9728, and client ID
// metadata documents, as MCP authorization 2026-07-28 asks, and is strict: exact redirect addresses, one client authentication method per
// request, codes and refresh tokens good for one use, and a resource in every request. The MCP side is the official SDK's; Options.Era
// takes it back to earlier revisions.
//
// # What can be changed
//
// A *setting* is how the server is: see Settings, one field each; Set("ttl=10s") changes it at run time. A *fault* is what goes wrong at one
// endpoint: see Fault; Set("token:grant=refresh_token,drop=after,n=1") adds one for the next n requests, or until Set("clear"). An *action*
// happens at once: "expire", "revoke", "forget", "deny=N", "migrate", "clear"; see Set. Help() explains all words.
//
// # The control endpoint
//
// The same from outside, without authorization, on the MCP server's port:
//
//	/_demo/set?q=WORDS     what Set does (also POST, WORDS in the body); 400 with the reason when they make no sense
//	/_demo/stats           the counters, a JSON object: see Count; and live grants, registered clients
//	/_demo/log             the requests in order, a JSON array: see Entry; secrets are replaced. ?endpoint=token for one kind
//	/_demo/help            the words of Set
//	/_demo/client          POST a Client as JSON: registers it in advance
//	/_demo/assertion       a JWT for the jwt-bearer grant (?sub=, ?ttl=)
//	/_demo/id-token        an ID token for the identity provider at IDP() (?sub=, ?ttl=)
//	/_demo/wait?kind=K&n=N answers as soon as Count(K) >= N, 408 after ?timeout= (10s)
//
// Not supported: persistence. Never let anyone but yourself reach it.
package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options says what Start starts. The zero value is a plain server that speaks every revision of MCP and approves every login.
type Options struct {
	Addr           string   // where to listen; empty: 127.0.0.1, a free port
	Host           string   // host name in its addresses; empty: that of Addr. "localhost" is the other useful one
	Paths          []string // MCP endpoints, each a resource of its own, the first being URL(); empty: /mcp
	Era            string   // see Eras; empty: both
	JSON           bool     // MCP answers are JSON rather than event streams (progress is lost)
	Resumable      bool     // cut streams of revisions with sessions can be resumed by Last-Event-ID
	IssuerPath     string   // path of the issuer, such as /tenant1; empty: the issuer is the bare origin
	SeparateIssuer bool     // the authorization server has a port of its own
	TLS            bool     // https with a certificate made on the spot, see CertificatePEM
	MutualTLS      bool     // the MCP server requires a client certificate, see ClientCertificate, and so do the authorization server's mtls_endpoint_aliases (RFC 8705); implies TLS and SeparateIssuer
	Clients        []Client // registered in advance, beside those of DefaultClients

	Certificate *tls.Certificate                                    // https with this certificate and, in addition to HTTP/1.1, HTTP/2
	Listen      func(network, address string) (net.Listener, error) // nil: net.Listen

	Settings Settings         // how it behaves; may change at run time
	Faults   Faults           // what goes wrong from the start
	Now      func() time.Time // nil: time.Now
}

// Server is a running server. All methods may be called from several goroutines.
type Server struct {
	o        Options
	origin   string // of the MCP server
	asOrigin string // of the authorization server
	aliases  string // origin of the endpoints for clients with a certificate; empty: none
	ca       *x509.Certificate
	key      *ecdsa.PrivateKey
	certPEM  []byte
	mcp      *mcpFront
	servers  []*http.Server
	serving  sync.WaitGroup
	done     chan struct{}

	mu         sync.Mutex // guards all below
	settings   Settings
	faults     []*Fault
	issuerPath string
	state      state
	tasks      map[string]*task // by id; nil until the first
	record     record
	provider   *Server   // whose ID-JAGs are accepted; nil: none but our own
	customers  []*Server // that accept our ID-JAGs
}

// Eras returns what Options.Era may be.
func Eras() []string {
	return []string{"both", "2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "sse"}
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Era == "" {
		o.Era = "both"
	}
	if !slices.Contains(Eras(), o.Era) {
		return nil, fmt.Errorf("era %q: expected one of %s", o.Era, strings.Join(Eras(), ", "))
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{"/mcp"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.TLS, o.SeparateIssuer = o.TLS || o.MutualTLS, o.SeparateIssuer || o.MutualTLS
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, key: key, settings: o.Settings, issuerPath: strings.TrimSuffix(o.IssuerPath, "/"), done: make(chan struct{})}
	s.record.init()
	s.state.init()
	for _, c := range append(DefaultClients(), o.Clients...) {
		s.AddClient(c)
	}
	for _, f := range o.Faults {
		s.Inject(f)
	}
	s.mcp = newMCPFront(s)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// listen opens one port, or two when the authorization server has its own. Nothing is served before all addresses are known.
func (s *Server) listen() error {
	address := orText(s.o.Addr, "127.0.0.1:0")
	ask, require := tls.NoClientCert, tls.NoClientCert
	if s.o.MutualTLS {
		ask, require = tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert
	}
	main, origin, err := s.open(address, require)
	if err != nil {
		return err
	}
	s.origin, s.asOrigin = origin, origin
	if !s.o.SeparateIssuer {
		s.serve(main, &front{s: s})
		return nil
	}
	host, _, _ := net.SplitHostPort(address) // was good enough to listen on
	second, origin, err := s.open(net.JoinHostPort(host, "0"), ask)
	if err != nil {
		main.Close()
		return err
	}
	s.asOrigin = origin
	if s.o.MutualTLS {
		third, origin, err := s.open(net.JoinHostPort(host, "0"), require)
		if err != nil {
			return errors.Join(err, main.Close(), second.Close())
		}
		s.aliases = origin
		s.serve(third, &front{s: s, onlyAS: true})
	}
	s.serve(main, &front{s: s, onlyMCP: true})
	s.serve(second, &front{s: s, onlyAS: true})
	return nil
}

// open listens, and says how the world calls it.
func (s *Server) open(address string, ask tls.ClientAuthType) (ln net.Listener, origin string, err error) {
	listen := s.o.Listen
	if listen == nil {
		listen = net.Listen
	}
	if ln, err = listen("tcp", address); err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return nil, "", err
	}
	scheme := "http"
	if s.o.TLS || s.o.Certificate != nil {
		scheme = "https"
		if ln, err = s.secure(ln, ask); err != nil {
			return nil, "", err
		}
	}
	return ln, scheme + "://" + net.JoinHostPort(orText(s.o.Host, host), port), nil
}

// serve answers on a listener until Close.
func (s *Server) serve(ln net.Listener, f *front) {
	hs := &http.Server{Handler: f, ErrorLog: quiet(), ReadHeaderTimeout: 30 * time.Second}
	s.servers = append(s.servers, hs)
	s.serving.Go(func() { hs.Serve(ln) })
}

// Close ends all connections and waits for the listeners. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	for _, hs := range s.servers {
		hs.Close()
	}
	s.serving.Wait()
	if s.mcp != nil {
		s.mcp.close()
	}
}

// URL returns the address of the (first) MCP endpoint.
func (s *Server) URL() string { return s.origin + s.o.Paths[0] }

// Origin returns scheme, host and port of the MCP server.
func (s *Server) Origin() string { return s.origin }

// Port returns the port of the MCP server.
func (s *Server) Port() string { return s.origin[strings.LastIndexByte(s.origin, ':')+1:] }

// Issuer returns the issuer of the authorization server as it is now.
func (s *Server) Issuer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asOrigin + s.issuerPath
}

// IDP returns the token endpoint of the identity provider for enterprise-managed authorization.
func (s *Server) IDP() string { return s.asOrigin + idpPath }

// Control returns the address under which the control endpoint is, without a final slash.
func (s *Server) Control() string { return s.origin + "/_demo" }

// resourceID is the resource identifier of an MCP endpoint, by its path.
func (s *Server) resourceID(path string) string {
	if id := s.Settings().ResourceID; id != "" {
		return strings.ReplaceAll(id, "ORIGIN", s.origin)
	}
	return s.origin + path
}

// resources lists the resource identifiers of all endpoints.
func (s *Server) resources() []string {
	var ids []string
	for _, p := range s.o.Paths {
		ids = append(ids, s.resourceID(p))
	}
	return ids
}

// now is the server's clock.
func (s *Server) now() time.Time { return s.o.Now() }

// Settings returns the settings as they are now.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// pause waits for d, or until the client has gone or the server closes.
func (s *Server) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.done:
	}
}

// Package demo is a complete OAuth authorization server and an MCP server that it protects, on loopback and in memory. The tests use these
// servers. To try mcpauth without an account, run them with `go run ./internal/demo/serve`.
//
//	s, err := demo.Start(demo.Options{Settings: demo.Settings{TTL: time.Minute}})
//	defer s.Close()
//	s.URL()                                // the MCP endpoint, "http://127.0.0.1:PORT/mcp"
//	s.Set("token:status=503,retry=2,n=1")  // the next token request is answered 503
//	s.Set("expire")                        // every access token has expired
//	s.Count("refresh")                     // successful refreshes so far
//
// The package implements RFC 6749 with PKCE (7636), 6750, 7009, 7523, 7591, 7592, 7662, 8414, 8628, 8693, 8707, 9126, 9207, 9449 and 9728,
// and client ID metadata documents, as MCP authorization 2026-07-28 requires. The server is strict. Redirect URIs must match exactly. A
// request must use exactly one client authentication method. A code or a refresh token can be used once. Every request needs a resource.
// The MCP server is that of the official SDK; Options.Era selects an earlier revision.
//
// # What can be changed
//
// A *setting* changes the behaviour of the whole server. Each field of Settings is a setting. Set("ttl=10s"), for example, changes a
// setting at run time. A *fault* makes one endpoint misbehave, see Fault. Set("token:grant=refresh_token,drop=after,n=1") adds a fault for
// the next n requests, or until Set("clear") if n is missing. An *action* has an effect once: "expire", "revoke", "forget", "deny=N",
// "migrate", "clear"; see Set. Help returns a description of all settings, faults and actions.
//
// # The control endpoint
//
// Other processes can make the same changes through these URLs on the MCP server's port, without authorization:
//
//	/_demo/set?q=WORDS     calls Set (also POST, with WORDS in the body); 400 with the reason if WORDS are invalid
//	/_demo/stats           the counters as a JSON object, see Count, with the numbers of live grants and of registered clients
//	/_demo/log             the requests in order as a JSON array, see Entry, without secrets; ?endpoint=token selects one endpoint
//	/_demo/help            the description of WORDS, see Help
//	/_demo/client          POST a Client as JSON to pre-register it
//	/_demo/assertion       a JWT for the jwt-bearer grant (?sub=, ?ttl=)
//	/_demo/id-token        an ID token for the identity provider at IDP() (?sub=, ?ttl=)
//	/_demo/wait?kind=K&n=N responds as soon as Count(K) >= N, or with 408 after ?timeout= (10s)
//
// The server does not store anything on disk. The server must be reachable only from your own machine.
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

// Options configures a server. The zero value speaks every revision of MCP and approves every login.
type Options struct {
	Addr           string   // address to listen on; empty: 127.0.0.1 with a free port
	Host           string   // host name in the server's URLs, such as "localhost"; empty: the host in Addr
	Paths          []string // paths of the MCP endpoints, each a separate resource; the first one is that of URL(); empty: /mcp
	Era            string   // see Eras; empty: both
	JSON           bool     // MCP responses are JSON instead of event streams, without progress notifications
	Resumable      bool     // in revisions with sessions, an interrupted stream can be resumed by Last-Event-ID
	IssuerPath     string   // path of the issuer, such as /tenant1; empty: the issuer is the origin
	SeparateIssuer bool     // the authorization server listens on a second port
	TLS            bool     // https with a new self-signed certificate, see CertificatePEM
	MutualTLS      bool     // the MCP server and the mtls_endpoint_aliases of the authorization server (RFC 8705) require a client certificate, see ClientCertificate. MutualTLS implies TLS and SeparateIssuer
	Clients        []Client // pre-registered clients in addition to DefaultClients

	Certificate *tls.Certificate                                    // https with this certificate, with HTTP/2 in addition to HTTP/1.1; nil: see TLS
	Listen      func(network, address string) (net.Listener, error) // nil: net.Listen

	Settings Settings         // initial settings
	Faults   Faults           // initial faults
	Now      func() time.Time // nil: time.Now
}

// Server is a running server. A Server is safe for concurrent use.
type Server struct {
	o        Options
	origin   string // origin of the MCP server
	asOrigin string // origin of the authorization server
	aliases  string // origin of the endpoints for clients with a certificate; empty: none
	ca       *x509.Certificate
	key      *ecdsa.PrivateKey
	certPEM  []byte
	mcp      *mcpFront
	servers  []*http.Server
	serving  sync.WaitGroup
	done     chan struct{}

	mu         sync.Mutex // guards the fields below
	settings   Settings
	faults     []*Fault
	issuerPath string
	state      state
	tasks      map[string]*task // by ID; nil until the first task
	record     record
	provider   *Server   // identity provider whose ID-JAGs are accepted; nil: only those of this server
	customers  []*Server // servers that accept the ID-JAGs of this server
}

// Eras returns the values of Options.Era.
func Eras() []string {
	return []string{"both", "2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "sse"}
}

// Start starts a server, which serves until Close.
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

// listen opens the port of the MCP server and, depending on the options, a second one for the authorization server and a third one for
// clients with certificates. listen starts to serve the ports only after the URLs of all ports are known.
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
	host, _, _ := net.SplitHostPort(address) // the error is ignored, because open has already parsed the same address
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

// open listens on an address and returns the origin of its URLs.
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

// serve serves the connections of a listener until Close.
func (s *Server) serve(ln net.Listener, f *front) {
	hs := &http.Server{Handler: f, ErrorLog: quiet(), ReadHeaderTimeout: 30 * time.Second}
	s.servers = append(s.servers, hs)
	s.serving.Go(func() { hs.Serve(ln) })
}

// Close closes all connections and waits until the listeners are closed. Close may be called more than once.
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

// URL returns the URL of the first MCP endpoint.
func (s *Server) URL() string { return s.origin + s.o.Paths[0] }

// Origin returns the scheme, host and port of the MCP server.
func (s *Server) Origin() string { return s.origin }

// Port returns the port of the MCP server.
func (s *Server) Port() string { return s.origin[strings.LastIndexByte(s.origin, ':')+1:] }

// Issuer returns the current issuer of the authorization server.
func (s *Server) Issuer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asOrigin + s.issuerPath
}

// IDP returns the token endpoint of the identity provider for enterprise-managed authorization.
func (s *Server) IDP() string { return s.asOrigin + idpPath }

// Control returns the URL of the control endpoint without a trailing slash.
func (s *Server) Control() string { return s.origin + "/_demo" }

// resourceID returns the resource identifier of the MCP endpoint at a path.
func (s *Server) resourceID(path string) string {
	if id := s.Settings().ResourceID; id != "" {
		return strings.ReplaceAll(id, "ORIGIN", s.origin)
	}
	return s.origin + path
}

// resources returns the resource identifiers of all MCP endpoints.
func (s *Server) resources() []string {
	var ids []string
	for _, p := range s.o.Paths {
		ids = append(ids, s.resourceID(p))
	}
	return ids
}

// now returns the time of the server's clock.
func (s *Server) now() time.Time { return s.o.Now() }

// Settings returns the current settings.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// pause waits for d, or until the client closes the connection or the server is closed.
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

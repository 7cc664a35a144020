// Package discovery finds the authorization server of an MCP server. The package reads the challenge of the MCP server, the protected
// resource metadata, and the authorization server metadata.
//
//	r, err := discovery.Discover(ctx, "https://mcp.example.com/mcp", discovery.Options{})
//	r.ResourceID                 // the resource parameter of token requests
//	r.Server.TokenEndpoint
//
// The package implements RFC 9728, RFC 8414, OpenID Connect Discovery 1.0, and MCP authorization 2026-07-28 (Authorization Server
// Discovery) with the fallback of MCP 2025-03-26. Signed metadata is not supported (RFC 9728 §2.2, RFC 8414 §2.1).
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"mcpauth/internal/httpx"
)

// Values of Attempt.Stage and Error.Stage.
const (
	stageServer   = "server"
	stageResource = "resource metadata"
	stageMetadata = "authorization server metadata"
)

var (
	// ErrIssuer is returned if the issuer in the metadata is not the requested issuer (RFC 8414 §3.3).
	ErrIssuer = errors.New("issuer check failed")
	// ErrNotNamed is returned if the MCP server does not name Options.Issuer. ErrNotNamed wraps ErrIssuer.
	ErrNotNamed = fmt.Errorf("%w: the server does not name it", ErrIssuer)
	// ErrResource is returned if the resource metadata describes another resource (RFC 9728 §3.3).
	ErrResource = errors.New("resource check failed")
	// ErrOpen is returned if the MCP server requires no authorization and names no authorization server.
	ErrOpen = errors.New("the server requires no authorization and names no authorization server")
	// ErrUnnamed is returned if neither the MCP server nor the caller names an authorization server.
	ErrUnnamed = errors.New("no authorization server is named")
	// ErrNonInteractiveOnly is returned if the authorization server offers client_credentials but no authorization endpoint.
	ErrNonInteractiveOnly = errors.New("no authorization endpoint for users")
	// ErrMoved is returned if the MCP server redirects to another origin, which must not receive its tokens. Error.Location is the new URL.
	ErrMoved = errors.New("the server is at another address")
	// ErrSibling is returned if the MCP server redirects to a URL of its origin that is not below its own URL. Another tenant may own this URL.
	// Error.Location is the new URL. ErrSibling wraps ErrResource.
	ErrSibling = fmt.Errorf("%w: the redirect leads to another resource", ErrResource)
	// ErrPKCE is returned if the authorization server does not announce PKCE with S256 (MCP authorization, Authorization Code Protection).
	ErrPKCE = errors.New("PKCE support is not announced")
)

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110 §11.6.1).
type Challenge = httpx.Challenge

// ParseChallenges returns all challenges of a response.
func ParseChallenges(h http.Header) []Challenge { return httpx.ParseChallenges(h) }

// Bearer returns the challenge to use: the first Bearer challenge, or else the first DPoP challenge (RFC 9449 §7.1).
func Bearer(cs []Challenge) (Challenge, bool) { return httpx.Bearer(cs) }

// Options configures Discover. The zero value follows the specifications.
type Options struct {
	HTTP           *http.Client // nil: a client that limits connection time, header size and redirects
	OwnHTTP        *http.Client // used instead of HTTP for the server, URLs below it, its well-known URLs, and the metadata of KnownIssuers and, except at another tenant, of issuers on its origin; nil: HTTP
	KnownIssuers   []string     // issuers that the caller knows from another source than the server
	Header         http.Header  // the user's headers, sent to the MCP server only
	Challenges     []Challenge  // challenges of a response that the caller has already received; nil: Discover sends a request to get them
	Issuer         string       // issuer to use; an error if the MCP server names only others; empty: the first one whose metadata can be fetched
	AssumePKCES256 bool         // use S256 even if the metadata does not announce it
	IgnorePKCE     bool         // do not require PKCE, because the grant sends no authorization request
	Strict         bool         // every deviation from a specification is an error
}

// Result is the result of a discovery.
type Result struct {
	URL                 string      `json:"url"`        // canonical URL of the server
	Endpoint            string      `json:"endpoint"`   // URL for requests to the server: URL, or the target of a 307 or 308 redirect, below URL; empty: no request was sent
	Connection          *Connection `json:"connection"` // nil: no request was sent
	Open                bool        `json:"open"`       // the server answered without authorization
	Challenge           Challenge   `json:"challenge"`
	ResourceMetadataURL string      `json:"resource_metadata_url"` // empty: there is no resource metadata
	Resource            ResourceMetadata
	ResourceID          string         `json:"resource"` // value for the resource parameter, byte for byte as in the metadata
	Server              ServerMetadata `json:"server"`
	Legacy              bool           `json:"legacy"`   // there is no resource metadata, so the fallback of MCP 2025-03-26 is used
	Findings            []Finding      `json:"findings"` // tolerated deviations, in order
	Attempts            []Attempt      `json:"attempts"` // every request, in order
}

// Attempt is one request and its outcome.
type Attempt struct {
	Stage   string `json:"stage"`
	Method  string `json:"method"`
	URL     string `json:"url"`
	Status  int    `json:"status"` // 0: no answer
	Outcome string `json:"outcome"`
	OK      bool   `json:"ok"`
}

// Finding is a tolerated deviation from a specification.
type Finding struct {
	Stage   string `json:"stage"`
	Code    string `json:"code"` // docs/quirks.md lists the codes
	Message string `json:"message"`
	Section string `json:"section"`
}

// maxShownAttempts limits the number of attempts in the text of an Error.
const maxShownAttempts = 12

// Error is the error of a failed discovery. Error wraps a network error, or an error of this package such as ErrIssuer.
type Error struct {
	Stage    string
	URL      string // URL of the failed request; empty: several requests failed
	Reason   string
	Section  string    // section of the rule that failed; empty: none
	Attempts []Attempt // if URL is empty: the requests that were sent
	Location string    // ErrMoved, ErrSibling: the new URL
	Err      error
}

func (e *Error) Error() string {
	s := e.Stage
	if e.URL != "" {
		s += " " + httpx.Text(e.URL, 300)
	}
	s += ": " + e.Reason
	if e.Section != "" {
		s += " (" + e.Section + ")"
	}
	if e.URL == "" && len(e.Attempts) > 0 {
		s += "; tried " + joinLimited(e.Attempts, maxShownAttempts, func(a Attempt) string { return httpx.Text(a.URL, 300) + ": " + a.Outcome })
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// NeedsCertificate reports whether a metadata URL demanded a client certificate that Discover did not present there.
func (e *Error) NeedsCertificate() bool {
	return slices.ContainsFunc(e.Attempts, Attempt.needsCertificate)
}

// finder contains the state of one discovery.
type finder struct {
	o        Options
	server   *url.URL
	endpoint *url.URL    // URL for requests to the server; differs from server after a redirect
	local    bool        // the server is on loopback
	header   http.Header // headers for metadata requests; nil: none
	r        *Result
	from     string // URL of the last document, after redirects
}

// Discover finds the authorization server of an MCP server:
//
//  1. send a request without a token to the server, if Options.Challenges is nil
//  2. fetch the resource metadata from the URL in the challenge, or else from the well-known URLs
//  3. fetch the metadata of the authorization server
//  4. check that the authorization server announces PKCE with S256
//
// If there is no resource metadata, the server's origin is the authorization server (MCP 2025-03-26). If the discovery fails, Discover
// returns the error with a partial Result. If the URL of the server is not allowed, the Result is nil.
func Discover(ctx context.Context, server string, o Options) (*Result, error) {
	u, err := httpx.CheckServer(server)
	if err != nil {
		return nil, err
	}
	f := &finder{o: o, server: u, endpoint: u, local: httpx.Local(u), r: &Result{URL: httpx.Canonical(u)}}
	return f.r, f.run(ctx)
}

func (f *finder) run(ctx context.Context) error {
	if err := f.requestChallenge(ctx); err != nil {
		return err
	}
	found, err := f.fetchResource(ctx)
	if err != nil {
		return err
	}
	if found {
		err = f.fetchMetadata(ctx)
	} else {
		err = f.discoverLegacy(ctx)
	}
	if err != nil {
		return err
	}
	return f.checkPKCE()
}

// checkScopes records a deviation if a text of the server contains words that are not scopes. A login leaves these words out.
func (f *finder) checkScopes(stage, address, member, text string) error {
	_, others := httpx.SplitScopes(text)
	if others == nil {
		return nil
	}
	n := Finding{stage, "scope_characters", fmt.Sprintf("%s contains %s, which begins with -, contains a secret or is not a scope; left out", member, httpx.Quote(others[0], 200)), "RFC 6749 §3.3"}
	return f.recordDeviation(address, n, nil)
}

// recordDeviation records a deviation. With Strict, the result is the deviation as an error.
func (f *finder) recordDeviation(address string, n Finding, err error) error {
	if f.o.Strict {
		return &Error{Stage: n.Stage, URL: address, Reason: n.Message, Section: n.Section, Attempts: f.r.Attempts, Err: err}
	}
	f.r.Findings = append(f.r.Findings, n)
	return nil
}

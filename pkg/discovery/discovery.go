// Package discovery finds the authorization server of an MCP server. It reads the server's challenge, its protected resource metadata, and
// the metadata of its authorization server.
//
//	r, err := discovery.Discover(ctx, "https://mcp.example.com/mcp", discovery.Options{})
//	r.ResourceID                 // the resource parameter of token requests
//	r.Server.TokenEndpoint
//
// It implements MCP authorization 2026-07-28 (Authorization Server Discovery) with the fallback of 2025-03-26, RFC 9728, RFC 8414 and
// OpenID Connect Discovery 1.0. It does not support signed metadata (RFC 9728 §2.2, RFC 8414 §2.1).
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

// Stages of an Attempt and an Error.
const (
	stageServer   = "server"
	stageResource = "resource metadata"
	stageMetadata = "authorization server metadata"
)

var (
	// ErrIssuer is returned if the metadata has another issuer than was requested (RFC 8414 §3.3).
	ErrIssuer = errors.New("issuer check failed")
	// ErrNotNamed is the ErrIssuer for a server that does not name the chosen authorization server.
	ErrNotNamed = fmt.Errorf("%w: the server does not name it", ErrIssuer)
	// ErrResource is returned if the resource metadata describes another resource (RFC 9728 §3.3).
	ErrResource = errors.New("resource check failed")
	// ErrUnnamed is returned if neither the server nor the caller names an authorization server.
	ErrUnnamed = errors.New("no authorization server is named")
	// ErrNonInteractiveOnly is returned if the authorization server offers client_credentials but no authorization endpoint.
	ErrNonInteractiveOnly = errors.New("no authorization endpoint for users")
	// ErrMoved is returned if the server redirects to another origin, to which no authorization may be sent. Error.Location is the new
	// address.
	ErrMoved = errors.New("the server is at another address")
	// ErrPKCE is returned if the authorization server does not announce PKCE with S256 (MCP authorization, Authorization Code Protection).
	ErrPKCE = errors.New("PKCE support is not announced")
)

// Challenge is one challenge of a WWW-Authenticate header.
type Challenge = httpx.Challenge

// ParseChallenges returns all challenges of a response (RFC 9110 §11.6.1).
func ParseChallenges(h http.Header) []Challenge { return httpx.ParseChallenges(h) }

// Bearer returns the challenge to use: the first Bearer challenge, or else the first DPoP challenge (RFC 9449 §7.1).
func Bearer(cs []Challenge) (Challenge, bool) { return httpx.Bearer(cs) }

// Options configures a discovery. The zero value follows the specification.
type Options struct {
	HTTP           *http.Client // nil: httpx.Default()
	Header         http.Header  // the user's headers, sent to the MCP server only
	Challenges     []Challenge  // of a response that was already received; nil: Discover sends a request
	Issuer         string       // the authorization server to use, if the server names it or names none; empty: the first that works
	AssumePKCES256 bool         // use S256 even if the metadata does not announce it
	IgnorePKCE     bool         // the grant needs no authorization request
	Strict         bool         // every deviation is an error
}

// Result is the result of a discovery.
type Result struct {
	URL                 string      `json:"url"`        // canonical URL of the server
	Endpoint            string      `json:"endpoint"`   // URL, or the target if the server redirects (307, 308) on the same origin; empty: no request was sent
	Connection          *Connection `json:"connection"` // nil: no request was sent
	Open                bool        `json:"open"`       // the server answered without authorization
	Challenge           Challenge   `json:"challenge"`
	ResourceMetadataURL string      `json:"resource_metadata_url"` // empty with the 2025-03-26 fallback
	Resource            ResourceMetadata
	ResourceID          string         `json:"resource"` // for the resource parameter, byte for byte as in the metadata
	Server              ServerMetadata `json:"server"`
	Legacy              bool           `json:"legacy"`            // 2025-03-26: no resource metadata
	DefaultEndpoints    bool           `json:"default_endpoints"` // no metadata at all
	Findings            []Finding      `json:"findings"`
	Attempts            []Attempt      `json:"attempts"`
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
	Code    string `json:"code"` // see Findings
	Message string `json:"message"`
	Section string `json:"section"`
}

// Findings returns the possible codes of a Finding.
func Findings() []string {
	return []string{"no_challenge", "resource_metadata_dead", "well_known_failed", "content_type", "resource_query", "resource_slash", "resource_parent",
		"issuer_slash", "legacy_2025_03_26", "default_endpoints", "member_type", "issuer_given", "assume_pkce_s256"}
}

// maxShown limits the number of attempts in the text of an Error.
const maxShown = 12

// Error says at which stage the discovery failed and what was tried. It wraps one of the errors above or a network error.
type Error struct {
	Stage    string
	URL      string // empty: several attempts failed
	Reason   string
	Section  string
	Attempts []Attempt
	Named    []string // with ErrNotNamed, the authorization servers that the server names
	Location string   // with ErrMoved, the new address
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
	if e.URL == "" {
		for i, a := range e.Attempts {
			if i == maxShown {
				s += fmt.Sprintf(", and %d more", len(e.Attempts)-i)
				break
			}
			s += map[bool]string{true: "; tried ", false: ", "}[i == 0] + httpx.Text(a.URL, 300) + ": " + a.Outcome
		}
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// finder holds the state of one discovery.
type finder struct {
	o        Options
	server   *url.URL
	endpoint *url.URL // where requests to the server go
	local    bool
	r        *Result
	from     string // URL of the last document, after redirects
}

// Discover finds the authorization of a server:
//
//  1. ask the server, unless its challenge is known
//  2. get the resource metadata: from the challenge's address, else from the well-known ones
//  3. get the metadata of its authorization server
//  4. check that it can do what the flow needs
//
// Where there is no resource metadata at all, the server's origin is the authorization server (MCP 2025-03-26). The result may be there
// beside an error, with the attempts that were made.
func Discover(ctx context.Context, server string, o Options) (*Result, error) {
	u, err := httpx.CheckServer(server)
	if err != nil {
		return nil, err
	}
	f := &finder{o: o, server: u, endpoint: u, local: httpx.Local(u), r: &Result{URL: httpx.Canonical(u)}}
	err = f.run(ctx)
	var e *Error
	if errors.As(err, &e) && e.Attempts == nil {
		e.Attempts = f.r.Attempts
	}
	return f.r, err
}

func (f *finder) run(ctx context.Context) error {
	if err := f.ask(ctx); err != nil {
		return err
	}
	found, err := f.resource(ctx)
	if err != nil {
		return err
	}
	if !found {
		err = f.legacy(ctx)
	} else {
		err = f.metadata(ctx)
	}
	if err != nil {
		return err
	}
	return f.checkPKCE()
}

// checkPKCE returns an error if the authorization server does not announce S256, unless the options allow it or the grant does not use
// PKCE.
func (f *finder) checkPKCE() error {
	s := f.r.Server
	if f.o.IgnorePKCE || f.r.DefaultEndpoints {
		return nil
	}
	if slices.Contains(s.CodeChallengeMethodsSupported, "S256") {
		return nil
	}
	if f.o.AssumePKCES256 {
		return f.tolerate(s.Issuer, Finding{stageMetadata, "assume_pkce_s256", "code_challenge_methods_supported does not list S256; it is used because of --assume-pkce-s256", pkceSection}, ErrPKCE)
	}
	why := "code_challenge_methods_supported is missing"
	if len(s.CodeChallengeMethodsSupported) > 0 {
		why = fmt.Sprintf("code_challenge_methods_supported is %q, without S256", s.CodeChallengeMethodsSupported)
	}
	return &Error{Stage: stageMetadata, URL: s.Issuer, Reason: httpx.Text(why, 200), Section: pkceSection, Err: ErrPKCE}
}

const pkceSection = "MCP Authorization Code Protection"

// tolerate records a deviation. With Strict, it returns the deviation as an error.
func (f *finder) tolerate(address string, n Finding, err error) error {
	if f.o.Strict {
		return &Error{Stage: n.Stage, URL: address, Reason: n.Message, Section: n.Section, Err: err}
	}
	f.r.Findings = append(f.r.Findings, n)
	return nil
}

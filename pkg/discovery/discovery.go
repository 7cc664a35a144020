// Package discovery finds out how an MCP server is authorized: from its challenge to its protected resource metadata, and from there to
// its authorization server's metadata.
//
//	r, err := discovery.Discover(ctx, "https://mcp.example.com/mcp", discovery.Options{})
//	r.ResourceID                 // the `resource` of every token request
//	r.Server.TokenEndpoint
//
// It implements MCP authorization 2026-07-28 (Authorization Server Discovery) with the fallback of 2025-03-26, RFC 9728, RFC 8414 and
// OpenID Connect Discovery 1.0. probe.go asks the server, document.go gets a metadata document, resource.go reads the resource metadata,
// server.go the server metadata.
// Not supported: signed metadata (RFC 9728 §2.2, RFC 8414 §2.1).
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
	// ErrIssuer says that metadata is of another issuer than was asked for (RFC 8414 §3.3).
	ErrIssuer = errors.New("issuer check failed")
	// ErrNotNamed is the ErrIssuer of a server that does not name the authorization server that was picked.
	ErrNotNamed = fmt.Errorf("%w: the server does not name it", ErrIssuer)
	// ErrResource says that resource metadata is of another resource (RFC 9728 §3.3).
	ErrResource = errors.New("resource check failed")
	// ErrUnnamed says that neither the server nor the caller names an authorization server.
	ErrUnnamed = errors.New("no authorization server is named")
	// ErrNonInteractiveOnly says that the authorization server offers client_credentials, and no authorization endpoint for users.
	ErrNonInteractiveOnly = errors.New("no authorization endpoint for users")
	// ErrMoved says that the server redirects to another origin, where no authorization may go. Error.Location is the address.
	ErrMoved = errors.New("the server is at another address")
	// ErrPKCE says that the authorization server does not promise PKCE with S256 (MCP authorization, Authorization Code Protection).
	ErrPKCE = errors.New("PKCE support is not announced")
)

// Challenge is one challenge of a WWW-Authenticate header.
type Challenge = httpx.Challenge

// ParseChallenges reads all challenges of an answer (RFC 9110 §11.6.1).
func ParseChallenges(h http.Header) []Challenge { return httpx.ParseChallenges(h) }

// Bearer returns the challenge to act upon: the first Bearer one, else the first DPoP one (RFC 9449 §7.1).
func Bearer(cs []Challenge) (Challenge, bool) { return httpx.Bearer(cs) }

// Options are the caller's choices. The zero value discovers as the specification says.
type Options struct {
	HTTP           *http.Client // nil: httpx.Default()
	Header         http.Header  // the user's headers, sent to the MCP server only
	Challenges     []Challenge  // of an answer already received; nil: the server is asked
	Issuer         string       // the authorization server to use: among those named, or if none is; empty: the first that works
	AssumePKCES256 bool         // the user vouches that S256 works though the metadata does not say so
	IgnorePKCE     bool         // the grant needs no authorization request
	Strict         bool         // every deviation ends the discovery
}

// Result is what was found.
type Result struct {
	URL                 string      `json:"url"`        // canonical address of the server
	Endpoint            string      `json:"endpoint"`   // where its requests go: URL, or where it redirects to (307, 308) on the same origin; empty: it was not asked
	Connection          *Connection `json:"connection"` // nil: it was not asked
	Open                bool        `json:"open"`       // it answered without authorization
	Challenge           Challenge   `json:"challenge"`
	ResourceMetadataURL string      `json:"resource_metadata_url"` // empty on the 2025-03-26 fallback
	Resource            ResourceMetadata
	ResourceID          string         `json:"resource"` // for the resource parameter, byte for byte as the metadata has it
	Server              ServerMetadata `json:"server"`
	Legacy              bool           `json:"legacy"`            // 2025-03-26: no resource metadata
	DefaultEndpoints    bool           `json:"default_endpoints"` // and no metadata at all
	Findings            []Finding      `json:"findings"`
	Attempts            []Attempt      `json:"attempts"`
}

// Attempt is one request with its outcome.
type Attempt struct {
	Stage   string `json:"stage"`
	Method  string `json:"method"`
	URL     string `json:"url"`
	Status  int    `json:"status"` // 0: no answer
	Outcome string `json:"outcome"`
	OK      bool   `json:"ok"`
}

// Finding is a deviation from a specification that was tolerated.
type Finding struct {
	Stage   string `json:"stage"`
	Code    string `json:"code"` // see Findings
	Message string `json:"message"`
	Section string `json:"section"`
}

// Findings are the codes that a Finding may have.
func Findings() []string {
	return []string{"no_challenge", "resource_metadata_dead", "well_known_failed", "content_type", "resource_query", "resource_slash", "resource_parent",
		"issuer_slash", "legacy_2025_03_26", "default_endpoints", "member_type", "issuer_given", "assume_pkce_s256"}
}

// maxShown bounds how many attempts an Error lists.
const maxShown = 12

// Error says at which stage discovery ended and what was tried. It wraps one of the errors above, or a network error.
type Error struct {
	Stage    string
	URL      string // empty: of several attempts none helped
	Reason   string
	Section  string
	Attempts []Attempt
	Named    []string // the authorization servers that the server names, if the error is ErrNotNamed
	Location string   // the address to use, if the error is ErrMoved
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

// finder is one discovery under way.
type finder struct {
	o        Options
	server   *url.URL
	endpoint *url.URL // where the server's requests go
	local    bool
	r        *Result
	from     string // where the last document came from, after redirects
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

// checkPKCE refuses an authorization server that does not promise S256, unless the user vouches for it or the grant needs none.
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

// tolerate records a deviation. If the discovery is strict, the deviation is an error.
func (f *finder) tolerate(address string, n Finding, err error) error {
	if f.o.Strict {
		return &Error{Stage: n.Stage, URL: address, Reason: n.Message, Section: n.Section, Err: err}
	}
	f.r.Findings = append(f.r.Findings, n)
	return nil
}

// Package discovery finds out how an MCP server is authorized: from its challenge to its protected resource metadata, and from there to
// its authorization server's metadata.
//
//	r, err := discovery.Discover(ctx, "https://mcp.example.com/mcp", discovery.Options{})
//	r.ResourceID                 // the `resource` of every token request
//	r.Server.TokenEndpoint
//
// It implements MCP authorization 2026-07-28 (Authorization Server Discovery) with the fallback of 2025-03-26, RFC 9728, RFC 8414 and
// OpenID Connect Discovery 1.0. resource.go reads the resource metadata, server.go the server metadata.
// Not supported: signed metadata (RFC 9728 §2.2, RFC 8414 §2.1).
package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	// ErrMachineOnly says that the authorization server offers client_credentials, and no authorization endpoint for users.
	ErrMachineOnly = errors.New("no authorization endpoint for users")
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
	Strict         bool         // every deviation that would be put up with ends the discovery
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

// Finding is a deviation from a specification that was put up with.
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

// ask sends the server one unauthenticated request to hear its challenge. It asks for server/discover, since some servers answer
// initialize to anybody and would not tell the scope. No answer at all ends the discovery; any answer but 401 means little.
func (f *finder) ask(ctx context.Context) error {
	challenges := f.o.Challenges
	if challenges == nil {
		res, err := f.probe(ctx)
		if err != nil {
			return err
		}
		f.r.Open, f.r.Endpoint = res.StatusCode < 300, f.endpoint.String()
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			challenges = ParseChallenges(res.Header)
		}
		if _, ok := Bearer(challenges); !ok && res.StatusCode == http.StatusUnauthorized {
			if err := f.tolerate(f.r.URL, Finding{stageServer, "no_challenge", "the answer 401 holds no Bearer challenge in WWW-Authenticate", "RFC 6750 §3"}, nil); err != nil {
				return err
			}
		}
	}
	if c, ok := Bearer(challenges); ok {
		f.r.Challenge = c
	}
	return nil
}

const probeVersion = "2026-07-28"

// maxMoves bounds how many redirects of the server itself are followed.
const maxMoves = 3

// probe asks by POST; a server of the old HTTP+SSE transport knows only GET.
func (f *finder) probe(ctx context.Context) (*httpx.Response, error) {
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": map[string]any{"_meta": map[string]any{
		"io.modelcontextprotocol/protocolVersion":    probeVersion,
		"io.modelcontextprotocol/clientInfo":         map[string]string{"name": "mcpauth", "version": "1"},
		"io.modelcontextprotocol/clientCapabilities": map[string]any{},
	}}})
	res, err := f.probeBy(ctx, http.MethodPost, body)
	for range maxMoves {
		if err != nil || res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
			break
		}
		if err := f.move(res); err != nil {
			return nil, err
		}
		res, err = f.probeBy(ctx, http.MethodPost, body)
	}
	if err == nil && (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed) {
		return f.probeBy(ctx, http.MethodGet, nil)
	}
	return res, err
}

// move learns where the server redirects to. Later requests go there directly, since none that carries a token follows a redirect; so it
// must be the same origin. The probe carries no token.
func (f *finder) move(res *httpx.Response) error {
	fail := func(format string, args ...any) *Error {
		return &Error{Stage: stageServer, URL: f.endpoint.String(), Reason: fmt.Sprintf("answered %d ", res.StatusCode) + fmt.Sprintf(format, args...), Err: ErrMoved}
	}
	location := res.Header.Get("Location")
	target, err := f.endpoint.Parse(location)
	if err != nil || location == "" {
		return fail("without a Location (RFC 9110 §15.4)")
	}
	to, err := httpx.CheckServer(target.String())
	if err != nil {
		e := fail("with a Location that is refused: %v", err)
		e.Err = err
		return e
	}
	if !httpx.SameOrigin(to, f.server) {
		e := fail("pointing to %q, which is another origin: no token of this server is sent there", httpx.Text(to.String(), 300))
		e.Location = to.String()
		return e
	}
	f.endpoint = to
	return nil
}

func (f *finder) probeBy(ctx context.Context, method string, body []byte) (*httpx.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range f.o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Mcp-Protocol-Version", probeVersion)
		req.Header.Set("Mcp-Method", "server/discover")
	}
	var seen observed
	res, err := head(f.o.HTTP, req.WithContext(seen.observe(ctx, req)))
	if f.r.Connection == nil { // a later request uses the same connection
		f.r.Connection = seen.connection()
	}
	a := Attempt{Stage: stageServer, Method: method, URL: f.endpoint.String()}
	if err != nil {
		a.Outcome = "no answer: " + reason(err)
		f.r.Attempts = append(f.r.Attempts, a)
		return nil, fmt.Errorf("server %s: %w", f.r.URL, httpx.Bare(err))
	}
	hidden := httpx.Forms(slices.Concat(slices.Collect(maps.Values(f.o.Header))...))
	a.Status, a.OK, a.Outcome = res.StatusCode, true, httpx.ReadRefusal(res, hidden, time.Now()).Words()
	if location := res.Header.Get("Location"); res.StatusCode/100 == 3 && location != "" {
		a.Outcome += " to " + httpx.Text(location, 300)
	}
	f.r.Attempts = append(f.r.Attempts, a)
	return res, nil
}

// head reads the header of an answer, and the body of one with an error status: the body of an event stream may never end.
func head(c *http.Client, req *http.Request) (*httpx.Response, error) {
	if c == nil {
		c = httpx.Default()
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	r := &httpx.Response{StatusCode: res.StatusCode, Header: res.Header, URL: res.Request.URL.String()}
	if r.StatusCode >= 400 {
		r.Body, _ = io.ReadAll(io.LimitReader(res.Body, httpx.MaxBody)) // the words of half an answer are better than none
	}
	return r, nil
}

// checkPKCE refuses an authorization server that does not promise S256, unless the user vouches for it or the grant needs none.
func (f *finder) checkPKCE() error {
	s := f.r.Server
	if f.o.IgnorePKCE || f.r.DefaultEndpoints {
		return nil
	}
	for _, m := range s.CodeChallengeMethodsSupported {
		if m == "S256" {
			return nil
		}
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

// fetch gets one metadata document and decodes it into v. A member of a wrong type counts as absent, unless it is one of the required. The
// attempt is recorded; found is false if there is no document there, for a reason that the attempt tells.
func (f *finder) fetch(ctx context.Context, stage, address string, header http.Header, v any, required ...string) (found bool, err error) {
	a := Attempt{Stage: stage, Method: http.MethodGet, URL: address}
	defer func() { f.r.Attempts = append(f.r.Attempts, a) }()
	u, err := httpx.Check(address, f.local)
	if err != nil {
		a.Outcome = "refused: " + err.Error()
		return false, &Error{Stage: stage, URL: address, Reason: err.Error(), Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	res, err := httpx.Do(f.o.HTTP, req)
	if res != nil {
		a.Status = res.StatusCode
	}
	switch {
	case err != nil && ctx.Err() != nil:
		a.Outcome = "no answer: " + reason(err)
		return false, fmt.Errorf("%s %s: %w", stage, address, httpx.Bare(err))
	case err != nil:
		a.Outcome = "no answer: " + reason(err)
		var refused *httpx.AddressError
		if errors.As(err, &refused) { // a redirect to it: that is no absence
			return false, &Error{Stage: stage, URL: address, Reason: reason(err), Err: err}
		}
		return false, f.failed(a)
	case res.StatusCode >= 400 && res.StatusCode < 500:
		a.Outcome = httpx.ReadRefusal(res, nil, time.Now()).Words()
		return false, nil
	case res.StatusCode != http.StatusOK:
		a.Outcome = httpx.ReadRefusal(res, nil, time.Now()).Words()
		return false, f.failed(a)
	}
	wrong, err := httpx.DecodeMembers(res.Body, v)
	if i := slices.IndexFunc(wrong, func(name string) bool { return slices.Contains(required, name) }); err == nil && i >= 0 {
		err = fmt.Errorf("%s is not of the expected type", wrong[i])
	}
	if err != nil {
		a.Outcome = "not a metadata document: " + httpx.Text(err.Error(), 120)
		return false, f.failed(a)
	}
	if from, err := url.Parse(res.URL); stage == stageMetadata && (err != nil || !httpx.SameOrigin(from, u)) {
		a.Outcome = "refused: redirected to " + httpx.Text(res.URL, 200)
		return false, &Error{Stage: stage, URL: address, Section: issuerSection, Err: ErrIssuer,
			Reason: fmt.Sprintf("the document came from %q, expected the issuer's own origin", httpx.Text(res.URL, 200))}
	}
	a.OK, a.Outcome, f.from = true, "found", res.URL
	if wrong != nil {
		n := Finding{stage, "member_type", fmt.Sprintf("%s: %s: not of the expected type; taken as absent", address, strings.Join(wrong, ", ")), memberSection(stage)}
		if err := f.tolerate(address, n, nil); err != nil {
			return true, err
		}
	}
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(strings.ToLower(kind), "application/json") {
		return true, f.tolerate(address, Finding{stage, "content_type", fmt.Sprintf("%s is served as %q, not application/json", address, httpx.Text(kind, 60)),
			answerSection(stage)}, nil)
	}
	return true, nil
}

// failed is an address that has neither a document nor a client error to say that there is none: the next one is tried.
func (f *finder) failed(a Attempt) error {
	came := a.Outcome
	if a.Status != 0 && a.Status != http.StatusOK {
		came = fmt.Sprint(a.Status, " ", came)
	}
	return f.tolerate(a.URL, Finding{a.Stage, "well_known_failed", a.URL + ": " + came + "; expected the document, or 404", answerSection(a.Stage)}, nil)
}

// answerSection says what a metadata request is answered with.
func answerSection(stage string) string {
	if stage == stageResource {
		return "RFC 9728 §3.2"
	}
	return "RFC 8414 §3.2"
}

// memberSection defines the members of a document.
func memberSection(stage string) string {
	if stage == stageResource {
		return "RFC 9728 §2"
	}
	return "RFC 8414 §2"
}

// absent reports whether every attempt of a stage was answered by a client error: only that means that there is nothing there.
func (f *finder) absent(stage string) bool {
	for _, a := range f.r.Attempts {
		if a.Stage == stage && (a.Status < 400 || a.Status >= 500) {
			return false
		}
	}
	return true
}

// reason is the innermost part of a network error: the address is named beside it.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return httpx.Text(err.Error(), 160)
}

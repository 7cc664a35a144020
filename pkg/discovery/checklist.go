package discovery

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// State is the result of one check.
type State string

// Values of Check.State.
const (
	Passed    State = "passed"
	Tolerated State = "tolerated" // a deviation that is an error if Options.Strict is set
	Missing   State = "missing"   // the server lacks an optional feature that its users need
	Failed    State = "failed"    // discovery ended with this check
)

// Check is the result of checking one rule.
type Check struct {
	Code    string `json:"code"`
	State   State  `json:"state"`
	Message string `json:"message"`
	Section string `json:"section"` // section that states the rule; empty: no specification states the rule
}

// checkCollector collects checks. If the discovery recorded a Finding about a rule, the Finding replaces the check of this rule.
type checkCollector struct {
	r      *Result
	stage  string // only Findings of this stage are used
	checks []Check
}

// Review returns the checks of a discovery, in order. r and err are the results of Discover.
func Review(r *Result, err error) []Check {
	v := &checkCollector{r: r, stage: stageServer}
	v.checkServer()
	v.stage = stageResource
	if r.ResourceMetadataURL != "" || r.Legacy {
		v.checkResourceMetadata()
	}
	v.stage = stageMetadata
	if r.Server.Issuer != "" {
		v.checkServerMetadata()
		v.checkFeatures()
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		v.checks = slices.DeleteFunc(v.checks, func(c Check) bool { return c.Code == "pkce" && errors.Is(e, ErrPKCE) })
		v.add(failedCode(e), Failed, strings.TrimPrefix(httpx.Text(e.URL, 300)+": "+e.Reason, ": "), e.Section)
	case err != nil:
		v.add("server_answers", Failed, err.Error(), "")
	}
	return v.checks
}

func failedCode(e *Error) string {
	for code, target := range map[string]error{"issuer": ErrIssuer, "resource": ErrResource, "pkce": ErrPKCE} {
		if errors.Is(e.Err, target) {
			return code
		}
	}
	return strings.ReplaceAll(e.Stage, " ", "_")
}

func (v *checkCollector) add(code string, state State, message, section string) {
	v.checks = append(v.checks, Check{code, state, message, section})
}

// addRule adds a Tolerated check for each Finding whose code is in findings. If no Finding matches, addRule adds one check with the given
// code, which is Passed if ok is true, and Missing if ok is false.
func (v *checkCollector) addRule(code string, ok bool, good, bad, section string, findings ...string) {
	found := false
	for _, f := range v.r.Findings {
		if slices.Contains(findings, f.Code) && f.Stage == v.stage {
			v.add(f.Code, Tolerated, f.Message, f.Section)
			found = true
		}
	}
	switch {
	case ok && !found:
		v.add(code, Passed, good, section)
	case !found:
		v.add(code, Missing, bad, section)
	}
}

// checkServer checks the response to a request without a token.
func (v *checkCollector) checkServer() {
	if len(v.r.Attempts) == 0 || v.r.Attempts[0].Status == 0 {
		return
	}
	c := v.r.Challenge
	last := v.r.Attempts[0]
	for _, a := range v.r.Attempts {
		if a.Stage == stageServer {
			last = a
		}
	}
	if v.r.Endpoint != "" && v.r.Endpoint != v.r.Attempts[0].URL {
		v.addRule("endpoint", true, "the server redirects to "+httpx.Text(v.r.Endpoint, 300)+" on the same origin; login stores that URL, and calls go there directly", "", "RFC 9110 §15.4")
	}
	if last.Status != http.StatusUnauthorized {
		v.addRule("unauthorized", false, "", fmt.Sprintf("a request without a token is answered %d: the server may require a login later, or not at all", last.Status),
			"MCP Token Handling")
		return
	}
	v.addRule("unauthorized", true, "a request without a token is answered 401", "", "MCP Token Handling")
	v.addRule("challenge", c.Scheme != "", "the 401 response has a challenge with the scheme "+c.Scheme, "", "RFC 6750 §3", "no_challenge")
	if c.Scheme == "" {
		return
	}
	v.addRule("challenge_resource_metadata", c.ResourceMetadata() != "", "the challenge names the resource metadata",
		"the challenge names no resource_metadata: clients try the well-known URLs", "RFC 9728 §5.1")
	v.addRule("challenge_scope", c.Scope() != "", fmt.Sprintf("the challenge names the scope %s", httpx.Quote(c.Scope(), 200)),
		"the challenge names no scope: clients request all scopes in the metadata", "MCP Scope Selection Strategy", "scope_characters")
}

func (v *checkCollector) checkResourceMetadata() {
	m := v.r.Resource
	v.addRule("resource_metadata", true, "resource metadata is at "+v.r.ResourceMetadataURL, "", "RFC 9728 §3", "legacy_2025_03_26", "resource_metadata_dead", "well_known_failed", "content_type", "member_type", "issuer_given")
	if v.r.Legacy {
		return
	}
	v.addRule("resource", true, fmt.Sprintf("resource is the URL of the server, %s", httpx.Quote(m.Resource, 200)), "", resourceSection, "resource_query", "resource_slash", "resource_parent")
	v.addRule("authorization_servers", true, "authorization_servers is "+quoteAll(m.AuthorizationServers), "", "MCP Authorization Server Location")
	v.addRule("resource_scopes", len(m.ScopesSupported) > 0, "scopes_supported lists "+quoteAll(m.ScopesSupported), "scopes_supported is missing: clients do not know which scopes to request",
		"RFC 9728 §2", "scope_characters")
}

// checkServerMetadata checks the required members of the authorization server's metadata.
func (v *checkCollector) checkServerMetadata() {
	s := v.r.Server
	v.addRule("server_metadata", true, "there is authorization server metadata", "", "RFC 8414 §3", "default_endpoints", "well_known_failed", "content_type", "member_type")
	v.addRule("issuer", true, fmt.Sprintf("issuer is %s, as requested", httpx.Quote(s.Issuer, 200)), "", issuerSection, "issuer_slash")
	v.addRule("endpoints", true, "every endpoint has an allowed URL", "", "OAuth 2.1 §1.5")
	v.addRule("pkce", slices.Contains(s.CodeChallengeMethodsSupported, "S256"), "PKCE with S256 is announced", "PKCE with S256 is not announced, but the grant needs none", pkceSection,
		"assume_pkce_s256")
}

// checkFeatures checks the optional features of the authorization server. The message about a missing feature states the consequence for
// users.
func (v *checkCollector) checkFeatures() {
	s := v.r.Server
	v.addRule("response_types", slices.Contains(s.ResponseTypesSupported, "code"), "response_types_supported has \"code\"",
		"response_types_supported, which is required, does not list \"code\"", "RFC 8414 §2")
	v.addRule("registration", s.RegistrationEndpoint != "" || s.ClientIDMetadataDocumentSupported, "clients can identify themselves: "+registrationWays(s),
		"there is neither a registration_endpoint nor client_id_metadata_document_supported: users need a pre-registered client", "MCP Client Registration")
	v.addRule("public_clients", slices.Contains(s.TokenEndpointAuthMethodsSupported, "none"),
		"token_endpoint_auth_methods_supported has \"none\": native apps need no secret", "token_endpoint_auth_methods_supported does not list \"none\": native apps cannot keep a secret",
		"RFC 8252 §8.5")
	v.addRule("iss", s.AuthorizationResponseIssParameterSupported, "authorization responses contain iss", "authorization responses may lack iss: clients cannot detect a mix-up attack",
		"RFC 9207 §3")
	v.addRule("renewal", len(s.GrantTypesSupported) == 0 || slices.Contains(s.GrantTypesSupported, "refresh_token"), "refresh tokens are possible",
		"grant_types_supported does not list \"refresh_token\": when the token expires, users must log in again", "OAuth 2.1 §4.3")
	v.addRule("revocation", s.RevocationEndpoint != "", "tokens can be revoked", "there is no revocation_endpoint: after a logout, tokens stay valid at the server", "RFC 7009 §2")
}

// registrationWays lists the ways in which clients can identify themselves.
func registrationWays(s ServerMetadata) string {
	var ways []string
	if s.ClientIDMetadataDocumentSupported {
		ways = append(ways, "with a client ID metadata document")
	}
	if s.RegistrationEndpoint != "" {
		ways = append(ways, "by registration at "+s.RegistrationEndpoint)
	}
	return strings.Join(ways, ", ")
}

// Meaning explains an attempt to the user.
func (r *Result) Meaning(a Attempt) string {
	switch {
	case a.Stage == stageServer:
		return r.probeMeaning(a)
	case a.OK && a.Stage == stageResource && r.ResourceMetadataURL != "" && a.URL != r.ResourceMetadataURL:
		return "a more specific document is used"
	case a.OK:
		return "this document is used"
	case strings.HasPrefix(a.Outcome, "refused"):
		return "this URL is not requested"
	case a.isRefused():
		return "no document here"
	case a.needsCertificate():
		return "the URL requires a client certificate; mcpauth presents one only below the URL of the MCP server and at well-known URLs of known servers, and not after a redirect to other URLs"
	}
	return "server error; cannot conclude that there is no document"
}

func (r *Result) probeMeaning(a Attempt) string {
	switch {
	case a.Status == 0:
		return "the server cannot be reached"
	case a.Status == http.StatusUnauthorized:
		return "the server asks for authorization"
	case a.Status == http.StatusTemporaryRedirect || a.Status == http.StatusPermanentRedirect:
		return "the server is at another address"
	case a.Status/100 == 3:
		return "the server redirects; mcpauth does not follow this redirect, so a call to this URL would fail"
	case a.Status < 300:
		return "the server answers without authorization"
	case a.Status == http.StatusForbidden:
		return "the server refuses without asking for authorization"
	case a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed:
		return "the server accepts no POST here: it may use the old HTTP+SSE transport"
	case a.Status >= 500:
		return "the server failed"
	}
	return "the server does not understand the request; it may be of an older revision"
}

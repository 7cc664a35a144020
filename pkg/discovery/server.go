package discovery

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// ServerMetadata contains the members of authorization server metadata that mcpauth uses (RFC 8414 §2 and extensions).
type ServerMetadata struct {
	Issuer                        string `json:"issuer"`
	AuthorizationEndpoint         string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                 string `json:"token_endpoint,omitempty"`
	RegistrationEndpoint          string `json:"registration_endpoint,omitempty"`
	RevocationEndpoint            string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint         string `json:"introspection_endpoint,omitempty"`
	DeviceAuthorizationEndpoint   string `json:"device_authorization_endpoint,omitempty"` // RFC 8628 §4
	PushedAuthorizationRequestURL string `json:"pushed_authorization_request_endpoint,omitempty"`

	ScopesSupported                            []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported                     []string `json:"response_types_supported,omitempty"`
	GrantTypesSupported                        []string `json:"grant_types_supported,omitempty"`
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgValuesSupported []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpointAuthMethodsSupported     []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	CodeChallengeMethodsSupported              []string `json:"code_challenge_methods_supported,omitempty"`
	DPoPSigningAlgValuesSupported              []string `json:"dpop_signing_alg_values_supported,omitempty"` // RFC 9449 §5.1
	AuthorizationGrantProfilesSupported        []string `json:"authorization_grant_profiles_supported,omitempty"`

	AuthorizationResponseIssParameterSupported bool `json:"authorization_response_iss_parameter_supported,omitempty"` // RFC 9207 §3
	ClientIDMetadataDocumentSupported          bool `json:"client_id_metadata_document_supported,omitempty"`
	RequirePushedAuthorizationRequests         bool `json:"require_pushed_authorization_requests,omitempty"`      // RFC 9126 §5
	TLSClientCertificateBoundAccessTokens      bool `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705 §3.3

	MTLSEndpointAliases map[string]string `json:"mtls_endpoint_aliases,omitempty"` // RFC 8705 §5; key: the name of an endpoint, such as token_endpoint
}

// MutualTLS returns the metadata with the endpoints for clients with a TLS certificate (RFC 8705 §5).
func (m ServerMetadata) MutualTLS() ServerMetadata {
	for _, e := range m.endpoints() {
		if alias := m.endpointAlias(e.name); alias != "" {
			*e.address = alias
		}
	}
	return m
}

// endpointAlias returns the mutual TLS alias of an endpoint, or "" if there is none. An alias of the authorization endpoint is ignored,
// because the browser uses that endpoint.
func (m *ServerMetadata) endpointAlias(endpoint string) string {
	if endpoint == "authorization_endpoint" {
		return ""
	}
	return m.MTLSEndpointAliases[endpoint]
}

const issuerSection = "RFC 8414 §3.3"

// maxIssuers limits how many authorization servers of one resource mcpauth contacts and names in an error. Without this limit, a server
// could make mcpauth send requests to any number of hosts.
const maxIssuers = 10

// endpointMember is a member of the metadata that contains the URL of an endpoint.
type endpointMember struct {
	name    string
	address *string
}

func (m *ServerMetadata) endpoints() []endpointMember {
	return []endpointMember{
		{"authorization_endpoint", &m.AuthorizationEndpoint}, {"token_endpoint", &m.TokenEndpoint},
		{"registration_endpoint", &m.RegistrationEndpoint}, {"revocation_endpoint", &m.RevocationEndpoint},
		{"introspection_endpoint", &m.IntrospectionEndpoint}, {"device_authorization_endpoint", &m.DeviceAuthorizationEndpoint},
		{"pushed_authorization_request_endpoint", &m.PushedAuthorizationRequestURL},
	}
}

// fetchMetadata fetches the metadata of the authorization server. Without Options.Issuer, fetchMetadata tries the resource's authorization
// servers in order until it finds metadata. If a document fails a check, or an authorization server answers only with server errors, the
// search ends with an error.
func (f *finder) fetchMetadata(ctx context.Context) error {
	issuers := f.r.Resource.AuthorizationServers
	if f.o.Issuer != "" {
		i := slices.IndexFunc(issuers, func(s string) bool { return SameIssuer(s, f.o.Issuer) })
		if i < 0 {
			return &Error{Stage: stageResource, URL: f.r.ResourceMetadataURL, Err: ErrNotNamed, Section: "RFC 9728 §7.6",
				Reason: fmt.Sprintf("authorization_servers is %s, expected %q", quoteAll(issuers), f.o.Issuer)}
		}
		issuers = issuers[i : i+1]
	}
	for _, issuer := range issuers[:min(len(issuers), maxIssuers)] {
		found, err := f.fetchMetadataOf(ctx, issuer)
		if found || err != nil {
			return err
		}
		if slices.ContainsFunc(f.r.Attempts, func(a Attempt) bool { return a.Stage == stageMetadata && a.hasServerError() }) {
			issuers = []string{issuer}
			break
		}
	}
	return &Error{Stage: stageMetadata, Reason: "no document of " + quoteAll(issuers), Section: "RFC 8414 §3", Attempts: f.r.Attempts}
}

// fetchMetadataOf tries the well-known URLs of an issuer in the order that MCP specifies. It refuses an issuer with two dots in its path, because
// a server may resolve the dots, so that the request reaches another tenant of the host.
func (f *finder) fetchMetadataOf(ctx context.Context, issuer string) (bool, error) {
	u, err := httpx.Check(issuer, f.local)
	if err != nil {
		return false, &Error{Stage: stageMetadata, URL: httpx.Text(issuer, 200), Reason: err.Error(), Err: err}
	}
	if strings.Contains(u.Path, "..") {
		return false, &Error{Stage: stageMetadata, Reason: fmt.Sprintf("the path of the issuer %s contains two dots, so it may lead to another server", httpx.Quote(issuer, 200)), Err: ErrIssuer}
	}
	known := slices.ContainsFunc(f.o.KnownIssuers, func(s string) bool { return SameIssuer(s, issuer) })
	onHost := f.server != nil && httpx.SameOrigin(u, f.server)
	inPath := onHost && (httpx.IsBelow(u, f.server) || httpx.IsBelow(f.server, u))
	for i, address := range metadataAddresses(u) {
		var m ServerMetadata
		own := known || inPath || onHost && i < 2 // the first two URLs belong to the host, and the third one to the owner of the issuer's path
		found, err := f.fetchDocument(ctx, own, stageMetadata, address, &m, "issuer", "token_endpoint")
		if err != nil {
			return false, err
		}
		if found {
			return true, f.acceptMetadata(m, issuer, address)
		}
	}
	return false, nil
}

// metadataAddresses returns the well-known URLs of an issuer (MCP, Authorization Server Metadata Discovery).
func metadataAddresses(issuer *url.URL) []string {
	oauth, openid := wellKnownURLs(issuer, "oauth-authorization-server"), wellKnownURLs(issuer, "openid-configuration")
	if len(oauth) == 1 {
		return []string{oauth[0], openid[0]}
	}
	base := *issuer
	base.RawQuery = ""
	return []string{oauth[0], openid[0], strings.TrimSuffix(base.String(), "/") + "/.well-known/openid-configuration"}
}

// acceptMetadata checks the issuer in a document, and then every URL in the document.
func (f *finder) acceptMetadata(m ServerMetadata, issuer, address string) error {
	fail := func(err error, section, format string, args ...any) error {
		return &Error{Stage: stageMetadata, URL: address, Reason: fmt.Sprintf(format, args...), Section: section, Err: err}
	}
	switch {
	case m.Issuer == issuer:
	case SameIssuer(m.Issuer, issuer):
		if err := f.recordDeviation(address, Finding{stageMetadata, "issuer_slash", fmt.Sprintf("issuer is %q for %q", m.Issuer, issuer), issuerSection}, ErrIssuer); err != nil {
			return err
		}
	default:
		return fail(ErrIssuer, issuerSection, "issuer is %s, expected %q", httpx.Quote(m.Issuer, 200), issuer)
	}
	for _, e := range m.endpoints() {
		if alias := m.endpointAlias(e.name); alias != "" {
			u, err := httpx.Check(alias, f.local)
			if err != nil {
				return fail(err, "", "mtls_endpoint_aliases: %s: %v", e.name, err)
			}
			m.MTLSEndpointAliases[e.name] = u.String()
		}
		if *e.address == "" {
			continue
		}
		u, err := httpx.Check(*e.address, f.local)
		if err != nil {
			return fail(err, "", "%s: %v", e.name, err) // the error names the section
		}
		if e.name == "authorization_endpoint" {
			if name := FindReserved(u.RawQuery); name != "" {
				return fail(ErrIssuer, "RFC 6749 §3.1", "authorization_endpoint carries the parameter %s, which the server may read as one that the request sets", httpx.Quote(name, 60))
			}
		}
		*e.address = u.String()
	}
	if m.TokenEndpoint == "" {
		return fail(nil, "RFC 8414 §2", "token_endpoint is missing")
	}
	if m.AuthorizationEndpoint == "" && !f.o.IgnorePKCE {
		if slices.Contains(m.GrantTypesSupported, "client_credentials") {
			return fail(ErrNonInteractiveOnly, "RFC 8414 §2", "authorization_endpoint is missing, and grant_types_supported is %s: it has no grant for users", quoteAll(m.GrantTypesSupported))
		}
		return fail(nil, "RFC 8414 §2", "authorization_endpoint is missing")
	}
	f.r.Server = m
	return nil
}

// FindReserved returns the first parameter in a query that an authorization request, its extensions or the caller also set, or "" if there is
// none. The parameter others contains the names that the caller sets. If a parameter appeared twice, the server might use the wrong value.
// Semicolons count as separators, because some servers accept them. A name with a byte outside printable ASCII is returned too, because some
// servers cut names at such a byte. Servers read brackets in different ways, and PHP reads ".", " " and a single "[" as "_". Therefore
// FindReserved compares only letters and digits, both of the whole name and of the parts between brackets.
func FindReserved(query string, others ...string) string {
	reserved := slices.Clone(requestParams)
	for _, name := range others {
		reserved = append(reserved, lettersAndDigits(name))
	}
	for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
			return name
		}
		for _, part := range append(strings.FieldsFunc(name, func(r rune) bool { return r == '[' || r == ']' }), name) {
			if slices.Contains(reserved, lettersAndDigits(part)) {
				return name
			}
		}
	}
	return ""
}

// lettersAndDigits returns the letters, in lower case, and the digits of an ASCII text.
func lettersAndDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || '9' < r && r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, strings.ToLower(text))
}

// requestParams are the letters and digits of the parameters that an authorization request or its extensions set. The list does not contain
// prompt, because honest servers put it into the URL of their endpoint.
var requestParams = []string{"responsetype", "clientid", "redirecturi", "scope", "state", "codechallenge", "codechallengemethod", "resource",
	"responsemode", "request", "requesturi", "dpopjkt", "nonce"}

// SameIssuer compares two issuers as strings. If an issuer has no path, a trailing slash is ignored, because servers use it inconsistently.
func SameIssuer(a, b string) bool {
	if a == b {
		return true
	}
	u, err := url.Parse(strings.TrimSuffix(a, "/"))
	return err == nil && u.Path == "" && u.RawQuery == "" && strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

// discoverLegacy implements MCP 2025-03-26 (Authorization Base URL; Fallbacks for Servers without Metadata Discovery). If Options.Issuer is
// empty, the authorization server is the server's origin. If the origin answers that there is no metadata, the default endpoints are used.
// Any other failure to fetch the metadata is an error.
func (f *finder) discoverLegacy(ctx context.Context) error {
	origin := (&url.URL{Scheme: f.server.Scheme, Host: f.server.Host}).String()
	f.r.Legacy, f.r.ResourceID = true, f.r.URL
	if f.o.Issuer != "" && !SameIssuer(f.o.Issuer, origin) {
		given := Finding{stageResource, "issuer_given", "no protected resource metadata; using the given issuer: " + f.o.Issuer, locationSection}
		if err := f.recordDeviation("", given, ErrUnnamed); err != nil {
			return err
		}
		f.r.Resource.AuthorizationServers = []string{f.o.Issuer}
		return f.fetchMetadata(ctx)
	}
	old := Finding{stageResource, "legacy_2025_03_26", "no protected resource metadata; using the server's origin as the authorization server, as in MCP 2025-03-26", locationSection}
	if err := f.recordDeviation("", old, nil); err != nil {
		return err
	}
	f.header = http.Header{"Mcp-Protocol-Version": {"2025-03-26"}}
	if found, err := f.fetchMetadataOf(ctx, origin); found || err != nil {
		return err
	}
	if !f.isAbsent(stageMetadata, 0) {
		return &Error{Stage: stageMetadata, Reason: "no document could be fetched, and not every URL answered 404", Section: "RFC 8414 §3", Attempts: f.r.Attempts}
	}
	if f.r.Open {
		return &Error{Stage: stageServer, URL: f.r.URL, Reason: ErrOpen.Error(), Err: ErrOpen}
	}
	f.r.Findings = append(f.r.Findings, Finding{stageMetadata, "default_endpoints", "no metadata; using /authorize, /token and /register at the origin, with PKCE", "MCP 2025-03-26 Fallbacks for Servers without Metadata Discovery"})
	f.r.Server = ServerMetadata{Issuer: origin, AuthorizationEndpoint: origin + "/authorize", TokenEndpoint: origin + "/token",
		RegistrationEndpoint: origin + "/register", CodeChallengeMethodsSupported: []string{"S256"}}
	return nil
}

// FetchServer fetches the metadata of one issuer (RFC 8414 §3). If local is true, the issuer may be on loopback and use http.
func FetchServer(ctx context.Context, issuer string, local bool, o Options) (ServerMetadata, error) {
	o.Issuer = ""
	f := &finder{o: o, local: local, r: &Result{Resource: ResourceMetadata{AuthorizationServers: []string{issuer}}}}
	err := f.fetchMetadata(ctx)
	return f.r.Server, err
}

func quoteAll(list []string) string {
	return joinLimited(list, maxIssuers, func(s string) string { return httpx.Quote(s, 200) })
}

// joinLimited joins the texts of the elements, up to a limit. If there are more elements, the result ends with their number.
func joinLimited[E any](list []E, limit int, text func(E) string) string {
	var all []string
	for _, element := range list[:min(len(list), limit)] {
		all = append(all, text(element))
	}
	if more := len(list) - limit; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}
